//! What the files of a model are called, and how large a text among them may be.

/// A folder's parameters.
pub(super) const CONFIG: &str = "config.json";
/// A folder's own graph file, which describes an architecture that is not built in, or describes it otherwise.
pub(super) const OWN_GRAPH: &str = "model.ron";
/// A folder's tokenizer.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// The file of a model in memory that is a GGUF file.
pub(super) const GGUF: &str = "model.gguf";
/// The largest graph or configuration file that is read, in bytes.
pub(super) const LARGEST_TEXT: u64 = 16 << 20;
/// What a folder says of generating text.
pub(super) const GENERATION: &str = "generation_config.json";
