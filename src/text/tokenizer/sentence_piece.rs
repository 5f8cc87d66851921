//! SentencePiece's BPE: neighbours whose joined text is a token are joined, the token with the highest score first.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::pieces::{Pieces, SPACE_MARK};

/// The rules of such a vocabulary, in addition to its tokens.
#[derive(Debug)]
pub struct SentencePiece {
    /// The score of each id; pairs with a higher score are joined first.
    pub scores: Vec<f32>,
    /// The tokens of bytes, for characters without a token.
    pub bytes: Box<[Option<u32>; 256]>,
    /// The token for characters whose bytes have no tokens.
    pub unknown: Option<u32>,
    /// Whether a space is put before a text.
    pub add_space_prefix: bool,
}

/// A stretch of the text. When stretches are joined, the first one becomes the whole and the others become empty.
struct Symbol {
    /// Its beginning, in bytes from the start of the text.
    start: usize,
    /// Its length in bytes; 0 if it was joined to a previous stretch.
    len: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

/// Two neighbours that may be joined.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// The bytes of both when the pair was found: if one of them has grown since then, the pair is out of date.
    len: usize,
}

impl Ord for Pair {
    /// Higher scores are greater; among equal scores, pairs further to the left are greater.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.score.total_cmp(&other.score)).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

impl SentencePiece {
    /// The tokens of a text without special and user-defined tokens, or an error that names a character without a token.
    pub fn tokenize(&self, pieces: &Pieces, text: &str) -> Result<Vec<u32>, String> {
        let mut text = text.replace(' ', SPACE_MARK);
        if self.add_space_prefix {
            text.insert_str(0, SPACE_MARK);
        }
        let mut ids = Vec::new();
        for symbol in self.join(pieces, &text) {
            let part = text.get(symbol).unwrap_or_default();
            match find(pieces, part) {
                Some(id) => ids.push(id),
                None => self.spell(part, &mut ids)?,
            }
        }
        Ok(ids)
    }

    /// The byte ranges of `text` that remain when no more neighbours can be joined.
    fn join(
        &self,
        pieces: &Pieces,
        text: &str,
    ) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(index, (start, character))| Symbol {
                start,
                len: character.len_utf8(),
                previous: index.checked_sub(1),
                next: Some(index + 1),
            })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.next = None;
        }
        let mut queue = BinaryHeap::new();
        let offer = |queue: &mut BinaryHeap<Pair>, symbols: &[Symbol], left, right| {
            let (Some(left), Some(right)) = (left, right) else {
                return;
            };
            let (a, b): (&Symbol, &Symbol) = (&symbols[left], &symbols[right]);
            let len = a.len + b.len;
            let joined = text.get(a.start..a.start + len).unwrap_or_default();
            if let Some(score) = find(pieces, joined).and_then(|id| self.scores.get(id as usize)) {
                queue.push(Pair {
                    score: *score,
                    left,
                    right,
                    len,
                });
            }
        };
        for right in 1..symbols.len() {
            offer(&mut queue, &symbols, Some(right - 1), Some(right));
        }
        while let Some(pair) = queue.pop() {
            let (left_len, right_len) = (symbols[pair.left].len, symbols[pair.right].len);
            if left_len == 0 || right_len == 0 || left_len + right_len != pair.len {
                continue;
            }
            let next = symbols[pair.right].next;
            symbols[pair.right].len = 0;
            symbols[pair.left].len = pair.len;
            symbols[pair.left].next = next;
            if let Some(next) = next {
                symbols[next].previous = Some(pair.left);
            }
            let previous = symbols[pair.left].previous;
            offer(&mut queue, &symbols, previous, Some(pair.left));
            offer(&mut queue, &symbols, Some(pair.left), next);
        }
        symbols
            .into_iter()
            .filter(|symbol| symbol.len > 0)
            .map(|symbol| symbol.start..symbol.start + symbol.len)
    }

    /// Appends a character without a token as its bytes or as the unknown token.
    fn spell(&self, part: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        let byte = |byte: u8| self.bytes.get(usize::from(byte)).copied().flatten();
        let bytes: Option<Vec<u32>> = part.bytes().map(byte).collect();
        match (bytes, self.unknown) {
            (Some(bytes), _) => ids.extend(bytes),
            (None, Some(unknown)) => ids.push(unknown),
            (None, None) => {
                return Err(format!(
                    "the vocabulary has no token for `{}`, none for its bytes, and none for the unknown",
                    part.escape_debug()
                ));
            }
        }
        Ok(())
    }
}

/// The token that a text becomes; markers with the same spelling do not count.
fn find(pieces: &Pieces, text: &str) -> Option<u32> {
    let id = pieces.id(text)?;
    pieces.kind(id)?.is_text().then_some(id)
}
