//! The arguments that several subcommands share: each flag is defined once.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use smallmind::Options;
use smallmind::model::{self, Text};
use smallmind::types::DType;

/// The arguments that decide the graph.
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
    /// The type of activations that block-quantized weights are multiplied with
    #[arg(long, value_enum, default_value_t = Activations::DEFAULT)]
    activations: Activations,
    /// Convert matrices of floats to this type when they are loaded [default: they keep their type]
    #[arg(long, value_name = "TYPE", ignore_case = true, value_parser = weights())]
    weights: Option<DType>,
}

/// Reads the names of the types to which floats can be converted, in upper or lower case.
fn weights() -> impl TypedValueParser<Value = DType> {
    PossibleValuesParser::new(DType::written().map(DType::name))
        .try_map(|name| DType::named(&name).ok_or("there is no such type"))
}

#[derive(Clone, Copy, ValueEnum)]
enum Activations {
    /// Signed bytes with a scale for each 32 of them: fast
    Int8,
    /// Floats: as if the file contained the floats that its blocks stand for
    F32,
}

impl Activations {
    const DEFAULT: Activations = Activations::Int8;

    /// The name on the command line.
    const fn name(self) -> &'static str {
        match self {
            Activations::Int8 => "int8",
            Activations::F32 => "f32",
        }
    }
}

/// The default of `--activations`.
pub const DEFAULT_ACTIVATIONS: &str = Activations::DEFAULT.name();

/// The arguments that decide the plan, besides the threads.
#[derive(Args)]
pub struct PlanArguments {
    /// Positions of a session [default: the model's number, at most 4096]
    #[arg(short, long, value_name = "POSITIONS")]
    pub context: Option<usize>,
    /// The most tokens that are processed at once [default: 512; for encoders the context, if that is more]
    #[arg(long, value_name = "TOKENS")]
    pub chunk: Option<usize>,
    /// The kernels' instruction set: scalar, avx2 or avx512 [default: SMALLMIND_ISA, or the widest]
    #[arg(long, value_name = "ISA")]
    isa: Option<String>,
}

/// The arguments that decide the graph and how weights are loaded, for commands that compute with them.
#[derive(Args)]
pub struct LoadArguments {
    #[command(flatten)]
    pub graph: GraphArguments,
    /// Read the weight files into memory instead of mapping them
    #[arg(long)]
    no_mmap: bool,
}

impl LoadArguments {
    /// The library's options, with these choices and no tokenizer.
    pub fn options(&self) -> Options {
        let options = self.graph.options();
        match self.no_mmap {
            true => options.weight_access(model::WeightAccess::Read),
            false => options,
        }
    }
}

/// The number of threads.
#[derive(Args)]
pub struct ThreadArguments {
    /// Threads that run a step [default: one for each physical core that the system grants]
    #[arg(short, long, value_name = "N")]
    threads: Option<usize>,
}

impl GraphArguments {
    /// The library's options, with these choices and no tokenizer.
    pub fn options(&self) -> Options {
        let mut options = Options::new()
            .without(&self.without)
            .weights(self.weights)
            .activations(match self.activations {
                Activations::Int8 => model::Activations::Int8,
                Activations::F32 => model::Activations::F32,
            })
            .text(Text::Never);
        options.graph = self.graph.clone();
        options.passes = self.passes.clone();
        options.isa = isa_of_environment();
        options
    }

    /// What `--activations` chose, by its name on the command line.
    pub fn activations(&self) -> &'static str {
        self.activations.name()
    }

    /// What `--weights` chose, by its name on the command line.
    pub fn weights(&self) -> Option<String> {
        Some(self.weights?.name().to_lowercase())
    }
}

impl PlanArguments {
    /// Adds these choices to `options`.
    pub fn add_to(&self, options: Options) -> Options {
        let options = options.context(self.context).chunk(self.chunk);
        match &self.isa {
            Some(isa) => options.isa(isa),
            None => options,
        }
    }
}

impl ThreadArguments {
    /// Adds this choice to `options`.
    pub fn add_to(&self, options: Options) -> Options {
        options.threads(self.threads)
    }
}

/// The value of the environment variable SMALLMIND_ISA, unless it is empty.
fn isa_of_environment() -> Option<String> {
    std::env::var("SMALLMIND_ISA")
        .ok()
        .filter(|name| !name.is_empty())
}
