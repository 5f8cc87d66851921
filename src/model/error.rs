//! Why a model can't be opened.

use std::path::PathBuf;

use crate::exec::executor::ExecutorError;
use crate::exec::weights::WeightLoadError;
use crate::files::folder::FolderError;
use crate::files::weight_files::WeightFilesError;
use crate::graph::GraphError;
use crate::kernels::simd::IsaError;
use crate::language::diagnostics::Problems;
use crate::plan::PlanError;
use crate::rewrite::PassError;
#[cfg(feature = "tokenizer")]
use crate::text::tokenizer::TokenizerError;

/// Why a model can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// There is no model at the path.
    #[error("{}: {problem}", path.display())]
    NoModel {
        /// The path given.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The caller asked for the demo, but this build does not have it.
    #[error(
        "the demo is not part of this build: the cargo feature `demo` adds it (write ./demo for a folder with that name)"
    )]
    NoDemo,
    /// Something is wrong with the graph file, the configuration, or how they and the weights fit together.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// The weight files can't be read.
    #[error(transparent)]
    Files(#[from] WeightFilesError),
    /// The graph is not well formed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The passes can't be read, or one failed.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A weight can't be prepared.
    #[error(transparent)]
    Weights(WeightLoadError),
    /// [`Options::progress`](super::Options::progress) ended the loading.
    #[error("loading was cancelled")]
    Cancelled,
    /// The weights or the threads don't match the plan.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The instruction set is not available.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// An option is out of its range.
    #[error("{option} is {value}; it must be {range}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: usize,
        /// What would be valid.
        range: String,
    },
    /// An option needs a pass that is left out.
    #[error("{option} needs the pass \"{pass}\", which does not run")]
    PassLeftOut {
        /// The option's name.
        option: &'static str,
        /// The pass.
        pass: &'static str,
    },
    /// The threads can't be started.
    #[error("can't start threads: {0}")]
    Threads(std::io::Error),
    /// The tokenizer can't be read.
    #[cfg(feature = "tokenizer")]
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl From<WeightLoadError> for ModelError {
    fn from(error: WeightLoadError) -> Self {
        match error {
            WeightLoadError::Cancelled => ModelError::Cancelled,
            error => ModelError::Weights(error),
        }
    }
}

impl From<FolderError> for ModelError {
    fn from(FolderError { path, problem }: FolderError) -> Self {
        ModelError::NoModel { path, problem }
    }
}
