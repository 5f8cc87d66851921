//! Reads the bytes of a header in order, and none beyond the end of the file.

use std::fmt;

/// The longest header that is read, in bytes: metadata and tensor descriptions.
pub const MAX_HEADER_BYTES: usize = 256 << 20;

/// Why reading a header stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// The file has at least this many bytes, counted from its start, and reading needs them.
    More(usize),
    /// The file is not a GGUF file, is cut off, or contradicts itself.
    Bad(String),
    /// The description of a tensor cannot be true.
    BadTensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
}

impl Stop {
    pub fn bad(problem: impl Into<String>) -> Stop {
        Stop::Bad(problem.into())
    }
}

/// A position in a header. Numbers are little-endian.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The length of the whole file; `bytes` is its beginning.
    available: u64,
    /// What is being read, for error messages: "metadata key 3".
    pub reading: String,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of a file that is `available` bytes long and begins with `bytes`.
    pub fn new(bytes: &'a [u8], available: u64) -> Self {
        Cursor {
            bytes,
            at: 0,
            available,
            reading: String::new(),
        }
    }

    /// The number of bytes from the start of the file.
    pub fn position(&self) -> usize {
        self.at
    }

    /// A problem with what is being read.
    pub fn problem(&self, problem: impl fmt::Display) -> Stop {
        Stop::Bad(format!("{}: {problem}", self.reading))
    }

    /// Fails unless the rest of the file is long enough for `count` things of at least `least` bytes each. `what` is
    /// the word for the things.
    pub fn expect(&self, count: u64, least: u64, what: &str) -> Result<(), Stop> {
        let rest = self.available.saturating_sub(self.at as u64);
        match count.checked_mul(least) {
            Some(needed) if needed <= rest => Ok(()),
            _ => Err(self.problem(format_args!(
                "{count} {what} are claimed, but {rest} bytes follow; the file is cut off or damaged"
            ))),
        }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: u64) -> Result<&'a [u8], Stop> {
        self.expect(count, 1, "bytes")?;
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| self.at.checked_add(count))
            .filter(|&end| end <= MAX_HEADER_BYTES);
        let Some(end) = end else {
            return Err(self.problem(format_args!(
                "the header is longer than {MAX_HEADER_BYTES} bytes, the most that is read"
            )));
        };
        let taken = self.bytes.get(self.at..end).ok_or(Stop::More(end))?;
        self.at = end;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let taken = self.take(N as u64)?.first_chunk().copied();
        taken.ok_or_else(|| self.problem("cut off"))
    }

    pub fn u32(&mut self) -> Result<u32, Stop> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Stop> {
        self.array().map(u64::from_le_bytes)
    }

    /// The bytes of a string: a length of 64 bits, then that many bytes.
    pub fn string(&mut self) -> Result<&'a [u8], Stop> {
        let length = self.u64()?;
        self.take(length)
    }

    /// A string that is a name, and so must be UTF-8.
    pub fn name(&mut self) -> Result<String, Stop> {
        let bytes = self.string()?;
        match std::str::from_utf8(bytes) {
            Ok(name) => Ok(name.to_string()),
            Err(_) => {
                let shown: String = String::from_utf8_lossy(bytes).chars().take(64).collect();
                Err(self.problem(format_args!("the name `{shown}` is not UTF-8")))
            }
        }
    }
}
