//! `smallmind plan`: prints every byte that will be used, before anything runs.

use clap::Args;
use smallmind::plan::MemoryReport;

use super::arguments::{GraphArguments, PlanArguments, ThreadArguments};
use super::failure::{Failure, print, print_json};
use super::model_argument::ModelArguments;
use super::opened::compile_model;

/// Arguments of `plan`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    threads: ThreadArguments,
    #[command(flatten)]
    plan: PlanArguments,
    #[command(flatten)]
    graph: GraphArguments,
    /// Include a prefix cache of at most this many bytes, as with the library's option prefix_cache
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    prefix_cache: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Run the subcommand.
pub fn plan(arguments: Arguments) -> Result<(), Failure> {
    let options = arguments.plan.add_to(arguments.graph.options());
    let mut options = arguments.threads.add_to(options);
    options.prefix_cache = arguments.prefix_cache;
    let (files, compiled) = compile_model(&arguments.model.only()?.source()?, &options)?;
    let report = MemoryReport::new(&compiled.plan, compiled.weight_bytes)
        .with_tokenizer(files.tokenizer_estimate());
    if arguments.json {
        print_json(&report)
    } else {
        print(&report.to_string())
    }
}
