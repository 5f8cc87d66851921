//! How byte-level vocabularies split a text into words, by the name in `tokenizer.ggml.pre`.
//!
//! A way of splitting is a list of regular expressions. Each one splits the pieces that the previous one left: a match
//! becomes a piece of its own, and so does the text between two matches. The expressions are the same as in the models'
//! own tokenizers.

use tokenizers::normalizer::SplitDelimiterBehavior;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};

/// A way of splitting, with all its names.
pub struct PreTokenizer {
    /// The names.
    pub names: &'static [&'static str],
    cuts: &'static [&'static str],
    /// Whether a word that is a token becomes that token, whatever its parts would be merged to.
    pub whole_words: bool,
    /// Whether texts begin with BOS if the file does not say.
    pub add_bos: bool,
}

/// The expression of GPT-2, which the byte-level pre-tokenizer uses by default.
pub(crate) const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const MINICPM5: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const JAIS2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BAILING: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const SEED_CODER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const EXAONE_MOE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
/// Letters of scripts with two cases.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮ\x{2CF2}\x{2CF3}Ꙁ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
/// Chinese characters, kana and hangul, and the other characters from U+0800 on.
const DEEPSEEK_CJK: &str = r"[一-龥ࠀ-一가-\x{D7FF}]+";

const fn plain(names: &'static [&'static str], cuts: &'static [&'static str]) -> PreTokenizer {
    PreTokenizer {
        names,
        cuts,
        whole_words: false,
        add_bos: false,
    }
}

const fn whole(names: &'static [&'static str], cuts: &'static [&'static str]) -> PreTokenizer {
    PreTokenizer {
        whole_words: true,
        ..plain(names, cuts)
    }
}

const fn whole_after_bos(
    names: &'static [&'static str],
    cuts: &'static [&'static str],
) -> PreTokenizer {
    PreTokenizer {
        add_bos: true,
        ..whole(names, cuts)
    }
}

/// All known ways of splitting.
static KNOWN: &[PreTokenizer] = &[
    plain(
        &["default"],
        &[r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    ),
    plain(
        &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "jina-es",
            "jina-de",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "exaone4",
        ],
        &[GPT2],
    ),
    whole_after_bos(
        &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        &[LLAMA3],
    ),
    plain(&["dbrx", "smaug-bpe", "chatglm-bpe"], &[LLAMA3]),
    whole(&["glm4", "glm5"], &[LLAMA3]),
    plain(&["jais-2"], &[JAIS2]),
    plain(
        &[
            "starcoder",
            "refact",
            "command-r",
            "smollm",
            "codeshell",
            "exaone",
            "minerva-7b",
            "mellum2",
        ],
        &[r"\p{N}", GPT2],
    ),
    plain(
        &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "stablelm2",
            "megrez",
            "hunyuan",
            "solar-open",
            "grok-2",
        ],
        &[QWEN2],
    ),
    plain(&["qwen35"], &[QWEN35]),
    plain(
        &["deepseek-llm"],
        &[
            r"[\r\n]",
            DEEPSEEK_LETTERS,
            r"\s?[!-/:-~！-／：-～‘-‟\x{3000}-。]+",
            r"\s+$",
            DEEPSEEK_CJK,
            r"\p{N}+",
        ],
    ),
    plain(
        &["deepseek-coder"],
        &[
            r"[\r\n]",
            r"\s?\p{L}+",
            r"\s?\p{P}+",
            DEEPSEEK_CJK,
            r"\p{N}",
        ],
    ),
    plain(
        &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        &[r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3],
    ),
    plain(
        &["falcon"],
        &[r"[\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"],
    ),
    plain(&["poro-chat", "bloom", "gpt3-finnish"], &[BLOOM]),
    plain(&["viking"], &[BLOOM, r"\p{N}"]),
    whole_after_bos(&["tekken"], &[TEKKEN]),
    plain(
        &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        &[GPT4O],
    ),
    plain(
        &["tiny_aya", "cohere2moe"],
        &[r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O],
    ),
    plain(&["superbpe"], &[r"\p{N}+", r"(?=(\d{3})+(?!\d))"]),
    plain(&["bailingmoe", "bailingmoe2", "llada-moe"], &[BAILING]),
    plain(&["seed-coder"], &[SEED_CODER]),
    plain(&["exaone-moe"], &[EXAONE_MOE]),
    whole(&["minicpm5"], &[r"\p{N}{1,3}", MINICPM5]),
];

/// The names of all known ways of splitting, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = KNOWN
        .iter()
        .flat_map(|known| known.names)
        .copied()
        .collect();
    names.sort_unstable();
    names
}

/// The way of splitting with that name.
pub fn named(name: &str) -> Option<&'static PreTokenizer> {
    KNOWN.iter().find(|known| known.names.contains(&name))
}

/// The first name of the way of splitting that has these expressions and this value of `whole_words`.
pub fn of_cuts(cuts: &[String], whole_words: bool) -> Option<&'static str> {
    let known = KNOWN
        .iter()
        .find(|known| known.cuts == cuts && known.whole_words == whole_words)?;
    known.names.first().copied()
}

impl PreTokenizer {
    /// Builds the pre-tokenizer, which splits a text and spells the words in the byte-level alphabet.
    pub fn build(&self) -> tokenizers::Result<PreTokenizerWrapper> {
        let mut parts: Vec<PreTokenizerWrapper> = Vec::new();
        for cut in self.cuts {
            let pattern = SplitPattern::Regex(cut.to_string());
            parts.push(Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?.into());
        }
        parts.push(ByteLevel::new(false, false, false).into());
        Ok(Sequence::new(parts).into())
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    use super::*;

    fn words(name: &str, text: &str) -> Vec<String> {
        let mut words = PreTokenizedString::from(text);
        let cut = named(name).unwrap().build().unwrap();
        cut.pre_tokenize(&mut words).unwrap();
        words
            .get_splits(OffsetReferential::Original, OffsetType::Byte)
            .iter()
            .map(|(word, _, _)| word.replace('Ġ', " "))
            .collect()
    }

    #[test]
    fn every_expression_compiles_and_no_text_is_lost() {
        let text = "Hello, you'LL  see 12345 things\r\n\t(日本 ÄB√)\u{3000}…x\u{0}";
        for known in KNOWN {
            for name in known.names {
                let all: String = text
                    .bytes()
                    .map(super::super::byte_level::character)
                    .collect();
                assert_eq!(words(name, text).concat(), all.replace('Ġ', " "), "{name}");
            }
        }
    }

    #[test]
    fn no_name_occurs_twice() {
        assert!(names().is_sorted_by(|a, b| a < b));
        assert!(named("gpt-3").is_none());
    }

    #[test]
    fn families_differ_where_their_models_do() {
        let text = "we'LL pay 12345";
        assert_eq!(words("gpt-2", text), ["we", "'", "LL", " pay", " 12345"]);
        assert_eq!(
            words("llama-bpe", text),
            ["we", "'LL", " pay", " ", "123", "45"]
        );
        assert_eq!(
            words("qwen2", text),
            ["we", "'LL", " pay", " ", "1", "2", "3", "4", "5"]
        );
        assert_eq!(
            words("starcoder", text),
            ["we", "'", "LL", " pay", " ", "1", "2", "3", "4", "5"]
        );
        assert_eq!(words("tekken", "HelloWorld A"), ["Hello", "World", " A"]);
    }
}
