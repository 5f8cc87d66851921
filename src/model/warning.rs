//! What a model's files ask for but the model does not do.

use std::fmt;

/// Something that the user of a model should know: the model runs, but perhaps not as its files intend.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The configuration has keys that change what the model computes and that the graph file does not read.
    UnreadKeys {
        /// The configuration's file.
        config: String,
        /// The graph file.
        graph: String,
        /// The keys, each with its value.
        keys: Vec<String>,
    },
    /// The configuration has keys that other keys replace.
    ReplacedKeys {
        /// The configuration's file.
        config: String,
        /// The keys, each with its value.
        keys: Vec<String>,
    },
    /// Sessions have more positions than the model was made for.
    Context {
        /// The configuration's file.
        config: String,
        /// The positions of a session.
        context: usize,
        /// The positions that the model states, or the default of its architecture.
        stated: usize,
    },
    /// The configuration has an invalid token id.
    TokenId {
        /// The configuration's file.
        config: String,
        /// The key.
        key: String,
        /// Its value.
        found: String,
    },
    /// A new GGUF file has more tokens that end a text than there are keys for single ones.
    ListedEnds {
        /// The tokens without a key of their own.
        ids: Vec<u32>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::UnreadKeys {
                config,
                graph,
                keys,
            } => write!(
                f,
                "{config}: {graph} does not read {}, which may change what the model computes",
                keys.join(", ")
            ),
            Warning::ReplacedKeys { config, keys } => write!(
                f,
                "{config}: {} is not used, because rope_scaling replaces rope_parameters",
                keys.join(", ")
            ),
            Warning::Context {
                config,
                context,
                stated,
            } => write!(
                f,
                "the context is {context} positions, but the model was made for {stated} ({config}): beyond that, its output may be nonsense"
            ),
            Warning::TokenId { config, key, found } => {
                write!(
                    f,
                    "{config}: {key} is {found}, which is not a token id: it is ignored"
                )
            }
            Warning::ListedEnds { ids } => write!(
                f,
                "the tokens {ids:?} end a text, too; the new file says so only in the list tokenizer.ggml.eos_token_ids, which llama.cpp does not read"
            ),
        }
    }
}
