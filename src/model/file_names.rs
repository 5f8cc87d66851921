//! The names of a model's files, and the largest size of a text file among them.

/// A folder's parameters.
pub(super) const CONFIG: &str = "config.json";
/// A folder's own graph file, for an architecture that is not built in or that it describes differently.
pub(super) const OWN_GRAPH: &str = "model.ron";
/// A folder's tokenizer.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// The file of a model in memory that is a GGUF file.
pub(super) const GGUF: &str = "model.gguf";
/// The largest graph or configuration file that is read, in bytes.
pub(super) const LARGEST_TEXT: u64 = 16 << 20;
/// A folder's settings for generating text.
pub(super) const GENERATION: &str = "generation_config.json";
