//! What a caller may choose when opening a model.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::blocks::BlockFormat;
use crate::types::DType;

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

/// What products with block-quantized weights multiply. Other weights always meet f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Activations {
    /// Signed bytes with a scale for each 32: faster, and within a few percent of the logits' spread.
    #[default]
    Int8,
    /// Floats: blocks are widened to f32 when the model is loaded, and everything is as if the file held those.
    F32,
}

/// The types that matrices of floats can become when a model is loaded: those that products read. Gains, biases and tables
/// keep their own.
///
/// A format of blocks of 256 gives way to one of 32 where rows are not made of whole blocks (Q4_K to Q5_0, Q6_K to Q8_0, as
/// in llama.cpp); what does not fit either keeps its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// Blocks of 32, 8 bits a weight.
    Q8_0,
    /// Blocks of 32, 4 bits a weight.
    Q4_0,
    /// Blocks of 256, 4 bits a weight.
    Q4K,
    /// Blocks of 256, 6 bits a weight.
    Q6K,
    /// IEEE half.
    F16,
    /// bfloat16.
    BF16,
}

impl Weights {
    /// The type of the elements.
    pub fn dtype(self) -> DType {
        match self {
            Weights::Q8_0 => DType::Blocks(BlockFormat::Q8_0),
            Weights::Q4_0 => DType::Blocks(BlockFormat::Q4_0),
            Weights::Q4K => DType::Blocks(BlockFormat::Q4K),
            Weights::Q6K => DType::Blocks(BlockFormat::Q6K),
            Weights::F16 => DType::F16,
            Weights::BF16 => DType::BF16,
        }
    }
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
    /// their logits would take more than 64 MiB). A step of a bidirectional model reads whole texts, several if they fit:
    /// there it may be more than the context, and where `None` it is the context, but at least 512.
    pub chunk: Option<usize>,
    /// Which logits a prompt step computes.
    pub logits: Logits,
    /// What products with block-quantized weights multiply.
    pub activations: Activations,
    /// What matrices of floats become when the model is loaded; they keep their type where `None`.
    pub weights: Option<Weights>,
    /// Whether text is wanted, and so a tokenizer.
    pub text: Text,
    /// Bytes for a cache of prompts' beginnings, taken when the model is opened and shared by all its sessions: a prompt
    /// that begins a session reads only what lies behind the longest beginning of whole blocks of 64 tokens that an
    /// earlier prompt had. 0 for none. Models that give the logits of every token read every token.
    pub prefix_cache: usize,
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
