//! Why a sequence is not admitted.

/// Why a sequence is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The maximum number of sequences is open. Another may be admitted when one is closed.
    #[error("all {slots} sequences are in use")]
    NoSlot {
        /// The most sequences.
        slots: usize,
    },
    /// Other sequences may need the pages. This one may be admitted when others are closed.
    #[error(
        "{positions} positions take {needed} pages, but only {free} of {all} are not promised to other sequences"
    )]
    NoPages {
        /// Positions asked for.
        positions: usize,
        /// Pages that the positions take.
        needed: usize,
        /// Pages that are not promised.
        free: usize,
        /// Pages of the arena.
        all: usize,
    },
    /// The sequence may need more pages than the arena has, even if all others were closed.
    #[error("{positions} positions take {needed} pages of {page} bytes, but there are only {all}")]
    TooLong {
        /// Positions asked for.
        positions: usize,
        /// Pages that the positions take.
        needed: usize,
        /// Pages of the arena.
        all: usize,
        /// Bytes of a page.
        page: usize,
    },
    /// More positions than the context has.
    #[error("{positions} positions do not fit into a context of {context}")]
    Context {
        /// Positions asked for.
        positions: usize,
        /// Positions that the context has.
        context: usize,
    },
}

impl Refused {
    /// Whether the same sequence can be admitted once others are closed.
    pub fn is_for_now(&self) -> bool {
        matches!(self, Refused::NoSlot { .. } | Refused::NoPages { .. })
    }
}
