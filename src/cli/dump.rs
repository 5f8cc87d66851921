//! `smallmind dump`: prints the graph after any pass, as a graph file that can be loaded again, or as a drawing.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use smallmind::architecture::config_keys::read_keys;
use smallmind::architecture::parameters::ParameterSource;
use smallmind::graph::{print_dot, print_ignoring};

use super::arguments::GraphArguments;
use super::failure::{Failure, write};
use super::model_argument::ModelArguments;
use super::opened::compile_model;

/// Arguments of `dump`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The last pass to run; `none` (or `load`) prints the graph as loaded [default: all passes run]
    #[arg(long, value_name = "PASS")]
    after: Option<String>,
    /// The format
    #[arg(long, value_enum, default_value_t = Format::Ron)]
    format: Format,
    #[command(flatten)]
    graph: GraphArguments,
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A graph file
    Ron,
    /// Graphviz
    Dot,
}

/// Run the subcommand.
pub fn dump(arguments: Arguments) -> Result<(), Failure> {
    let mut options = arguments.graph.options();
    let when = match arguments.after.as_deref() {
        None => "after all passes".to_string(),
        Some("none" | "load") => {
            options.stop_after = Some("none".to_string());
            "as loaded".to_string()
        }
        Some(pass) => {
            options.stop_after = Some(pass.to_string());
            format!("after the pass {pass}")
        }
    };
    let (files, compiled) = compile_model(&arguments.model.only()?.source()?, &options)?;
    let without = match arguments.graph.without.as_slice() {
        [] => String::new(),
        names => format!(", without {}", names.join(", ")),
    };
    let header = format!(
        "{} ({}), graph {when}{without}",
        files.path.display(),
        compiled.graph_file
    );
    let body = match arguments.format {
        Format::Ron => print_ignoring(
            &compiled.graph,
            files.config.kind().name(),
            &compiled.ignore,
            &read_keys(&files.graph, &files.config)?,
        ),
        Format::Dot => print_dot(&compiled.graph),
    };
    // Both languages have this kind of comment; the contents of a path or name must not end it.
    let header = header.replace(char::is_control, " ");
    write(arguments.output.as_deref(), &format!("// {header}\n{body}"))
}
