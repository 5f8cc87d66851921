//! Sessions as files.
//!
//! ```text
//! all numbers little-endian
//! 8 bytes    "SMSESS\r\n"
//! u32        version, 1
//! u64 × 3    the model: digests of its graph, its caches and its weights
//! u64        positions n
//! u32 × n    tokens
//! each cache, in the plan's order: rows first..n, where first is 0, or n - window where queries see a window
//!     each row: each KV head: key f32 × head_dim, value f32 × head_dim
//! u64        FNV-1a of all bytes before
//! ```
//!
//! Nothing depends on how rows lie in memory, on the context or on threads. The rows reach back one position further
//! than the next token needs, so that the last token may be read again for its logits. The checksum detects damage but
//! does not protect against intent: rows made up by somebody are accepted, and determine the logits.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::OnceLock;

use super::arena::ArenaError;
use super::refused::Refused;
use super::step_error::StepError;
use crate::files::digest::Digest;
use crate::files::weight_files::WeightFilesError;
use crate::kernels::kv_cache::SequenceCache;
use crate::plan::{Cache, ModelPlan};

const MAGIC: [u8; 8] = *b"SMSESS\r\n";
const VERSION: u32 = 1;
/// Bytes before the tokens.
const HEADER: u64 = 8 + 4 + 3 * 8 + 8;
/// Bytes after the rows.
const CHECKSUM: u64 = 8;

/// What a session's rows were made with. Digests tell that two models differ, by accident and not by intent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The graph after the passes.
    pub graph: u64,
    /// The caches' shapes and types.
    pub caches: u64,
    /// The tensors that the graph reads.
    pub weights: u64,
}

impl Identity {
    fn digests(self) -> [u64; 3] {
        [self.graph, self.caches, self.weights]
    }

    /// The first of these that differs.
    fn difference(self, other: Identity) -> Option<&'static str> {
        let what = ["graph after passes", "key-value caches", "weights"];
        let pairs = self.digests().into_iter().zip(other.digests());
        let mut differing = what.into_iter().zip(pairs).filter(|(_, (a, b))| a != b);
        differing.next().map(|(what, _)| what)
    }
}

/// An identity that is computed when it is first asked for.
pub struct LazyIdentity {
    found: OnceLock<Identity>,
    find: Box<dyn Fn() -> Result<Identity, WeightFilesError> + Send + Sync>,
}

impl LazyIdentity {
    /// What `find` returns. After an error, it is called again.
    pub fn new(
        find: impl Fn() -> Result<Identity, WeightFilesError> + Send + Sync + 'static,
    ) -> LazyIdentity {
        LazyIdentity {
            found: OnceLock::new(),
            find: Box::new(find),
        }
    }

    /// An identity that is known already.
    pub fn known(identity: Identity) -> LazyIdentity {
        LazyIdentity::new(move || Ok(identity))
    }

    pub(super) fn get(&self) -> Result<Identity, WeightFilesError> {
        match self.found.get() {
            Some(identity) => Ok(*identity),
            // Two threads may both compute it: the results are equal.
            None => Ok(*self.found.get_or_init({
                let identity = (self.find)()?;
                move || identity
            })),
        }
    }
}

/// Why a session can't be saved or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SavedSessionError {
    /// The system could not read or write.
    #[error("can't {action} the session: {source}")]
    Io {
        /// "read" or "write".
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The model's weights can't be read; a saved session contains a digest of them.
    #[error(transparent)]
    Weights(#[from] WeightFilesError),
    /// The first bytes are not those of a saved session.
    #[error("this is not a saved session: the first bytes are wrong")]
    NotASession,
    /// The file has another version's layout.
    #[error("the session is of version {found}; this program reads version {VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
    /// The session is of another model, or of the same model after other passes.
    #[error("the session belongs to another model or to other passes: the {differing} differ")]
    OtherModel {
        /// What differs first.
        differing: &'static str,
    },
    /// The session has more tokens than the context has positions.
    #[error("the session has {position} positions, but the context has {context}")]
    TooLong {
        /// Positions of the session.
        position: u64,
        /// Positions that the context has.
        context: usize,
    },
    /// A token is not in the model's vocabulary.
    #[error(
        "the session is damaged: token {token} at position {position} is not in the vocabulary of {vocabulary}"
    )]
    UnknownToken {
        /// The token id.
        token: u32,
        /// The token's position.
        position: usize,
        /// Ids that the model has.
        vocabulary: usize,
    },
    /// The file ends too early.
    #[error("the session is cut off: {found} of {expected} bytes are there")]
    Truncated {
        /// Bytes found.
        found: u64,
        /// Bytes that the session's positions take.
        expected: u64,
    },
    /// There are more bytes than the session's positions take.
    #[error("the session is damaged: it should end after {expected} bytes, but more follow")]
    Trailing {
        /// Bytes that the session's positions take.
        expected: u64,
    },
    /// The checksum does not match the bytes.
    #[error("the checksum does not match: the session is damaged")]
    Damaged,
    /// A model that keeps nothing between texts has nothing to save.
    #[error(
        "every token of this model attends to all others, as in encoders: its sessions have nothing to save"
    )]
    Bidirectional,
    /// Tokens whose rows are gone can't be read again.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The session's engine does not admit another sequence.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The system has no memory for the session.
    #[error(transparent)]
    Arena(#[from] ArenaError),
}

/// The first position whose row is saved for a session of `position` tokens: reading the last token again needs it.
pub(super) fn first_saved(cache: &Cache, position: usize) -> usize {
    cache.first_needed(position.saturating_sub(1))
}

/// Bytes of a session of `position` tokens, which are no more than the context.
fn expected_bytes(plan: &ModelPlan, position: usize) -> u64 {
    let tokens = position as u64 * size_of::<u32>() as u64;
    let rows = plan.caches().iter().map(|cache| {
        let rows = position - first_saved(cache, position);
        rows as u64 * cache.layout().row_bytes() as u64
    });
    HEADER + tokens + rows.sum::<u64>() + CHECKSUM
}

/// A buffer for the largest row.
fn row_buffer(plan: &ModelPlan) -> Vec<u8> {
    let largest = plan.caches().iter().map(|cache| cache.layout().row_bytes());
    vec![0; largest.max().unwrap_or(0)]
}

/// Writes the parts in order, and the checksum of all of them.
pub(super) struct Writer<W: Write> {
    to: BufWriter<W>,
    digest: Digest,
    row: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes everything that comes before the rows.
    pub fn new(
        to: W,
        identity: Identity,
        plan: &ModelPlan,
        tokens: &[u32],
    ) -> Result<Self, SavedSessionError> {
        if plan.is_bidirectional() {
            return Err(SavedSessionError::Bidirectional);
        }
        let mut writer = Writer {
            to: BufWriter::new(to),
            digest: Digest::default(),
            row: row_buffer(plan),
        };
        writer.write(&MAGIC)?;
        writer.write(&VERSION.to_le_bytes())?;
        for digest in identity.digests() {
            writer.write(&digest.to_le_bytes())?;
        }
        writer.write(&(tokens.len() as u64).to_le_bytes())?;
        for token in tokens {
            writer.write(&token.to_le_bytes())?;
        }
        Ok(writer)
    }

    /// Writes the row of a position.
    pub fn row(
        &mut self,
        rows: &SequenceCache<'_>,
        position: usize,
    ) -> Result<(), SavedSessionError> {
        let mut row = std::mem::take(&mut self.row);
        let bytes = &mut row[..rows.layout().row_bytes()];
        let mut cells = bytes.as_chunks_mut().0.iter_mut();
        for head in 0..rows.layout().kv_heads() {
            let elements = rows.key(head, position).chain(rows.value(head, position));
            for (element, bytes) in elements.zip(&mut cells) {
                *bytes = element.get().to_le_bytes();
            }
        }
        let written = self.write(bytes);
        self.row = row;
        written
    }

    /// Writes the checksum.
    pub fn finish(mut self) -> Result<(), SavedSessionError> {
        let checksum = self.digest.value();
        self.write(&checksum.to_le_bytes())?;
        self.to.flush().map_err(write_error)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SavedSessionError> {
        self.digest.add(bytes);
        self.to.write_all(bytes).map_err(write_error)
    }
}

fn write_error(source: io::Error) -> SavedSessionError {
    let action = "write";
    SavedSessionError::Io { action, source }
}

/// Reads and checks the parts in order.
pub(super) struct SavedReader<R: Read> {
    from: BufReader<R>,
    digest: Digest,
    /// Bytes read so far.
    found: u64,
    /// Bytes that there should be.
    expected: u64,
    /// Tokens of the session.
    position: usize,
    row: Vec<u8>,
}

impl<R: Read> SavedReader<R> {
    /// Reads everything that comes before the tokens: from then on the expected number of bytes is known.
    ///
    /// # Errors
    /// If the bytes can't be read, are no session of the plan, or have more than `context` positions.
    pub fn new(
        from: R,
        identity: Identity,
        plan: &ModelPlan,
        context: usize,
    ) -> Result<Self, SavedSessionError> {
        if plan.is_bidirectional() {
            return Err(SavedSessionError::Bidirectional);
        }
        let mut reader = SavedReader {
            from: BufReader::new(from),
            digest: Digest::default(),
            found: 0,
            expected: HEADER,
            position: 0,
            row: row_buffer(plan),
        };
        if reader.array()? != MAGIC {
            return Err(SavedSessionError::NotASession);
        }
        let found = u32::from_le_bytes(reader.array()?);
        if found != VERSION {
            return Err(SavedSessionError::Version { found });
        }
        let mut digest = || reader.array().map(u64::from_le_bytes);
        let (graph, caches, weights) = (digest()?, digest()?, digest()?);
        let found = Identity {
            graph,
            caches,
            weights,
        };
        if let Some(differing) = identity.difference(found) {
            return Err(SavedSessionError::OtherModel { differing });
        }
        let position = u64::from_le_bytes(reader.array()?);
        let fits = usize::try_from(position).ok().filter(|&n| n <= context);
        let fits = fits.ok_or(SavedSessionError::TooLong { position, context });
        reader.position = fits?;
        reader.expected = expected_bytes(plan, reader.position);
        Ok(reader)
    }

    /// Reads the tokens that follow the ones already in `tokens`.
    pub fn tokens(
        &mut self,
        vocabulary: usize,
        tokens: &mut Vec<u32>,
    ) -> Result<(), SavedSessionError> {
        for position in 0..self.position {
            let token = u32::from_le_bytes(self.array()?);
            if token as usize >= vocabulary {
                return Err(SavedSessionError::UnknownToken {
                    token,
                    position,
                    vocabulary,
                });
            }
            tokens.push(token);
        }
        Ok(())
    }

    /// Reads the row of a position.
    pub fn row(
        &mut self,
        rows: &SequenceCache<'_>,
        position: usize,
    ) -> Result<(), SavedSessionError> {
        let mut row = std::mem::take(&mut self.row);
        let bytes = &mut row[..rows.layout().row_bytes()];
        let read = self.read(bytes);
        let mut cells = bytes.as_chunks().0.iter();
        for head in 0..rows.layout().kv_heads() {
            let elements = rows.key(head, position).chain(rows.value(head, position));
            for (element, &bytes) in elements.zip(&mut cells) {
                element.set(f32::from_le_bytes(bytes));
            }
        }
        self.row = row;
        read
    }

    /// Reads the checksum, after which nothing may follow.
    pub fn finish(mut self) -> Result<(), SavedSessionError> {
        let digest = self.digest.value();
        let checksum = u64::from_le_bytes(self.array()?);
        if checksum != digest {
            return Err(SavedSessionError::Damaged);
        }
        let expected = self.expected;
        match self.array::<1>() {
            Ok(_) => Err(SavedSessionError::Trailing { expected }),
            Err(SavedSessionError::Truncated { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SavedSessionError> {
        let mut bytes = [0; N];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), SavedSessionError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.from.read(&mut bytes[filled..]) {
                Ok(0) => {
                    return Err(SavedSessionError::Truncated {
                        found: self.found + filled as u64,
                        expected: self.expected,
                    });
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let action = "read";
                    return Err(SavedSessionError::Io { action, source });
                }
            }
        }
        self.found += filled as u64;
        self.digest.add(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn an_identity_is_sought_when_it_is_asked_for_and_again_after_an_error() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let identity = LazyIdentity::new(move || match count.fetch_add(1, Ordering::Relaxed) {
            0 => Err(WeightFilesError::NotFound {
                tensor: "x".to_string(),
                nearest: None,
            }),
            _ => Ok(Identity {
                weights: 7,
                ..Identity::default()
            }),
        });
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        let error = SavedSessionError::from(identity.get().unwrap_err());
        assert!(error.to_string().contains("`x`"), "{error}");
        for _ in 0..2 {
            assert_eq!(identity.get().unwrap().weights, 7);
            assert_eq!(asked.load(Ordering::Relaxed), 2);
        }
    }
}
