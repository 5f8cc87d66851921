//! The arguments that several subcommands share: each flag is defined once.

use std::path::PathBuf;

use clap::Args;
use smallmind::Options;
use smallmind::model::{Source, Text};

/// What decides the graph.
#[derive(Args)]
pub struct GraphArguments {
    /// A graph file instead of the built-in one for the model's architecture
    #[arg(long, value_name = "FILE")]
    graph: Option<PathBuf>,
    /// A folder of passes instead of the built-in ones
    #[arg(long, value_name = "DIR")]
    passes: Option<PathBuf>,
    /// Passes or rules to leave out, separated by commas
    #[arg(long, value_name = "PASS,…", value_delimiter = ',')]
    pub without: Vec<String>,
}

/// What decides the plan, besides the threads.
#[derive(Args)]
pub struct PlanArguments {
    /// Positions of a session [default: what the model has, at most 4096]
    #[arg(short, long, value_name = "POSITIONS")]
    pub context: Option<usize>,
    /// The most prompt tokens that are processed at once [default: 512; for encoders the context]
    #[arg(long, value_name = "TOKENS")]
    pub chunk: Option<usize>,
    /// The kernels' instruction set: scalar, avx2 or avx512 [default: SMALLMIND_ISA, or the widest]
    #[arg(long, value_name = "ISA")]
    isa: Option<String>,
}

/// How many threads.
#[derive(Args)]
pub struct ThreadArguments {
    /// Threads that run a step [default: all that the system grants]
    #[arg(short, long, value_name = "N")]
    threads: Option<usize>,
}

impl GraphArguments {
    /// The library's options, with these choices and no tokenizer.
    pub fn options(&self) -> Options {
        Options {
            graph: self.graph.clone(),
            passes: self.passes.clone(),
            without: self.without.iter().cloned().collect(),
            text: Text::Never,
            ..Options::default()
        }
    }
}

impl PlanArguments {
    /// `options` with these choices too.
    pub fn add_to(&self, options: Options) -> Options {
        Options {
            context: self.context,
            chunk: self.chunk,
            isa: self.isa.clone(),
            ..options
        }
    }
}

impl ThreadArguments {
    /// `options` with this choice too.
    pub fn add_to(&self, options: Options) -> Options {
        Options {
            threads: self.threads,
            ..options
        }
    }
}

/// The model that a MODEL argument names.
pub fn source(model: &PathBuf) -> Source {
    model
        .to_str()
        .map_or_else(|| Source::from(model), Source::from)
}
