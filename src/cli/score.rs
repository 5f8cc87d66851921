//! `smallmind score`: prints how probable a text is, and what is expected after it.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;
use smallmind::model::{Logits, Text};
use smallmind::{Model, Score, ScoreOptions};

use super::arguments::{LoadArguments, PlanArguments, ThreadArguments};
use super::doubled::warn_of_doubled_starts;
use super::failure::{Failure, print, print_json, usage};
use super::interrupt;
use super::model_argument::ModelArguments;
use super::opened::open_model;
use super::progress::progress;
use super::text_argument::TextArguments;

/// Arguments of `score`.
#[derive(Args)]
#[command(
    after_help = "The text gets the special tokens that the model wants around it. Every token except the first is predicted \
    from the tokens before it: mean_nll is the mean of -ln p, in nats, and the perplexity is e to the power of mean_nll. A \
    text longer than the context is read in windows: the first is as long as the context, and each further window begins \
    with BOS if the text does, repeats half a context and predicts what follows, so that each token is predicted once. All \
    of it is computed in f64, and the same on every machine."
)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    text: TextArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How many of the most probable next tokens to print
    #[arg(long, value_name = "K", default_value_t = ScoreOptions::default().top)]
    top: usize,
    #[command(flatten)]
    threads: ThreadArguments,
    #[command(flatten)]
    plan: PlanArguments,
    #[command(flatten)]
    load: LoadArguments,
}

/// The output of `--json`.
#[derive(Serialize)]
struct Report {
    tokens: usize,
    scored: usize,
    mean_nll: f64,
    perplexity: f64,
    top: Vec<Next>,
}

/// A token that may follow.
#[derive(Serialize)]
struct Next {
    id: u32,
    /// Its spelling in the vocabulary.
    token: String,
    logprob: f64,
}

/// Run the subcommand.
pub fn score(arguments: Arguments) -> Result<(), Failure> {
    let (model, first) = arguments.model.needed()?;
    let Some(text) = arguments.text.read(first)? else {
        return usage("no text is given: TEXT, -p TEXT or -f FILE");
    };
    let options = arguments.plan.add_to(arguments.load.options());
    let options = arguments.threads.add_to(options);
    let mut options = options.logits(Logits::All).text(Text::Needed);
    options.progress = progress();
    let model = open_model(model.source()?, &options)?;
    let mut session = model.session()?;
    let cancel = interrupt::catch()?;
    let options = ScoreOptions::new().top(arguments.top).cancel(&cancel);
    let tokens = model.encode(&text)?;
    warn_of_doubled_starts(model.tokenizer(), [tokens.as_slice()]);
    let score = model.score_tokens(&mut session, &tokens, &options);
    if cancel.is_cancelled() {
        return Err(Failure::Interrupted);
    }
    let report = report(&model, score?);
    if arguments.json {
        return print_json(&report);
    }
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(out, "tokens      {}", report.tokens);
    let _ = writeln!(out, "scored      {}", report.scored);
    let _ = writeln!(out, "mean nll    {:.6}", report.mean_nll);
    let _ = writeln!(out, "perplexity  {:.4}", report.perplexity);
    for next in report.top {
        let _ = writeln!(
            out,
            "{:>10.5}  {:>6}  {:?}",
            next.logprob, next.id, next.token
        );
    }
    print(&out)
}

fn report(model: &Model, score: Score) -> Report {
    let spelling = |id| {
        model
            .tokenizer()
            .and_then(|tokenizer| tokenizer.id_to_token(id))
    };
    let next = |(id, logprob)| Next {
        id,
        token: spelling(id).unwrap_or_default(),
        logprob,
    };
    Report {
        tokens: score.tokens,
        scored: score.scored,
        mean_nll: score.mean_nll,
        perplexity: score.perplexity,
        top: score.next.into_iter().map(next).collect(),
    }
}
