//! The memory that a vocabulary takes, asked for before it is built.
//!
//! A vocabulary becomes many small texts and tables, most of them in a library that ends the program where an allocation
//! fails. So the most that all of them take together is asked for once, in one piece, and given back at once: where it can't
//! be had, that is an error.

use std::hint::black_box;

/// The most bytes that are allocated at a time while a vocabulary is built, in two parts that are added up. The numbers are
/// what short and long random tokens were found to take, and a fifth more: the allocator rounds, and tables grow by
/// doubling.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// For each token, and each rule that joins tokens.
    pub entry: usize,
    /// For each byte of their spellings.
    pub byte: usize,
}

/// SentencePiece's BPE: a text, and its place in a table.
pub const SENTENCE_PIECE: Needs = Needs {
    entry: 130,
    byte: 4,
};
/// Byte-level BPE: two tables by spelling, and the merges as texts and then as a table.
pub const BYTE_LEVEL: Needs = Needs {
    entry: 240,
    byte: 5,
};
/// WordPiece: three tables by spelling.
pub const WORD_PIECE: Needs = Needs {
    entry: 320,
    byte: 6,
};
/// Unigram: a tree that has a table for each byte of a token that no other begins with.
pub const UNIGRAM: Needs = Needs {
    entry: 320,
    byte: 390,
};
/// Tokens that are found before the others: an automaton with some states for each byte.
pub const ADDED: Needs = Needs {
    entry: 300,
    byte: 70,
};
/// A table of character replacements: its nodes, what was seen of them, and the library's copy.
pub const REPLACEMENTS: Needs = Needs { entry: 0, byte: 8 };
/// A `tokenizer.json`, an entry for each comma: byte-level BPE, which takes most.
pub const FILE: Needs = Needs {
    entry: 560,
    byte: 4,
};

/// What is left when a tokenizer is built of the most that was allocated, of 100.
const LEFT: usize = 70;
/// What is left of [`FILE`] when the tokenizer is built, of 100: the rest is what the file's text becomes on the way.
const LEFT_OF_FILE: usize = 40;

/// About how many bytes a tokenizer takes that is made of a `tokenizer.json` of so many bytes.
pub fn estimate_file(bytes: u64) -> usize {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    // What an entry takes there on the average: its token or rule, quotation marks and a number.
    FILE.most(bytes / BYTES_OF_ENTRY, bytes) / 100 * LEFT_OF_FILE
}

/// Bytes of a `tokenizer.json` for each token and each rule.
const BYTES_OF_ENTRY: usize = 20;

impl Needs {
    /// About how many bytes `entries` take whose spellings have `bytes` together.
    pub fn estimate(self, entries: usize, bytes: usize) -> usize {
        self.most(entries, bytes) / 100 * LEFT
    }

    /// The most bytes that are allocated at a time.
    fn most(self, entries: usize, bytes: usize) -> usize {
        let entries = self.entry.saturating_mul(entries);
        self.byte.saturating_mul(bytes).saturating_add(entries)
    }

    /// Fails if the system does not have the memory for `entries` whose spellings have `bytes` together.
    pub fn ensure(self, entries: usize, bytes: usize) -> Result<(), String> {
        let all = self.most(entries, bytes);
        let mut probe: Vec<u8> = Vec::new();
        let granted = probe.try_reserve_exact(all);
        // What is not looked at, the compiler would not allocate.
        black_box(&mut probe);
        granted.map_err(|_| {
            format!(
                "no memory for its vocabulary, which takes up to {} MiB while it is read",
                all.div_ceil(1 << 20)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused() {
        assert_eq!(FILE.ensure(1000, 1000), Ok(()));
        let error = UNIGRAM.ensure(1, usize::MAX).unwrap_err();
        assert!(error.starts_with("no memory for its vocabulary"), "{error}");
        assert!(ADDED.ensure(1 << 55, 1).is_err());
    }
}
