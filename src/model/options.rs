//! What a caller may choose when opening a model.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// How far loading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Weights ready.
    pub done: usize,
    /// Weights in all.
    pub all: usize,
}

/// Which logits a prompt step computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Logits {
    /// Those of the last token: what choosing the next token needs. Bidirectional models give those of every token all
    /// the same.
    #[default]
    Last,
    /// Those of every token.
    All,
}

/// What opening a model does about its tokenizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Text {
    /// Nothing: token ids in, logits out. What is wrong with the tokenizer does not matter.
    Never,
    /// It is there if the model has one of a known kind. What is missing is told when text is asked for; one that is
    /// broken is refused.
    #[default]
    IfAny,
    /// The model is refused, before its weights are read, if it has no tokenizer of a known kind.
    Needed,
}

/// Choices for [`super::Model::open`]. The default is what most callers want.
#[derive(Clone, Default)]
pub struct Options {
    /// Threads that run a step; where `None`, all that the system grants the process, or one alone for steps too small
    /// to gain from more.
    pub threads: Option<usize>,
    /// Positions of a session; the smaller of the model's and 4096 where `None`.
    pub context: Option<usize>,
    /// The most tokens of a prompt step, and never more than the context; where `None` 512 (with [`Logits::All`] fewer, if
    /// their logits would take more than 64 MiB), or for bidirectional models, which read a text in one step, the context.
    pub chunk: Option<usize>,
    /// Which logits a prompt step computes.
    pub logits: Logits,
    /// Whether text is wanted, and so a tokenizer.
    pub text: Text,
    /// Passes or rules to leave out.
    pub without: BTreeSet<String>,
    /// Stop after this pass.
    pub stop_after: Option<String>,
    /// The instruction set: `scalar`, `avx2` or `avx512`. Where `None`, the environment variable `SMALLMIND_ISA`, or
    /// else the widest the CPU has.
    pub isa: Option<String>,
    /// A graph file instead of the built-in one for the model's architecture.
    pub graph: Option<PathBuf>,
    /// A folder of passes instead of the built-in ones.
    pub passes: Option<PathBuf>,
    /// Told how loading goes, from the calling thread.
    pub progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}
