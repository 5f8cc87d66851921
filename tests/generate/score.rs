//! Does a text's score follow from its logits, however they are computed?

use smallmind::{Cancel, Model, Options, Score, ScoreError, ScoreOptions};

use crate::common::{all_rows, expected, open, source};

fn score(name: &str, tokens: &[u32], options: Options) -> Result<Score, ScoreError> {
    let model = Model::open(source(name), &options).unwrap();
    let mut session = model.session().unwrap();
    model.score_tokens(&mut session, tokens, &ScoreOptions::new().top(7))
}

/// ln p of every token of a row of logits, computed by definition.
fn log_probabilities(row: &[f32]) -> Vec<f64> {
    let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
    row.iter().map(|&x| f64::from(x) - sum.ln()).collect()
}

#[test]
fn the_score_follows_from_the_expected_logits() {
    for name in ["demo", "gpt2", "llama", "gemma3", "phi", "qwen3"] {
        let expected = expected(name);
        let tokens = &expected.input_ids;
        let width = expected.rows.len() / tokens.len();
        let rows: Vec<_> = expected.rows.chunks(width).map(log_probabilities).collect();
        let scored = tokens.len() - 1;
        let predicted = rows.iter().zip(&tokens[1..]);
        let nll: f64 = predicted.map(|(row, &id)| -row[id as usize]).sum::<f64>() / scored as f64;

        let found = score(name, tokens, all_rows()).unwrap();
        assert_eq!((found.tokens, found.scored), (tokens.len(), scored));
        assert!(
            (found.mean_nll - nll).abs() < 1e-4,
            "{name}: {found:?} {nll}"
        );
        assert!((found.perplexity / nll.exp() - 1.0).abs() < 1e-4, "{name}");
        assert_eq!(found.next.len(), 7);
        assert_eq!(found.next[0].0, expected.greedy[0], "{name}");
        assert!(found.next.is_sorted_by(|a, b| a.1 >= b.1));
        let last = rows.last().unwrap();
        for (id, log) in found.next {
            assert!((log - last[id as usize]).abs() < 1e-3, "{name}: {id}");
        }
    }
}

#[test]
fn neither_chunks_nor_threads_nor_instruction_sets_change_a_bit() {
    let tokens = expected("llama").input_ids;
    let plain = score("llama", &tokens, all_rows()).unwrap();
    for chunk in [1, 3, tokens.len()] {
        let options = all_rows().chunk(chunk).threads(1).isa("scalar");
        assert_eq!(score("llama", &tokens, options).unwrap(), plain, "{chunk}");
    }
}

#[test]
fn a_text_longer_than_the_context_is_scored_window_by_window() {
    let tokens = expected("llama").input_ids;
    let context = tokens.len() / 2;
    let options = all_rows().context(context);
    let found = score("llama", &tokens, options).unwrap();
    assert_eq!(found.scored, tokens.len() - 1);

    // The same windows by hand, each in a new session.
    let model = open("llama", &all_rows());
    let begins = model.bos_token() == Some(tokens[0]);
    let begun = usize::from(begins);
    let room = context - begun;
    let mut sum = 0.0;
    let mut done = 0;
    while done < tokens.len() {
        let (bos, start) = match done {
            0 => (0, 0),
            _ => (begun, done - room / 2),
        };
        let end = tokens.len().min(start + context - bos);
        let read = [&tokens[..bos], &tokens[start..end]].concat();
        let mut session = model.session().unwrap();
        let mut rows = Vec::new();
        session
            .prefill_each(&read, &mut |logits| rows.extend_from_slice(logits))
            .unwrap();
        let width = model.vocabulary();
        for (at, &token) in tokens.iter().enumerate().take(end).skip(done.max(1)) {
            let row = (at - start + bos - 1) * width;
            sum -= log_probabilities(&rows[row..row + width])[token as usize];
        }
        done = end;
    }
    let nll = sum / found.scored as f64;
    assert!((found.mean_nll - nll).abs() < 1e-9, "{found:?} {nll}");
    let whole = score("llama", &tokens, all_rows()).unwrap();
    assert_ne!(whole.mean_nll, found.mean_nll);
}

#[test]
fn a_text_that_cannot_be_scored_is_an_error() {
    let refusal =
        |name: &str, tokens: &[u32], options| score(name, tokens, options).unwrap_err().to_string();
    assert_eq!(
        refusal("demo", &[1], all_rows()),
        "the text has 1 tokens; a score needs at least two, because the first is not predicted"
    );
    assert_eq!(
        refusal("demo", &[1, 2, 3], Options::default()),
        "a score needs the logits of every token: open the model with Logits::All"
    );
    assert_eq!(
        refusal("demo", &[1, 70000], all_rows()),
        "token 70000 is not in the vocabulary of 256"
    );
    let one = all_rows().context(1);
    assert_eq!(
        refusal("demo", &[1, 2], one),
        "the context has 1 positions; a score needs at least two"
    );
    assert!(refusal("bert", &[1, 2], all_rows()).contains("it cannot continue a text"));
    let model = open("demo", &all_rows());
    let mut session = model.session().unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let options = ScoreOptions::new().cancel(&cancel);
    let cancelled = model.score_tokens(&mut session, &[1, 2], &options);
    assert_eq!(
        cancelled.unwrap_err().to_string(),
        "cancelled after 0 positions"
    );
}

#[cfg(feature = "tokenizer")]
#[test]
fn a_text_is_scored_with_the_tokens_around_it() {
    let model = open("demo", &all_rows());
    let mut session = model.session().unwrap();
    let text = "ROMEO:\nI do";
    let options = ScoreOptions::new().top(3);
    let of_text = model.score(&mut session, text, &options).unwrap();
    let ids = model.encode(text).unwrap();
    let of_ids = model.score_tokens(&mut session, &ids, &options).unwrap();
    assert_eq!(of_text, of_ids);
    assert_eq!(of_text.tokens, text.len());
}
