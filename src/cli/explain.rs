//! `smallmind explain`: prints where each rule fired, and what stopped it where it nearly fired.

use clap::Args;

use super::arguments::GraphArguments;
use super::failure::{Failure, print, print_json};
use super::model_argument::ModelArguments;
use super::opened::compile_model;

/// Arguments of `explain`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    graph: GraphArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Run the subcommand.
pub fn explain(arguments: Arguments) -> Result<(), Failure> {
    let options = arguments.graph.options().near_misses(true);
    let (_, compiled) = compile_model(&arguments.model.only()?.source()?, &options)?;
    if arguments.json {
        print_json(&compiled.report)
    } else {
        print(&compiled.report.to_string())
    }
}
