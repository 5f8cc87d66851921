//! `smallmind explain`: prints where each rule fired, and what stopped it where it nearly fired.

use clap::Args;
use smallmind::model::{ModelFiles, compile};

use super::arguments::GraphArguments;
use super::failure::{Failure, print, print_json};
use super::model_argument::ModelArguments;

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
    let files = ModelFiles::open_headers(&arguments.model.only()?.source()?, &options)?;
    let compiled = compile(&files, &options)?;
    if arguments.json {
        print_json(&compiled.report)
    } else {
        print(&compiled.report.to_string())
    }
}
