//! What a caller may choose when opening a model.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::types::DType;

/// How far loading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Weights ready.
    pub done: usize,
    /// Weights in all.
    pub all: usize,
}

/// What is told how loading goes, and decides whether it goes on. Clones share the function.
#[derive(Clone)]
pub struct OnProgress(Arc<dyn Fn(Progress) -> ControlFlow<()> + Send + Sync>);

impl OnProgress {
    /// Asks `function`, from the thread that loads.
    pub fn new(function: impl Fn(Progress) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        OnProgress(Arc::new(function))
    }

    /// Tells the function.
    pub(super) fn tell(&self, progress: Progress) -> ControlFlow<()> {
        (self.0)(progress)
    }
}

impl fmt::Debug for OnProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnProgress")
    }
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

/// How weight files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WeightAccess {
    /// They are mapped: what is not packed is read where it lies, and shared with other processes. A file that another
    /// program cuts off while the model is in use ends the process.
    #[default]
    Mapped,
    /// They are read into memory, one tensor at a time: what becomes of them later does not matter.
    Read,
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

/// Choices for [`super::Model::open`]. The default is what most callers want; each method changes one choice.
///
/// ```
/// use smallmind::Options;
///
/// let options = Options::new().threads(2).context(1024);
/// assert_eq!(options.threads, Some(2));
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Threads that run a step; where `None`, one for each physical core that the system grants the process (its affinity and
    /// the quota of its container count), or one alone for steps too small to gain from more.
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
    /// What matrices of floats that products read become when the model is loaded: one of [`DType::written`]. They keep their
    /// type where `None`, and gains, biases and tables always.
    ///
    /// A format of blocks of 256 gives way to one of 32 where rows are not made of whole blocks (Q4_K to Q5_0, Q6_K to Q8_0,
    /// as in llama.cpp); what does not fit either keeps its type.
    pub weights: Option<DType>,
    /// How weight files are read.
    pub weight_access: WeightAccess,
    /// Whether text is wanted, and so a tokenizer.
    pub text: Text,
    /// Bytes for a cache of prompts' beginnings, taken when the model is opened and shared by all its sessions: a prompt
    /// that begins a session reads only what lies after the longest beginning of whole blocks of 64 tokens that an
    /// earlier prompt had. 0 for none. Models that give the logits of every token read every token.
    pub prefix_cache: usize,
    /// Passes or rules to leave out.
    pub without: BTreeSet<String>,
    /// Stop after this pass.
    pub stop_after: Option<String>,
    /// Whether [`super::Model::report`] says where rules nearly fired; opening then takes longer.
    pub near_misses: bool,
    /// The instruction set: `scalar`, `avx2` or `avx512`; the widest that the CPU has where `None`.
    pub isa: Option<String>,
    /// A graph file instead of the model's own, or of the built-in one for its architecture.
    pub graph: Option<PathBuf>,
    /// A folder of passes instead of the built-in ones.
    pub passes: Option<PathBuf>,
    /// Told how loading goes, from the calling thread, before each weight and after the last. What it returns decides
    /// whether loading goes on: after [`ControlFlow::Break`] it is [`super::ModelError::Cancelled`], and nothing of the
    /// model is left.
    pub progress: Option<OnProgress>,
}

impl Options {
    /// What most callers want.
    pub fn new() -> Options {
        Options::default()
    }

    /// [`Options::threads`].
    pub fn threads(mut self, threads: impl Into<Option<usize>>) -> Options {
        self.threads = threads.into();
        self
    }

    /// [`Options::context`], in positions.
    pub fn context(mut self, positions: impl Into<Option<usize>>) -> Options {
        self.context = positions.into();
        self
    }

    /// [`Options::chunk`], in tokens.
    pub fn chunk(mut self, tokens: impl Into<Option<usize>>) -> Options {
        self.chunk = tokens.into();
        self
    }

    /// [`Options::logits`].
    pub fn logits(mut self, logits: Logits) -> Options {
        self.logits = logits;
        self
    }

    /// [`Options::activations`].
    pub fn activations(mut self, activations: Activations) -> Options {
        self.activations = activations;
        self
    }

    /// [`Options::weights`].
    pub fn weights(mut self, weights: impl Into<Option<DType>>) -> Options {
        self.weights = weights.into();
        self
    }

    /// [`Options::weight_access`].
    pub fn weight_access(mut self, access: WeightAccess) -> Options {
        self.weight_access = access;
        self
    }

    /// [`Options::text`].
    pub fn text(mut self, text: Text) -> Options {
        self.text = text;
        self
    }

    /// [`Options::prefix_cache`], in bytes.
    pub fn prefix_cache(mut self, bytes: usize) -> Options {
        self.prefix_cache = bytes;
        self
    }

    /// [`Options::without`]: these passes or rules, and no others.
    pub fn without<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Options {
        self.without = names.into_iter().map(Into::into).collect();
        self
    }

    /// [`Options::stop_after`].
    pub fn stop_after(mut self, pass: impl Into<String>) -> Options {
        self.stop_after = Some(pass.into());
        self
    }

    /// [`Options::near_misses`].
    pub fn near_misses(mut self, wanted: bool) -> Options {
        self.near_misses = wanted;
        self
    }

    /// [`Options::isa`].
    pub fn isa(mut self, name: impl Into<String>) -> Options {
        self.isa = Some(name.into());
        self
    }

    /// [`Options::graph`].
    pub fn graph(mut self, file: impl Into<PathBuf>) -> Options {
        self.graph = Some(file.into());
        self
    }

    /// [`Options::passes`].
    pub fn passes(mut self, folder: impl Into<PathBuf>) -> Options {
        self.passes = Some(folder.into());
        self
    }

    /// [`Options::progress`].
    pub fn progress(
        mut self,
        function: impl Fn(Progress) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Options {
        self.progress = Some(OnProgress::new(function));
        self
    }
}
