//! The tokens of the vocabulary to be written: spelling and kind by id.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::text::tokenizer::SPACE_MARK;

pub(super) const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
pub(super) const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// The most ids without a token.
const MOST_GAPS: usize = 1 << 20;

/// The tokens: spelling and kind by id.
#[derive(Default)]
pub(super) struct Tokens {
    by_id: BTreeMap<u32, (String, i32)>,
}

impl Tokens {
    /// The model's own tokens.
    pub(super) fn read(&mut self, model: &Json) -> Result<(), String> {
        let Some(vocab) = model.get("vocab").and_then(Json::as_object) else {
            return Err("model: it has no map \"vocab\"".to_string());
        };
        for (text, id) in vocab {
            let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
                return Err(format!("model: the id of the token {text:?} is {id}"));
            };
            if let Some((other, _)) = self.by_id.insert(id, (text.clone(), NORMAL)) {
                return Err(format!(
                    "model: the tokens {other:?} and {text:?} both have the id {id}"
                ));
            }
        }
        Ok(())
    }

    /// The added tokens, which are found in a text before anything else.
    pub(super) fn add(&mut self, json: &Json) -> Result<(), String> {
        let added = json.get("added_tokens").and_then(Json::as_array);
        for token in added.into_iter().flatten() {
            let id = token.get("id").and_then(Json::as_u64);
            let id = id.and_then(|id| u32::try_from(id).ok());
            let (Some(id), Some(text)) = (id, token.get("content").and_then(Json::as_str)) else {
                return Err(format!(
                    "added_tokens: {token} has no \"id\" and \"content\""
                ));
            };
            let is = |name: &str| token.get(name).and_then(Json::as_bool) == Some(true);
            for flag in ["single_word", "lstrip", "rstrip"] {
                if is(flag) {
                    return Err(format!(
                        "added_tokens: {text:?} has \"{flag}\": true, which can't be written"
                    ));
                }
            }
            let kind = if is("special") { CONTROL } else { USER_DEFINED };
            if let Some((other, _)) = self.by_id.insert(id, (text.to_string(), kind))
                && other != text
            {
                return Err(format!(
                    "added_tokens: {text:?} has the id {id}, which already belongs to {other:?}"
                ));
            }
        }
        Ok(())
    }

    /// The id of a spelling.
    pub(super) fn id(&self, text: &str) -> Option<u32> {
        let mut tokens = self.by_id.iter();
        let (id, _) = tokens.find(|(_, (other, _))| other == text)?;
        Some(*id)
    }

    /// Sets the kind of the token with this spelling; returns its id.
    fn mark(&mut self, text: &str, kind: i32) -> Option<u32> {
        let mut tokens = self.by_id.iter_mut();
        let (id, (_, old)) = tokens.find(|(_, (other, _))| other == text)?;
        *old = kind;
        Some(*id)
    }

    /// Marks the tokens of bytes, spelled `<0x0A>`.
    pub(super) fn mark_bytes(&mut self) {
        for (text, kind) in self.by_id.values_mut() {
            let digits = text.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
            let is_byte = digits.is_some_and(|digits| {
                digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit())
            });
            if is_byte && *kind == NORMAL {
                *kind = BYTE;
            }
        }
    }

    /// Marks the token that stands for text without a token of its own.
    pub(super) fn mark_unknown(&mut self, text: &str) -> Option<u32> {
        self.mark(text, UNKNOWN)
    }

    /// Marks a token that is not text.
    pub(super) fn mark_control(&mut self, text: &str) -> Option<u32> {
        self.mark(text, CONTROL)
    }

    /// Spells the tokens of WordPiece as GGUF files do: they mark a piece that begins a word, not one that continues a word.
    pub(super) fn respell(&mut self) {
        for (text, kind) in self.by_id.values_mut() {
            if *kind == NORMAL {
                *text = match text.strip_prefix("##") {
                    Some(rest) => rest.to_string(),
                    None => format!("{SPACE_MARK}{text}"),
                };
            }
        }
    }

    /// All tokens in the order of their ids; ids without a token are filled.
    pub(super) fn texts(&self, count: Option<usize>) -> Result<Vec<(String, i32)>, String> {
        let largest = self.by_id.keys().next_back();
        let own = largest.map_or(0, |&id| id as usize + 1);
        let all = count.unwrap_or(own);
        if own > all {
            return Err(format!(
                "the tokens have ids up to {}, but the model has {all} tokens",
                own - 1
            ));
        }
        if all - self.by_id.len() > MOST_GAPS {
            return Err(format!(
                "{} of {all} ids have no token; at most {MOST_GAPS} may lack one",
                all - self.by_id.len()
            ));
        }
        let mut texts = Vec::with_capacity(all);
        for (&id, token) in &self.by_id {
            fill(&mut texts, id as usize);
            texts.push(token.clone());
        }
        fill(&mut texts, all);
        Ok(texts)
    }
}

/// Adds tokens that stand for nothing, up to the id `end`.
pub(super) fn fill(texts: &mut Vec<(String, i32)>, end: usize) {
    for id in texts.len()..end {
        texts.push((format!("[PAD{id}]"), UNUSED));
    }
}
