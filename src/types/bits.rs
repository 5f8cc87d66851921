//! What a pass promises about the bits of the outputs.

use std::fmt;

/// How much a pass may change the bits of the outputs of the graph.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub enum Bits {
    /// Not at all.
    Same,
    /// By this much, relative to the largest magnitude of the output.
    Within(f64),
}

impl Bits {
    /// Whether everything that keeps the promise `self` also keeps the promise `other`.
    pub fn keeps(self, other: Bits) -> bool {
        match (self, other) {
            (Bits::Same, _) => true,
            (Bits::Within(_), Bits::Same) => false,
            (Bits::Within(own), Bits::Within(promised)) => own <= promised,
        }
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bits::Same => f.write_str("same bits"),
            Bits::Within(x) => write!(f, "within {x:?}"),
        }
    }
}
