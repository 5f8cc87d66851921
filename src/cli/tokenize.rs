//! `smallmind tokenize`: prints a text's token ids, or the text of ids.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use smallmind::model::open_tokenizer;
use smallmind::text::tokenizer::Tokenizer;

use super::doubled::warn_of_doubled_starts;
use super::failure::{Failure, error, print};
use super::input::read_text;
use super::model_argument::ModelArguments;
use super::text_argument::TextArguments;

/// Arguments of `tokenize`.
#[derive(Args)]
#[command(
    after_help = "Without a text it reads stdin. A text is taken whole, exactly as it is: a newline at the end is part of the text. \
    Prints the ids on one line, separated by blanks. Needs no weights: a GGUF file with only a vocabulary is enough, and so is a folder with only \
    tokenizer.json."
)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    text: TextArguments,
    /// Print ids, which is the default
    #[arg(id = "ids", long = "ids", conflicts_with = "decode")]
    _ids: bool,
    /// Read ids, separated by blanks or commas, and print their text, without a newline at its end
    #[arg(long)]
    decode: bool,
    /// No special tokens: none are put around the text, special tokens that are spelled out are read as text, and --decode
    /// leaves special tokens out
    #[arg(long)]
    no_special: bool,
}

/// Run the subcommand.
pub fn tokenize(arguments: Arguments) -> Result<(), Failure> {
    let (model, first) = arguments.model.needed()?;
    let text = arguments.text.read(first)?;
    let tokenizer = open_tokenizer(model.source()?)?;
    let input = match text {
        Some(text) => text,
        None => read_text(Path::new("-"))?,
    };
    if arguments.decode {
        let ids = parse_ids(&input, &tokenizer)?;
        return print(&tokenizer.decode(&ids, arguments.no_special)?);
    }
    let ids = match arguments.no_special {
        true => tokenizer.encode_plain(&input)?,
        false => tokenizer.encode(&input, true)?,
    };
    warn_of_doubled_starts(Some(&tokenizer), [ids.as_slice()]);
    let mut line = String::with_capacity(ids.len() * 6);
    for id in ids {
        let blank = if line.is_empty() { "" } else { " " };
        // Writing to a string can't fail.
        let _ = write!(line, "{blank}{id}");
    }
    line.push('\n');
    print(&line)
}

/// The ids that a text lists.
fn parse_ids(text: &str, tokenizer: &Tokenizer) -> Result<Vec<u32>, Failure> {
    let mut ids = Vec::new();
    let words = text.split(|c: char| c.is_whitespace() || c == ',');
    for word in words.filter(|word| !word.is_empty()) {
        let Ok(id) = word.parse::<u32>() else {
            let shown: String = word.chars().take(40).collect();
            return error(format!("`{shown}` is not a token id"));
        };
        if id as usize >= tokenizer.vocab_size() {
            return error(format!(
                "token {id} is not in the vocabulary of {}",
                tokenizer.vocab_size()
            ));
        }
        ids.push(id);
    }
    Ok(ids)
}
