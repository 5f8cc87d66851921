//! Does a damaged vocabulary ever do worse than be refused?
//!
//! 2400 vocabularies of the four kinds, 600 of each, with one to three things wrong in each; 400 files of real
//! vocabularies with damaged bytes, half of them cut off; and the mistakes that are known by name. Always the same ones.
#![cfg(feature = "tokenizer")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use smallmind::files::gguf::GgufFile;
use smallmind::files::map::Mapped;
use smallmind::text::TextStream;
use smallmind::text::tokenizer::{Tokenizer, TokenizerError};

use crate::common::data;
use crate::common::gguf::{Meta, Writer};
use crate::common::random::Random;

/// The most time that one damaged vocabulary may take; undamaged ones take some milliseconds.
const LONGEST: Duration = Duration::from_secs(5);
/// Bytes of the largest message.
const LONGEST_MESSAGE: usize = 1 << 13;
/// Texts that an accepted vocabulary must read without a panic.
const TEXT: &str = "Hello  ab\n\n<s>[SEP] ▁é😀\u{0} 12345 ##ing </s><0x41>";

fn key(name: &str) -> String {
    format!("tokenizer.ggml.{name}")
}

fn texts(texts: &[&str]) -> Meta {
    Meta::Array(
        8,
        texts
            .iter()
            .map(|text| Meta::Text(text.to_string()))
            .collect(),
    )
}

/// An undamaged vocabulary of a kind. Ids 0 to 3 are special; then come letters and what they join to.
fn sound(model: &str) -> Writer {
    let tokens = match model {
        "bert" => [
            "[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁a", "b", "▁ab", "▁Hello", "ing", "▁1", "2", "▁.",
        ],
        "gpt2" => [
            "<s>", "</s>", "<unk>", "<pad>", "a", "b", "ab", "Ġ", "Ġa", "l", "ll", "Ċ",
        ],
        _ => [
            "<unk>", "<s>", "</s>", "<pad>", "▁", "a", "b", "ab", "▁ab", "\n\n", "<0x41>", "<0x0A>",
        ],
    };
    let kinds = match model {
        "bert" | "gpt2" => [3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1],
        _ => [2, 3, 3, 3, 1, 1, 1, 1, 1, 4, 6, 6],
    };
    let scores = (0..tokens.len()).map(|rank| Meta::F32(-(rank as f32)));
    Writer::new()
        .with(&key("model"), Meta::Text(model.into()))
        .with(&key("pre"), Meta::Text("llama-bpe".into()))
        .with(&key("tokens"), texts(&tokens))
        .with(
            &key("token_type"),
            Meta::Array(5, kinds.map(Meta::I32).into()),
        )
        .with(&key("scores"), Meta::Array(6, scores.collect()))
        .with(&key("merges"), texts(&["a b", "Ġ a", "l l"]))
        .with(&key("bos_token_id"), Meta::U32(1))
        .with(&key("eos_token_id"), Meta::U32(2))
        .with(&key("unknown_token_id"), Meta::U32(1))
        .with(&key("cls_token_id"), Meta::U32(2))
        .with(&key("seperator_token_id"), Meta::U32(3))
        .with(&key("add_bos_token"), Meta::Bool(true))
        .with(&key("add_space_prefix"), Meta::Bool(true))
        .with(&key("remove_extra_whitespaces"), Meta::Bool(true))
}

/// Builds the vocabulary and, if it is accepted, uses it; returns whether it was accepted.
fn survives(what: &str, bytes: Vec<u8>) -> bool {
    let begun = Instant::now();
    let file = GgufFile::from_bytes(Path::new("v.gguf"), Mapped::from_vec(bytes));
    let built = match &file {
        Ok(file) => Tokenizer::from_gguf(file.metadata()).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let accepted = match built {
        Ok(tokenizer) => {
            used(&tokenizer);
            true
        }
        Err(message) => {
            assert!(message.len() <= LONGEST_MESSAGE, "{what}: {message}");
            assert!(message.contains("v.gguf"), "{what}: {message}");
            false
        }
    };
    let taken = begun.elapsed();
    assert!(taken < LONGEST, "{what}: {taken:?}");
    accepted
}

/// Reads a text and writes all tokens: ids stay in the vocabulary, and nothing panics.
fn used(tokenizer: &Tokenizer) {
    let known = |ids: Result<Vec<u32>, TokenizerError>| {
        for id in ids.unwrap_or_default() {
            assert!((id as usize) < tokenizer.vocab_size(), "{id}");
        }
    };
    known(tokenizer.encode(TEXT, true));
    known(tokenizer.encode_plain(TEXT));
    known(tokenizer.encode("", true));
    let last = tokenizer.vocab_size().min(2000) as u32;
    let mut stream = TextStream::new(tokenizer, false);
    for id in (0..last + 2).chain([u32::MAX]) {
        let _ = tokenizer.id_to_token(id);
        stream.push(id).unwrap();
    }
    stream.flush().unwrap();
}

/// A value that a vocabulary might contain where it must not.
fn odd(random: &mut Random) -> Meta {
    let word = |random: &mut Random| {
        let words = [
            "", " ", "a", "a b", "ab", "▁", "##", "<s>", "<0x41>", "<0xZZ>", "é", "\u{0}", "a  b",
            " a b", "b a b",
        ];
        Meta::Text(random.pick(&words).to_string())
    };
    match random.below(14) {
        0 => Meta::U32(u32::MAX),
        1 => Meta::I32(-2),
        2 => Meta::U64(1 << 40),
        3 => Meta::F32(f32::NAN),
        4 => Meta::Bool(false),
        5 => word(random),
        6 => Meta::Text("x".repeat(70_000)),
        7 => Meta::Array(8, (0..random.below(20)).map(|_| word(random)).collect()),
        8 => Meta::Array(6, vec![Meta::F32(f32::INFINITY); random.below(20)]),
        9 => Meta::Array(
            5,
            (0..random.below(20)).map(|n| Meta::I32(n as i32)).collect(),
        ),
        10 => Meta::Array(
            0,
            (0..random.below(3000)).map(|n| Meta::U8(n as u8)).collect(),
        ),
        11 => Meta::Array(9, vec![Meta::Array(8, vec![word(random)]); 3]),
        12 => Meta::U32(random.below(20) as u32),
        _ => Meta::Text(
            random
                .pick(&["llama", "gpt2", "bert", "t5", "default", "qwen2"])
                .to_string(),
        ),
    }
}

/// Does one thing wrong.
fn damage(writer: &mut Writer, random: &mut Random) {
    let at = random.below(writer.meta.len());
    let odd = odd(random);
    let value = &mut writer.meta[at].1;
    match (random.below(5), value) {
        (0, _) => {
            writer.meta.remove(at);
        }
        (1, Meta::Array(_, values)) if !values.is_empty() => {
            let keep = random.below(values.len());
            values.truncate(keep);
        }
        (2, Meta::Array(_, values)) if !values.is_empty() => {
            let twice = values[random.below(values.len())].clone();
            let place = random.below(values.len());
            values[place] = twice;
        }
        (3, Meta::Array(element, values)) if !values.is_empty() && odd.number() == *element => {
            let place = random.below(values.len());
            values[place] = odd;
        }
        (3, Meta::Array(8, values)) if !values.is_empty() => {
            let words = ["", "a b c", "nothing", "x y", " ", "▁▁", "a\u{0}"];
            let place = random.below(values.len());
            values[place] = Meta::Text(random.pick(&words).to_string());
        }
        (3, Meta::Array(6, values)) if !values.is_empty() => {
            let scores = [
                f32::NAN,
                f32::INFINITY,
                -f32::INFINITY,
                f32::MAX,
                -0.0,
                1e30,
            ];
            let place = random.below(values.len());
            values[place] = Meta::F32(*random.pick(&scores));
        }
        (3, Meta::Array(5, values)) if !values.is_empty() => {
            let place = random.below(values.len());
            values[place] = Meta::I32(random.below(9) as i32 - 1);
        }
        (_, value) => *value = odd,
    }
    if random.below(8) == 0 {
        let bytes = (0..random.below(2200)).map(|_| Meta::U8(random.next() as u8));
        let bytes = bytes.collect();
        writer
            .meta
            .retain(|(name, _)| *name != key("precompiled_charsmap"));
        writer
            .meta
            .push((key("precompiled_charsmap"), Meta::Array(0, bytes)));
    }
}

#[test]
fn damaged_metadata_is_refused_or_has_a_meaning() {
    for (seed, model) in ["llama", "gpt2", "bert", "t5"].into_iter().enumerate() {
        assert!(survives(model, sound(model).bytes()), "{model} is sound");
        let mut random = Random(seed as u64);
        let mut accepted = 0;
        for round in 0..600 {
            let mut writer = sound(model);
            for _ in 0..=random.below(3) {
                damage(&mut writer, &mut random);
            }
            accepted += usize::from(survives(&format!("{model} {round}"), writer.bytes()));
        }
        assert!(
            (20..580).contains(&accepted),
            "{model}: {accepted} accepted"
        );
    }
}

#[test]
fn damaged_files_are_refused_or_have_a_meaning() {
    let mut random = Random(99);
    for name in ["bert-bge", "llama-spm"] {
        let path = data(&format!("vocab/ggml-vocab-{name}.gguf"));
        let sound = fs::read(path).unwrap();
        for round in 0..200 {
            let mut bytes = sound.clone();
            if round % 2 == 0 {
                bytes.truncate(random.below(sound.len()));
            } else {
                for _ in 0..=random.below(4) {
                    // Half of the damage is in the part with keys and lengths.
                    let reach = if random.below(2) == 0 {
                        2000
                    } else {
                        bytes.len()
                    };
                    let place = random.below(reach);
                    bytes[place] = random.next() as u8;
                }
            }
            let accepted = survives(&format!("{name} {round}"), bytes);
            assert!(!accepted || round % 2 == 1, "{name} {round} is cut off");
        }
    }
}

fn refusal(writer: &Writer) -> String {
    let file = GgufFile::from_bytes(Path::new("v.gguf"), Mapped::from_vec(writer.bytes())).unwrap();
    let error = Tokenizer::from_gguf(file.metadata()).unwrap_err();
    error.to_string()
}

/// An undamaged vocabulary with another value under a key, or without the key.
fn with(model: &str, name: &str, value: Option<Meta>) -> Writer {
    let mut writer = sound(model);
    writer.meta.retain(|(other, _)| *other != key(name));
    match value {
        Some(value) => writer.with(&key(name), value),
        None => writer,
    }
}

#[test]
fn each_mistake_is_named() {
    let floats = |scores: &[f32]| Meta::Array(6, scores.iter().map(|&x| Meta::F32(x)).collect());
    let mut nan = [0.0; 12];
    nan[7] = f32::NAN;
    let kinds = |last| {
        Meta::Array(
            5,
            [1; 11].into_iter().chain([last]).map(Meta::I32).collect(),
        )
    };
    let twelve = |last| {
        texts(&[
            "<unk>", "<s>", "</s>", "<pad>", "▁", "a", "b", "ab", "c", "d", "e", last,
        ])
    };
    for (writer, expected) in [
        (
            with("gpt2", "merges", None),
            "tokenizer.ggml.merges is missing",
        ),
        (
            with("gpt2", "merges", Some(Meta::U32(1))),
            "tokenizer.ggml.merges is not an array of texts",
        ),
        (
            with("llama", "scores", None),
            "tokenizer.ggml.scores is missing",
        ),
        (
            with("t5", "scores", Some(floats(&nan))),
            "tokenizer.ggml.scores of token 7 is not finite",
        ),
        (
            with("llama", "scores", Some(floats(&[0.0; 11]))),
            "tokenizer.ggml.scores has 11 values, but there are 12 tokens",
        ),
        (
            with(
                "bert",
                "token_type",
                Some(Meta::Array(5, vec![Meta::I32(1)])),
            ),
            "tokenizer.ggml.token_type has 1 values, but there are 12 tokens",
        ),
        (
            with("gpt2", "token_type", Some(kinds(9))),
            "tokenizer.ggml.token_type of token 11 is 9; known are 0 to 6",
        ),
        (
            with("llama", "tokens", Some(twelve("ab"))),
            "the tokens 7 and 11 are both `ab`",
        ),
        (
            with("llama", "tokens", Some(Meta::Array(5, vec![Meta::I32(1)]))),
            "tokenizer.ggml.tokens is not an array of texts",
        ),
        (
            with("llama", "bos_token_id", Some(Meta::U32(12))),
            "tokenizer.ggml.bos_token_id is 12, but the vocabulary has 12 tokens",
        ),
        (
            with("gpt2", "bos_token_id", None),
            "texts need a token that tokenizer.ggml.bos_token_id does not name (tokenizer.ggml.add_bos_token)",
        ),
        (
            with("t5", "unknown_token_id", Some(Meta::I32(-1))),
            "there is no unknown token (tokenizer.ggml.unknown_token_id)",
        ),
        (
            with(
                "t5",
                "precompiled_charsmap",
                Some(Meta::Array(0, vec![Meta::U8(9); 3])),
            ),
            "precompiled_charsmap is cut off",
        ),
    ] {
        let message = refusal(&writer);
        assert!(
            message.starts_with("v.gguf: cannot use this tokenizer: "),
            "{message}"
        );
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_token_that_is_not_text_is_named() {
    let mut bytes = sound("llama").bytes();
    let place = bytes
        .windows(3)
        .position(|window| window == "▁".as_bytes())
        .unwrap();
    bytes[place] = 0xFF;
    let file = GgufFile::from_bytes(Path::new("v.gguf"), Mapped::from_vec(bytes)).unwrap();
    let message = Tokenizer::from_gguf(file.metadata())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("tokenizer.ggml.tokens: is not UTF-8 (value 4)"),
        "{message}"
    );
}

#[test]
fn empty_tokens_stand_for_nothing() {
    let tokens = texts(&[
        "<unk>", "<s>", "</s>", "", "▁", "a", "", "ab", "▁ab", "zz", "<0x41>", "",
    ]);
    let writer = with("llama", "tokens", Some(tokens));
    let file = GgufFile::from_bytes(Path::new("v.gguf"), Mapped::from_vec(writer.bytes())).unwrap();
    let tokenizer = Tokenizer::from_gguf(file.metadata()).unwrap();
    assert_eq!(tokenizer.encode("ab", false).unwrap(), [8]);
    assert_eq!(tokenizer.decode(&[3, 8, 6, 11, 7], true).unwrap(), "abab");
}

#[test]
fn a_claim_of_many_tokens_takes_no_memory() {
    let mut bytes = sound("llama").bytes();
    let name = key("tokens");
    let place = bytes
        .windows(name.len())
        .position(|w| w == name.as_bytes())
        .unwrap();
    let count = place + name.len() + 8;
    bytes[count..count + 8].copy_from_slice(&(1u64 << 60).to_le_bytes());
    assert!(!survives("a claim", bytes));
}

#[test]
fn merges_that_no_text_can_reach_are_left_out() {
    let merges = texts(&[
        "", " ", "ab", "a x", "x a", "b a", "a  b", "l l", "a b", "a b c",
    ]);
    let writer = with("gpt2", "merges", Some(merges));
    let file = GgufFile::from_bytes(Path::new("v.gguf"), Mapped::from_vec(writer.bytes())).unwrap();
    let tokenizer = Tokenizer::from_gguf(file.metadata()).unwrap();
    assert_eq!(tokenizer.encode_plain("abllba").unwrap(), [6, 10, 5, 4]);
}
