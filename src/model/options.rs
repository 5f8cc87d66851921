//! The options for opening a model.

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
    /// Number of weights that are ready.
    pub done: usize,
    /// Number of all weights.
    pub all: usize,
}

/// A function that is called with the progress of loading, and decides whether loading goes on. Clones share the function.
#[derive(Clone)]
pub struct OnProgress(Arc<dyn Fn(Progress) -> ControlFlow<()> + Send + Sync>);

impl OnProgress {
    /// Calls `function` on the thread that loads.
    pub fn new(function: impl Fn(Progress) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        OnProgress(Arc::new(function))
    }

    /// Calls the function.
    pub(super) fn tell(&self, progress: Progress) -> ControlFlow<()> {
        (self.0)(progress)
    }
}

impl fmt::Debug for OnProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnProgress")
    }
}

/// The logits that a prompt step computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Logits {
    /// The logits of the last token, which is what choosing the next token needs. Bidirectional models compute the outputs of
    /// every token all the same.
    #[default]
    Last,
    /// The logits of every token.
    All,
}

/// What the graph of a language model returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Output {
    /// What its graph file names: usually logits.
    #[default]
    Logits,
    /// The hidden state that its head reads (after the final norm), in place of logits: what embeddings are made of. The head
    /// is not computed, and its weight is not loaded, so that files without a head can be opened too. A table of token
    /// embeddings that is also the head is loaded as a table only. Outputs that are not logits, as those of encoders, stay
    /// as they are.
    Hidden,
}

/// The type of activations that block-quantized weights are multiplied with. Other weights are always multiplied with f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Activations {
    /// Signed bytes with a scale for each 32 of them: faster, and within a few percent of the logits' spread.
    #[default]
    Int8,
    /// Floats: blocks are widened to f32 when the model is loaded, and everything is as if the file contained f32.
    F32,
}

/// How weight files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WeightAccess {
    /// They are mapped: weights that are not packed are read in place, and shared with other processes. If another program
    /// truncates a file while the model is in use, the process ends.
    #[default]
    Mapped,
    /// They are read into memory, one tensor at a time: later changes of the files do not matter.
    Read,
}

/// What opening a model does about its tokenizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Text {
    /// Nothing: token ids in, logits out. It does not matter if something is wrong with the tokenizer.
    Never,
    /// The tokenizer is loaded if the model has one of a known kind. If it is missing, the error comes when text is asked for;
    /// if it is broken, the model is refused.
    #[default]
    IfAny,
    /// The model is refused, before its weights are read, if it has no tokenizer of a known kind.
    Needed,
}

/// Choices for [`super::Model::open`]. The defaults are what most callers want; each method changes one choice.
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
    /// Threads that run a step; `None` means one for each physical core that the system grants the process (by its
    /// affinity and its container's quota), and only one for steps too small to gain from more.
    pub threads: Option<usize>,
    /// Number of positions of a session; with `None`, the smaller of the model's number and 4096.
    pub context: Option<usize>,
    /// The most tokens of a prompt step, never more than the context; with `None`, 512 (with [`Logits::All`] fewer, if
    /// the outputs would take more than 64 MiB). A step of a bidirectional model reads whole texts, several if they fit:
    /// there the number may be larger than the context; with `None` it is the context, but at least 512.
    pub chunk: Option<usize>,
    /// The most sequences that an engine runs side by side, at least 1 and at most the tokens of a step; 0 means 1.
    /// Models whose graphs mix the tokens of a step outside attention run only one at a time.
    pub sequences: usize,
    /// What a language model returns. With [`Output::Hidden`], sessions return hidden states wherever they would return
    /// logits, and the model can't generate text.
    pub output: Output,
    /// Which logits, or hidden states, a prompt step computes.
    pub logits: Logits,
    /// The type of activations that block-quantized weights are multiplied with.
    pub activations: Activations,
    /// The type to which matrices of floats that products read are converted when the model is loaded: one of
    /// [`DType::written`]. With `None` they keep their type; gains, biases and tables always do.
    ///
    /// A format with blocks of 256 is replaced by a format with blocks of 32 if rows are not whole blocks (Q4_K by Q5_0, Q6_K
    /// by Q8_0, as in llama.cpp); a matrix that fits neither keeps its type.
    pub weights: Option<DType>,
    /// How weight files are read.
    pub weight_access: WeightAccess,
    /// Whether text, and therefore a tokenizer, is wanted.
    pub text: Text,
    /// Passes or rules to leave out.
    pub without: BTreeSet<String>,
    /// Stop after this pass.
    pub stop_after: Option<String>,
    /// Whether [`super::Model::report`] says where rules nearly fired; opening then takes longer.
    pub near_misses: bool,
    /// The instruction set: `scalar`, `avx2` or `avx512`; with `None`, the widest that the CPU has.
    pub isa: Option<String>,
    /// A graph file instead of the model's own, or of the built-in one for its architecture.
    pub graph: Option<PathBuf>,
    /// A folder of passes instead of the built-in ones.
    pub passes: Option<PathBuf>,
    /// Called on the calling thread with the progress of loading, before each weight and after the last. Its result decides
    /// whether loading goes on: after [`ControlFlow::Break`], opening fails with [`super::ModelError::Cancelled`], and nothing
    /// of the model is left.
    pub progress: Option<OnProgress>,
}

impl Options {
    /// The defaults, which are what most callers want.
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

    /// [`Options::sequences`].
    pub fn sequences(mut self, sequences: usize) -> Options {
        self.sequences = sequences;
        self
    }

    /// [`Options::output`].
    pub fn output(mut self, output: Output) -> Options {
        self.output = output;
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
