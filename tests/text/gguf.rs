//! Does a GGUF file's vocabulary follow its metadata: special tokens, prefixes, bytes, the four kinds?
#![cfg(feature = "tokenizer")]

use std::path::Path;

use smallmind::files::gguf::GgufFile;
use smallmind::files::map::Mapped;
use smallmind::text::TextStream;
use smallmind::text::tokenizer::{Tokenizer, TokenizerError};

use crate::common::gguf::{Meta, Writer};

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER: i32 = 4;
const BYTE: i32 = 6;

fn key(name: &str) -> String {
    format!("tokenizer.ggml.{name}")
}

/// A vocabulary: tokens with kind and score, ids in order.
fn vocabulary(model: &str, tokens: &[(String, i32, f32)]) -> Writer {
    let texts = tokens.iter().map(|(text, _, _)| Meta::Text(text.clone()));
    let kinds = tokens.iter().map(|(_, kind, _)| Meta::I32(*kind));
    let scores = tokens.iter().map(|(_, _, score)| Meta::F32(*score));
    Writer::new()
        .with(&key("model"), Meta::Text(model.into()))
        .with(&key("tokens"), Meta::Array(8, texts.collect()))
        .with(&key("token_type"), Meta::Array(5, kinds.collect()))
        .with(&key("scores"), Meta::Array(6, scores.collect()))
}

fn build(writer: &Writer) -> Result<Tokenizer, TokenizerError> {
    let file = GgufFile::from_bytes(Path::new("v.gguf"), Mapped::from_vec(writer.bytes())).unwrap();
    Tokenizer::from_gguf(file.metadata())
}

fn built(writer: &Writer) -> Tokenizer {
    build(writer).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(writer: &Writer) -> String {
    build(writer).unwrap_err().to_string()
}

/// `writer` with a different value under a key.
fn set(mut writer: Writer, name: &str, value: Meta) -> Writer {
    writer.meta.retain(|(other, _)| *other != key(name));
    writer.with(&key(name), value)
}

fn without(mut writer: Writer, name: &str) -> Writer {
    writer.meta.retain(|(other, _)| *other != key(name));
    writer
}

/// Unknown 0, BOS 1, EOS 2, the bytes from 3 on, then letters and tokens that they join to from 259 on.
fn sentence_piece() -> Writer {
    let token = |text: &str, kind, score| (text.to_string(), kind, score);
    let mut tokens = vec![
        token("<unk>", UNKNOWN, 0.0),
        token("<s>", CONTROL, 0.0),
        token("</s>", CONTROL, 0.0),
    ];
    tokens.extend((0..=255).map(|byte| token(&format!("<0x{byte:02X}>"), BYTE, 0.0)));
    for (rank, text) in [
        "▁", "a", "b", "ab", "▁a", "ba", "▁ab", "<", "s", ">", "<s", "\n\n",
    ]
    .iter()
    .enumerate()
    {
        let kind = if *text == "\n\n" { USER } else { NORMAL };
        tokens.push(token(text, kind, -(rank as f32)));
    }
    vocabulary("llama", &tokens)
}

#[test]
fn neighbours_join_by_score_and_the_left_ones_first() {
    let tokenizer = built(&sentence_piece());
    let ids = |text: &str| tokenizer.encode(text, false).unwrap();
    // "ab" has a higher score than "▁a" and "ba"; after that, "▁ab" is a token.
    assert_eq!(ids("ab"), [265]);
    assert_eq!(ids("aba"), [265, 260]);
    assert_eq!(ids("bba"), [259, 261, 264]);
    assert_eq!(ids(" ab"), [259, 265]);
    assert_eq!(tokenizer.decode(&[265, 263], true).unwrap(), "ab a");
}

#[test]
fn a_character_without_a_token_becomes_its_bytes_or_the_unknown_token() {
    let bytes = "é\n".bytes().map(|byte| u32::from(byte) + 3);
    let ids: Vec<u32> = [259].into_iter().chain(bytes).collect();
    let tokenizer = built(&sentence_piece());
    assert_eq!(tokenizer.encode("é\n", false).unwrap(), ids);
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "é\n");
    let tokens: Vec<_> = [("<unk>", UNKNOWN), ("▁", NORMAL), ("a", NORMAL)]
        .map(|(text, kind)| (text.to_string(), kind, 0.0))
        .into();
    let plain = without(vocabulary("llama", &tokens), "add_bos_token")
        .with(&key("add_bos_token"), Meta::Bool(false));
    assert_eq!(built(&plain).encode("aé", true).unwrap(), [1, 2, 0]);
    let none = plain.with(&key("unknown_token_id"), Meta::I32(-1));
    assert_eq!(
        built(&none).encode("aé", true).unwrap_err().to_string(),
        "the tokenizer of v.gguf can't encode: the vocabulary has no token for `é`, none for its bytes, and none for \
         the unknown"
    );
}

#[test]
fn begin_and_end_are_added_as_the_file_says() {
    let ids = |writer: Writer| built(&writer).encode("ab", true).unwrap();
    let plain = sentence_piece;
    let flag = |name, value| set(plain(), name, Meta::Bool(value));
    assert_eq!(ids(plain()), [1, 265]);
    assert_eq!(ids(flag("add_bos_token", false)), [265]);
    assert_eq!(ids(flag("add_eos_token", true)), [1, 265, 2]);
    assert_eq!(ids(flag("add_space_prefix", false)), [1, 262]);
    let other = set(plain(), "bos_token_id", Meta::U32(2));
    assert_eq!(ids(other), [2, 265]);
    let several = Meta::Array(4, vec![Meta::U32(1), Meta::U32(2)]);
    let several = set(flag("add_eos_token", true), "eos_token_id", several);
    assert_eq!(ids(several), [1, 265, 1]);
    let none = set(plain(), "bos_token_id", Meta::I32(-1));
    assert_eq!(
        refusal(&none),
        "v.gguf: cannot use this tokenizer: texts need a token that tokenizer.ggml.bos_token_id does not name \
         (tokenizer.ggml.add_bos_token)"
    );
}

#[test]
fn special_tokens_split_a_text_and_user_defined_ones_always_do() {
    let tokenizer = built(&sentence_piece());
    assert_eq!(tokenizer.encode("a<s>a", false).unwrap(), [263, 1, 263]);
    // As text, "<s" is a token, but "<s" and ">" do not join to "<s>".
    let plain = tokenizer.encode_plain("a<s>a").unwrap();
    assert_eq!(plain, [263, 269, 268, 260]);
    assert_eq!(tokenizer.decode(&plain, true).unwrap(), "a<s>a");
    let newlines = tokenizer.encode_plain("a\n\na").unwrap();
    assert_eq!(newlines, [263, 270, 263]);
}

#[test]
fn a_space_is_dropped_before_a_text_only_if_one_was_added() {
    let ids = [263, 263];
    assert_eq!(built(&sentence_piece()).decode(&ids, true).unwrap(), "a a");
    assert_eq!(
        built(&sentence_piece()).decode(&[1, 263], false).unwrap(),
        "<s> a"
    );
    let kept = set(sentence_piece(), "add_space_prefix", Meta::Bool(false));
    assert_eq!(built(&kept).decode(&ids, true).unwrap(), " a a");
}

#[test]
fn bytes_come_out_as_whole_characters_and_the_first_space_does_not() {
    let tokenizer = built(&sentence_piece());
    let ids = tokenizer.encode("aé😀 b\n\n", true).unwrap();
    let mut stream = TextStream::new(&tokenizer, true);
    let pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    assert_eq!(
        pieces,
        ["", "a", "", "é", "", "", "", "😀", " ", "b", "\n\n"]
    );
    let prompt = tokenizer.encode("ab", true).unwrap();
    let mut stream = TextStream::after(&tokenizer, true, &prompt).unwrap();
    assert_eq!(stream.push(265).unwrap(), " ab");
}

/// All bytes from 0 on, "ab" 256, "Ġa" 257, BOS 258, "<|im_end|>" 259, "õ" as a user-defined token 260.
fn byte_level() -> Writer {
    let byte = |byte: u8| match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        0..=0x20 => char::from_u32(0x100 + u32::from(byte)).unwrap(),
        0x7F..=0xA0 => char::from_u32(0x121 + u32::from(byte) - 0x7F).unwrap(),
        0xAD => '\u{143}',
    };
    let mut tokens: Vec<_> = (0..=255)
        .map(|b| (byte(b).to_string(), NORMAL, 0.0))
        .collect();
    for (text, kind) in [
        ("ab", NORMAL),
        ("Ġa", NORMAL),
        ("<bos>", CONTROL),
        ("<|im_end|>", CONTROL),
        ("日本", USER),
    ] {
        tokens.push((text.to_string(), kind, 0.0));
    }
    let merges = ["a b", "Ġ a"].map(|merge| Meta::Text(merge.into()));
    vocabulary("gpt2", &tokens)
        .with(&key("pre"), Meta::Text("gpt-2".into()))
        .with(&key("merges"), Meta::Array(8, merges.into()))
        .with(&key("bos_token_id"), Meta::U32(258))
}

#[test]
fn byte_level_merges_count_in_their_order() {
    let tokenizer = built(&byte_level());
    assert_eq!(tokenizer.encode("ab ab", true).unwrap(), [256, 32, 256]);
    assert_eq!(
        tokenizer.encode(" a日本\u{0}", true).unwrap(),
        [257, 260, 0]
    );
    assert_eq!(
        tokenizer.decode(&[257, 260, 0xC3, 0xA9], true).unwrap(),
        " a日本é"
    );
    assert_eq!(tokenizer.decode(&[258, 97], true).unwrap(), "a");
    assert_eq!(tokenizer.decode(&[258, 97], false).unwrap(), "<bos>a");
}

#[test]
fn the_way_to_cut_words_decides_about_bos_too() {
    let ids = |pre: &str| {
        let writer = set(byte_level(), "pre", Meta::Text(pre.into()));
        built(&writer).encode("ab", true).unwrap()
    };
    assert_eq!(ids("gpt-2"), [256]);
    assert_eq!(ids("llama-bpe"), [258, 256]);
    let told = set(byte_level(), "add_bos_token", Meta::Bool(true));
    assert_eq!(built(&told).encode("ab", true).unwrap(), [258, 256]);
}

#[test]
fn tokens_that_end_a_turn_are_known_by_their_spelling() {
    assert_eq!(built(&byte_level()).end_tokens(), [259]);
    assert_eq!(built(&sentence_piece()).end_tokens(), [0u32; 0]);
}

#[test]
fn a_byte_without_a_token_is_an_error_where_it_occurs() {
    let mut writer = byte_level();
    for (name, value) in &mut writer.meta {
        if *name == key("tokens") {
            let Meta::Array(_, tokens) = value else {
                panic!()
            };
            tokens[0x41] = Meta::Text("nothing".into());
        }
    }
    let tokenizer = built(&writer);
    assert_eq!(tokenizer.encode("ab", true).unwrap(), [256]);
    assert_eq!(
        tokenizer.encode("aA", true).unwrap_err().to_string(),
        "the tokenizer of v.gguf can't encode: the vocabulary has no token for the byte 0x41"
    );
    let unknown = writer.with(&key("unknown_token_id"), Meta::U32(258));
    assert_eq!(built(&unknown).encode("aA", true).unwrap(), [97, 258]);
}

#[test]
fn a_pre_tokenizer_that_is_not_known_is_named_with_the_known_ones() {
    let message = refusal(&set(byte_level(), "pre", Meta::Text("qwen-2".into())));
    assert!(
        message.starts_with(
            "v.gguf: tokenizer.ggml.pre is `qwen-2`, a pre-tokenizer that is not known, the nearest is `qwen2`; known are"
        ),
        "{message}"
    );
    assert!(message.contains("deepseek-coder, "), "{message}");
    let message = refusal(&without(byte_level(), "pre"));
    assert!(
        message.contains("tokenizer.ggml.pre is missing"),
        "{message}"
    );
}

#[test]
fn a_kind_that_is_not_known_and_a_missing_one_are_named() {
    let message = refusal(&set(byte_level(), "model", Meta::Text("rwkv".into())));
    assert_eq!(
        message,
        "v.gguf: tokenizer.ggml.model is `rwkv`, a kind of vocabulary that is not known; known are llama, gpt2, bert \
         and t5, so it can neither read nor write text"
    );
    let message = refusal(&without(byte_level(), "model"));
    assert!(
        message.contains("(tokenizer.ggml.model is missing)"),
        "{message}"
    );
    let message = refusal(&without(byte_level(), "tokens"));
    assert!(
        message.contains("(tokenizer.ggml.tokens is missing or empty)"),
        "{message}"
    );
}

/// [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, then pieces.
fn word_piece() -> Writer {
    let marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map(|text| (text.to_string(), CONTROL, 0.0));
    let words = ["▁play", "ing", "▁cafe", "▁!", "▁Äb"].map(|text| (text.to_string(), NORMAL, 0.0));
    vocabulary("bert", &[&marks[..], &words[..]].concat())
        .with(&key("unknown_token_id"), Meta::U32(1))
        .with(&key("cls_token_id"), Meta::U32(2))
        .with(&key("seperator_token_id"), Meta::U32(3))
}

#[test]
fn words_are_made_of_pieces_between_cls_and_sep() {
    let tokenizer = built(&word_piece());
    let ids = tokenizer.encode("Playing café! xyz [SEP]", true).unwrap();
    assert_eq!(ids, [2, 4, 5, 6, 7, 1, 3, 3]);
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "playing cafe!");
    assert_eq!(tokenizer.id_to_token(5).unwrap(), "##ing");
    let cased = set(word_piece(), "normalizer.lowercase", Meta::Bool(false));
    assert_eq!(built(&cased).encode("Äb Playing", false).unwrap(), [8, 1]);
}

/// <pad> 0, </s> 1, <unk> 2, then pieces.
fn unigram() -> Writer {
    let mut tokens: Vec<_> = [("<pad>", CONTROL), ("</s>", CONTROL), ("<unk>", UNKNOWN)]
        .map(|(text, kind)| (text.to_string(), kind, 0.0))
        .into();
    for (text, score) in [
        ("▁", -2.0),
        ("▁ab", -3.0),
        ("a", -4.0),
        ("b", -4.0),
        ("ab", -9.0),
        ("bb", -5.0),
    ] {
        tokens.push((text.to_string(), NORMAL, score));
    }
    vocabulary("t5", &tokens)
}

#[test]
fn the_most_probable_pieces_win() {
    let tokenizer = built(&unigram());
    let ids = |text: &str| tokenizer.encode(text, false).unwrap();
    assert_eq!(ids("ab"), [4]);
    // ▁ab b is -7, ▁ a bb is -11.
    assert_eq!(ids("abb"), [4, 6]);
    assert_eq!(ids("bb ab"), [3, 8, 4]);
    assert_eq!(ids("xyb"), [3, 2, 6]);
    assert_eq!(tokenizer.encode("ab", true).unwrap(), [4, 1]);
    assert_eq!(tokenizer.encode("ab</s>", false).unwrap(), [4, 1]);
    assert!(!tokenizer.encode_plain("ab</s>").unwrap().contains(&1));
    assert_eq!(tokenizer.decode(&[4, 3, 8, 1], true).unwrap(), "ab bb");
}

#[test]
fn extra_spaces_go_where_the_file_says_so() {
    let kept = built(&unigram()).encode("  ab  ab ", false).unwrap();
    assert_eq!(kept, [3, 3, 4, 3, 4, 3]);
    let dropped = set(unigram(), "remove_extra_whitespaces", Meta::Bool(true));
    assert_eq!(built(&dropped).encode("  ab  ab ", false).unwrap(), [4, 4]);
}
