//! What goes wrong with a template, and where.

use std::cell::Cell;

/// A part of the template's text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The template is wrong, or does not fit the values.
    Failed(String),
    /// The template called `raise_exception`.
    Refused(String),
    /// The template did more work than it may.
    TooMuchWork,
}

/// A fault and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong.
    pub fault: Fault,
    /// The innermost expression or tag, once it is known.
    pub span: Option<Span>,
}

/// What parts of this folder return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A mistake of the template, at a place that is still to be told.
    pub fn new(problem: impl Into<String>) -> Error {
        Error {
            fault: Fault::Failed(problem.into()),
            span: None,
        }
    }

    /// The same at a place, unless one is known already.
    pub fn at(mut self, span: Span) -> Error {
        self.span.get_or_insert(span);
        self
    }
}

/// How many lists and maps inside each other are printed or compared; Python goes about as deep.
const DEEPEST: usize = 1000;

/// Bytes of text for one unit of work.
const BYTES_PER_UNIT: usize = 64;

/// The work that may still be done: a unit is a step, a value of a list, or 64 bytes of text.
#[derive(Debug)]
pub struct Budget {
    left: Cell<u64>,
    depth: Cell<usize>,
}

impl Budget {
    /// A budget of so many units.
    pub fn new(units: u64) -> Budget {
        Budget {
            left: Cell::new(units),
            depth: Cell::new(0),
        }
    }

    /// Spends units.
    pub fn spend(&self, units: usize) -> Result<()> {
        let left = self.left.get().checked_sub(units as u64);
        self.left.set(left.unwrap_or(0));
        match left {
            Some(_) => Ok(()),
            None => Err(Error {
                fault: Fault::TooMuchWork,
                span: None,
            }),
        }
    }

    /// Goes one level down into a value, and up again after `run`.
    pub fn deeper<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.depth.get() == DEEPEST {
            return Err(Error::new(format!(
                "a value with more than {DEEPEST} levels of recursion"
            )));
        }
        self.depth.set(self.depth.get() + 1);
        let result = run();
        self.depth.set(self.depth.get() - 1);
        result
    }

    /// Spends what a text of so many bytes costs.
    pub fn spend_bytes(&self, bytes: usize) -> Result<()> {
        self.spend(bytes / BYTES_PER_UNIT + 1)
    }
}
