//! The memory that a vocabulary needs, requested before the vocabulary is built.
//!
//! A vocabulary becomes many small texts and tables, most of them in a library that aborts the program if an allocation
//! fails. So the most memory that all of them need together is allocated once, in one piece, and freed immediately: if that
//! fails, the result is an error.

use std::hint::black_box;

/// The most bytes that are allocated at any time while a vocabulary is built, as two parts that are added up. The numbers
/// were measured with short and long random tokens, plus a fifth: the allocator rounds up, and tables grow by doubling.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// Bytes for each token and for each merge rule.
    pub entry: usize,
    /// Bytes for each byte of their spellings.
    pub byte: usize,
}

/// SentencePiece's BPE: a text, and its entry in a table.
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
    entry: 360,
    byte: 6,
};
/// Unigram: a tree with a table for each byte of a token that no other token begins with.
pub const UNIGRAM: Needs = Needs {
    entry: 320,
    byte: 390,
};
/// Tokens that are found before all others: an automaton with several states for each byte.
pub const ADDED: Needs = Needs {
    entry: 300,
    byte: 70,
};
/// A table of character replacements: its nodes, the visited flags, and the library's copy.
pub const REPLACEMENTS: Needs = Needs { entry: 0, byte: 8 };
/// A `tokenizer.json`, with one entry for each comma: byte-level BPE, which needs the most.
pub const FILE: Needs = Needs {
    entry: 560,
    byte: 4,
};

/// The percentage of the most allocated memory that remains allocated when a tokenizer is finished.
const LEFT: usize = 70;
/// The same percentage for [`FILE`]: the rest is memory for intermediate forms of the file's text.
const LEFT_OF_FILE: usize = 40;

/// The approximate size in bytes of a tokenizer made from a `tokenizer.json` of `bytes` bytes.
pub fn estimate_file(bytes: u64) -> usize {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    // The average size of an entry in the file: its token or rule, quotation marks and a number.
    FILE.most(bytes / BYTES_OF_ENTRY, bytes) / 100 * LEFT_OF_FILE
}

/// Bytes of a `tokenizer.json` for each token and each rule.
const BYTES_OF_ENTRY: usize = 20;

impl Needs {
    /// The approximate size in bytes of `entries` whose spellings have `bytes` bytes in total.
    pub fn estimate(self, entries: usize, bytes: usize) -> usize {
        self.most(entries, bytes) / 100 * LEFT
    }

    /// The most bytes that are allocated at any time.
    fn most(self, entries: usize, bytes: usize) -> usize {
        let entries = self.entry.saturating_mul(entries);
        self.byte.saturating_mul(bytes).saturating_add(entries)
    }

    /// Fails if the system does not have the memory for `entries` whose spellings have `bytes` bytes in total.
    pub fn ensure(self, entries: usize, bytes: usize) -> Result<(), String> {
        let all = self.most(entries, bytes);
        let mut probe: Vec<u8> = Vec::new();
        let granted = probe.try_reserve_exact(all);
        // The compiler would remove an allocation that is not used.
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
