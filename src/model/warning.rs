//! What a model's files say and the model does not do, though it runs.

use std::fmt;

/// Something about a model that its user should know: it runs, but perhaps not as its files mean it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The configuration has keys that change what the model computes, and the graph file reads none of them.
    UnreadKeys {
        /// The configuration's file.
        config: String,
        /// The graph file.
        graph: String,
        /// The keys, each with its value.
        keys: Vec<String>,
    },
    /// The configuration has keys that others replace.
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
        /// The positions that the model states, or that its architecture has unless told.
        stated: usize,
    },
    /// The configuration has a token id that is none.
    TokenId {
        /// The configuration's file.
        config: String,
        /// The key.
        key: String,
        /// What it holds.
        found: String,
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
                "{config}: {} is not used, as rope_scaling replaces rope_parameters",
                keys.join(", ")
            ),
            Warning::Context {
                config,
                context,
                stated,
            } => write!(
                f,
                "the context is {context} positions, and the model is made for {stated} ({config}): what lies beyond may be nonsense"
            ),
            Warning::TokenId { config, key, found } => {
                write!(
                    f,
                    "{config}: {key} is {found}, which is not a token id: it is ignored"
                )
            }
        }
    }
}
