//! The tokens in the vocabulary of a GGUF file: their spelling, their kind, and their bytes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::byte_level;

/// The character that vocabularies of SentencePiece use for a space, U+2581.
pub const SPACE_MARK: &str = "▁";

/// The kind of a token, as in `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Ordinary text.
    Normal,
    /// The token for everything that has no token.
    Unknown,
    /// A mark that is not text: BOS, end of turn.
    Control,
    /// A text that is always one token, and is found before all others.
    UserDefined,
    /// An unused id of the vocabulary.
    Unused,
    /// One byte of a character that has no token.
    Byte,
}

impl TokenKind {
    /// The kind with that number; 0 means that the kind was not set.
    pub fn of_number(number: i32) -> Option<TokenKind> {
        Some(match number {
            1 => TokenKind::Normal,
            2 => TokenKind::Unknown,
            3 => TokenKind::Control,
            4 => TokenKind::UserDefined,
            0 | 5 => TokenKind::Unused,
            6 => TokenKind::Byte,
            _ => return None,
        })
    }

    /// Whether the token is not part of the text.
    pub fn is_special(self) -> bool {
        matches!(self, TokenKind::Control | TokenKind::Unknown)
    }

    /// Whether text can become this token by joining its parts.
    pub fn is_text(self) -> bool {
        matches!(
            self,
            TokenKind::Normal | TokenKind::UserDefined | TokenKind::Unused
        )
    }
}

/// How a vocabulary spells its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// Each byte as a character ([`byte_level`]).
    ByteLevel,
    /// Unchanged, with [`SPACE_MARK`] for a space. With `prefixed`, the first word of a text is preceded by a space that is
    /// not part of the text.
    Spaces {
        /// Whether a space is put before a text.
        prefixed: bool,
    },
    /// With `##` before tokens that continue a word; a separate decoder joins the words.
    WordPiece,
}

/// The tokens of a vocabulary, by id and by spelling.
#[derive(Debug)]
pub struct Pieces {
    texts: Vec<Arc<str>>,
    kinds: Vec<TokenKind>,
    ids: HashMap<Arc<str>, u32>,
    spelling: Spelling,
}

impl Pieces {
    /// Two tokens with the same spelling are an error; a token with an empty spelling has no text and is never found.
    pub fn new(
        texts: Vec<Arc<str>>,
        kinds: Vec<TokenKind>,
        spelling: Spelling,
    ) -> Result<Self, String> {
        let mut ids = HashMap::with_capacity(texts.len());
        for (id, text) in (0u32..).zip(&texts) {
            if text.is_empty() {
                continue;
            }
            match ids.entry(text.clone()) {
                Entry::Vacant(slot) => slot.insert(id),
                Entry::Occupied(slot) => {
                    let text: String = text.chars().take(64).collect();
                    return Err(format!(
                        "the tokens {} and {id} are both `{text}`",
                        slot.get()
                    ));
                }
            };
        }
        Ok(Pieces {
            texts,
            kinds,
            ids,
            spelling,
        })
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// The spelling of a token.
    pub fn text(&self, id: u32) -> Option<&str> {
        self.texts.get(id as usize).map(|text| &**text)
    }

    /// The kind of a token.
    pub fn kind(&self, id: u32) -> Option<TokenKind> {
        self.kinds.get(id as usize).copied()
    }

    /// The token with this spelling.
    pub fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// All tokens: id, spelling, kind.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str, TokenKind)> {
        (0..)
            .zip(self.texts.iter().zip(&self.kinds))
            .map(|(id, (text, kind))| (id, &**text, *kind))
    }

    /// The tokens of the 256 bytes, spelled `<0x0A>`.
    pub fn bytes(&self) -> Box<[Option<u32>; 256]> {
        let mut bytes = Box::new([None; 256]);
        for (byte, slot) in (0u8..=255).zip(bytes.iter_mut()) {
            let id = self.id(&format!("<0x{byte:02X}>"));
            *slot = id.filter(|&id| self.kind(id) == Some(TokenKind::Byte));
        }
        bytes
    }

    /// The text of tokens; `None` if a separate decoder must compose it.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Option<String> {
        if self.spelling == Spelling::WordPiece {
            return None;
        }
        let mut out = Vec::new();
        let mut first = true;
        for &id in ids {
            let (Some(text), Some(kind)) = (self.text(id), self.kind(id)) else {
                continue;
            };
            if kind.is_special() && skip_special {
                continue;
            }
            let drops_space = first && self.spelling == (Spelling::Spaces { prefixed: true });
            first = false;
            match (kind, self.spelling) {
                (TokenKind::Control | TokenKind::Unknown | TokenKind::UserDefined, _) => {
                    out.extend_from_slice(text.as_bytes());
                }
                (TokenKind::Byte, _) => match byte_of(text) {
                    Some(byte) => out.push(byte),
                    None => out.extend_from_slice(text.as_bytes()),
                },
                (_, Spelling::ByteLevel) => spell_bytes(text, &mut out),
                _ => {
                    let text = match text.strip_prefix(SPACE_MARK) {
                        Some(rest) if drops_space => rest,
                        _ => text,
                    };
                    out.extend_from_slice(text.replace(SPACE_MARK, " ").as_bytes());
                }
            }
        }
        let text = String::from_utf8(out);
        Some(text.unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }
}

/// The byte of a byte token, spelled `<0x0A>`.
fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// Appends the bytes that the characters of a byte-level token stand for; a token with any other character is its own text.
fn spell_bytes(text: &str, out: &mut Vec<u8>) {
    let begun = out.len();
    for character in text.chars() {
        match byte_level::byte(character) {
            Some(byte) => out.push(byte),
            None => {
                out.truncate(begun);
                out.extend_from_slice(text.as_bytes());
                return;
            }
        }
    }
}
