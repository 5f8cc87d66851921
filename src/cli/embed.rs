//! `smallmind embed`: prints a vector for each text, one JSON object on each line.

use std::ffi::OsString;
use std::io::{self, BufRead, Read};

use clap::{Args, ValueEnum};
use serde::Serialize;
use smallmind::model::{Logits, Output, Text};
use smallmind::text::tokenizer::Tokenizer;
use smallmind::{EmbedOptions, Embedder, Pooling};

use super::arguments::{LoadArguments, PlanArguments, ThreadArguments};
use super::doubled::warn_of_doubled_starts;
use super::failure::{Failure, error, print};
use super::model_argument::ModelArguments;
use super::opened::open_model;
use super::progress::progress;
use super::text_argument::utf8;

/// How many lines of stdin are embedded together: enough to fill steps, few enough that results come soon.
const LINES: usize = 256;
/// The longest line that is read, in bytes.
const LONGEST_LINE: u64 = 16 << 20;

/// Arguments of `embed`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The texts; `-` or no text reads them from stdin, one on each line
    #[arg(value_name = "TEXT")]
    texts: Vec<OsString>,
    /// A text, exactly as it is: even if it begins with a dash, it is not an option; may be given several times
    #[arg(
        short,
        long = "prompt",
        value_name = "TEXT",
        allow_hyphen_values = true
    )]
    prompts: Vec<OsString>,
    /// How a text's tokens become one vector [default: as the model's files say, else mean for
    /// encoders and last for models that generate text]
    #[arg(long, value_enum)]
    pooling: Option<PoolingName>,
    /// Do not normalise embeddings to length 1 [default: as the model's files say, else normalised]
    #[arg(long)]
    no_normalize: bool,
    #[command(flatten)]
    threads: ThreadArguments,
    #[command(flatten)]
    plan: PlanArguments,
    #[command(flatten)]
    load: LoadArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum PoolingName {
    /// The mean over the tokens
    Mean,
    /// The first token's hidden state
    Cls,
    /// The last token's hidden state
    Last,
    /// The largest element of each column
    Max,
}

impl From<PoolingName> for Pooling {
    fn from(name: PoolingName) -> Pooling {
        match name {
            PoolingName::Mean => Pooling::Mean,
            PoolingName::Cls => Pooling::Cls,
            PoolingName::Last => Pooling::Last,
            PoolingName::Max => Pooling::Max,
        }
    }
}

/// A line of the output.
#[derive(Serialize)]
struct Line<'a> {
    /// The text's index, from 0.
    index: usize,
    /// Number of the text's tokens after truncation, including special tokens.
    tokens: usize,
    embedding: &'a [f32],
}

/// Run the subcommand.
pub fn embed(arguments: Arguments) -> Result<(), Failure> {
    let (model, first) = arguments.model.needed()?;
    let mut texts: Vec<OsString> = first.into_iter().chain(arguments.texts).collect();
    let from_stdin = match texts.as_slice() {
        [] => arguments.prompts.is_empty(),
        [dash] => dash == "-" && arguments.prompts.is_empty(),
        _ => false,
    };
    texts.extend(arguments.prompts);
    let texts: Vec<String> = texts.into_iter().map(utf8).collect::<Result<_, _>>()?;
    let options = arguments.plan.add_to(arguments.load.options());
    let options = arguments.threads.add_to(options).text(Text::Needed);
    // All rows, because the pooling may need them.
    let mut options = options.output(Output::Hidden).logits(Logits::All);
    options.progress = progress();
    let model = open_model(model.source()?, &options)?;
    let embedder = model.embedder(
        &EmbedOptions::new()
            .pooling(arguments.pooling.map(Pooling::from))
            .normalize(arguments.no_normalize.then_some(false)),
    )?;
    let mut index = 0;
    if !from_stdin {
        return print_embeddings(model.tokenizer(), &embedder, &texts, &mut index);
    }
    let mut stdin = io::stdin().lock();
    loop {
        let lines = read_lines(&mut stdin, index)?;
        if lines.is_empty() {
            break;
        }
        print_embeddings(model.tokenizer(), &embedder, &lines, &mut index)?;
    }
    match index {
        0 => error(
            "no text to embed: stdin is empty (write one text on each line, or give texts after MODEL)",
        ),
        _ => Ok(()),
    }
}

/// The next lines, after `before` earlier lines; empty at the end.
fn read_lines(stdin: &mut impl BufRead, before: usize) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    while lines.len() < LINES {
        let number = before + lines.len() + 1;
        let mut bytes = Vec::new();
        let read = stdin
            .by_ref()
            .take(LONGEST_LINE + 1)
            .read_until(b'\n', &mut bytes);
        if let Err(problem) = read {
            return error(format!("can't read line {number} of stdin: {problem}"));
        }
        if bytes.is_empty() {
            break;
        }
        if bytes.len() as u64 > LONGEST_LINE {
            return error(format!(
                "line {number} of stdin is longer than {LONGEST_LINE} bytes"
            ));
        }
        let Ok(mut line) = String::from_utf8(bytes) else {
            return error(format!("line {number} of stdin is not UTF-8"));
        };
        line.truncate(line.trim_end_matches(['\n', '\r']).len());
        lines.push(line);
    }
    Ok(lines)
}

/// Prints a line for each text and counts them.
fn print_embeddings(
    tokenizer: Option<&Tokenizer>,
    embedder: &Embedder,
    texts: &[String],
    index: &mut usize,
) -> Result<(), Failure> {
    let mut tokens = Vec::with_capacity(texts.len());
    for text in texts {
        tokens.push(embedder.tokens(text)?);
    }
    let slices: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
    warn_of_doubled_starts(tokenizer, slices.iter().copied());
    let embeddings = embedder.embed_tokens(&slices)?;
    let mut lines = String::new();
    for (embedding, tokens) in embeddings.iter().zip(&tokens) {
        let line = Line {
            index: *index,
            tokens: tokens.len(),
            embedding,
        };
        lines += &(serde_json::to_string(&line)? + "\n");
        *index += 1;
    }
    print(&lines)
}
