//! `smallmind plan`: prints every byte that will be used, before anything runs.

use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;
use smallmind::EngineMemory;
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
    /// Sequences that an engine runs side by side
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    parallel: Option<u32>,
    /// The most bytes that an engine may use in all, with or without a unit: 2GiB
    #[arg(long, value_name = "SIZE", requires = "parallel", value_parser = size)]
    memory: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Json {
    #[serde(flatten)]
    report: MemoryReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<EngineMemory>,
}

/// A number of bytes: "2GiB", "1.5 GB", "4096".
fn size(text: &str) -> Result<usize, String> {
    let size: ByteSize = text.parse()?;
    usize::try_from(size.as_u64()).map_err(|_| "more bytes than can be addressed".to_string())
}

/// Run the subcommand.
pub fn plan(arguments: Arguments) -> Result<(), Failure> {
    let options = arguments.plan.add_to(arguments.graph.options());
    let mut options = arguments.threads.add_to(options);
    options.sequences = arguments.parallel.unwrap_or(1) as usize;
    let (files, compiled) = compile_model(&arguments.model.only()?.source()?, &options)?;
    let report = MemoryReport::new(&compiled.plan, compiled.weight_bytes)
        .with_tokenizer(files.tokenizer_estimate());
    let engine = match arguments.parallel {
        None => None,
        Some(_) => Some(EngineMemory::new(&report, arguments.memory)?),
    };
    if arguments.json {
        return print_json(&Json { report, engine });
    }
    print(&report.to_string())?;
    match engine {
        None => Ok(()),
        Some(engine) => print(&engine.to_string()),
    }
}
