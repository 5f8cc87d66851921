//! `smallmind quantize`: writes a GGUF file whose matrices have another type, from a GGUF file or a folder.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, IsTerminal};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use smallmind::Options;
use smallmind::convert::{Quantization, QuantizeError, Report, Types, name};
use smallmind::exec::pool::Pool;
use smallmind::files::output::{write_file, writes_into};
use smallmind::types::DType;

use super::arguments::ThreadArguments;
use super::failure::{Failure, error, print, usage};
use super::interrupt;
use super::model_argument::ModelArguments;
use super::opened::tell;

/// Arguments of `quantize`.
#[derive(Args)]
#[command(
    override_usage = "smallmind quantize [OPTIONS] --type <TYPE> MODEL OUTPUT",
    after_help = "MODEL is a GGUF file of F32, F16 or BF16 elements (any part of a model in several files), or a Hugging Face folder."
)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The GGUF file to write
    #[arg(value_name = "OUTPUT")]
    output: Option<OsString>,
    /// The type of the new matrices; where rows are not whole blocks, the nearest type with smaller blocks
    #[arg(long = "type", value_name = "TYPE", ignore_case = true, value_parser = types())]
    types: Types,
    /// A graph file instead of the built-in one for a folder's architecture
    #[arg(long, value_name = "FILE")]
    graph: Option<PathBuf>,
    #[command(flatten)]
    threads: ThreadArguments,
    /// Replace the output file if there is one
    #[arg(long)]
    force: bool,
}

/// Accepts the names of the types.
fn types() -> impl TypedValueParser<Value = Types> {
    let names = Types::all().map(Types::name).collect::<Vec<_>>();
    PossibleValuesParser::new(names).try_map(|name| {
        let mut all = Types::all();
        let types = all.find(|types| types.name().eq_ignore_ascii_case(&name));
        types.ok_or("no such type")
    })
}

/// Run the subcommand.
pub fn quantize(arguments: Arguments) -> Result<(), Failure> {
    let Arguments {
        model,
        output,
        types,
        graph,
        threads,
        force,
    } = arguments;
    let (model, first) = model.needed()?;
    let output = match (first, output) {
        (Some(output), None) | (None, Some(output)) => PathBuf::from(output),
        (None, None) => return usage("no OUTPUT is given: the GGUF file to write"),
        (Some(_), Some(output)) => {
            return usage(format!("unexpected argument '{}'", output.display()));
        }
    };
    let input = model.path()?;
    if graph.is_some() && input.is_file() {
        return error(
            "--graph is only for folders: the contents of a GGUF file are copied, whatever they mean",
        );
    }
    if !input.exists() {
        return error(format!(
            "{}: there is no such file or folder",
            input.display()
        ));
    }
    // An output that is not a regular file is written into, and is not replaced.
    if output.is_file() && !force {
        return error(format!("{} exists; --force replaces it", output.display()));
    }
    let quantization = Quantization::plan(&input, types, graph.as_deref())?;
    tell(quantization.warnings());
    if writes_into(&output, &input).unwrap_or(false) {
        return error(format!(
            "{} and {} are the same file, which can't be read while it is written",
            input.display(),
            output.display()
        ));
    }
    if let Ok(place) = output.canonicalize() {
        let is_it = |file: &PathBuf| file.canonicalize().is_ok_and(|file| file == place);
        if quantization.kept_files().iter().any(is_it) {
            return error(format!(
                "{} is a file of the model in {}; the new file needs another name",
                output.display(),
                input.display()
            ));
        }
    }
    let pool = Pool::new(smallmind::model::threads(
        &threads.add_to(Options::default()),
    )?)?;
    let report = write_file(&output, |file| write(&quantization, file, &pool, &output))?;
    print(&summary(&output, types, &report))
}

fn write(
    quantization: &Quantization,
    file: &File,
    pool: &Pool,
    output: &Path,
) -> Result<Report, Failure> {
    let stop = interrupt::catch()?;
    let bar = std::io::stderr().is_terminal().then(bar);
    let report = quantization.write(BufWriter::new(file), pool, |progress| {
        if let Some(bar) = &bar {
            bar.set_length(progress.all);
            bar.set_position(progress.done);
        }
        match stop.is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    report.map_err(|error| match error {
        QuantizeError::Interrupted => Failure::Interrupted,
        QuantizeError::Write(problem) => {
            Failure::Error(format!("can't write {}: {problem}", output.display()))
        }
        error => error.into(),
    })
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("quantizing {bar:32} {bytes}/{total_bytes} {eta}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// How many tensors became which type, and how the size changed.
fn summary(output: &Path, types: Types, report: &Report) -> String {
    let mut became = String::new();
    for to in DType::written() {
        let tensors = report.converted.iter().filter(|tensor| tensor.to == to);
        let rows = match types {
            Types::All(target) if to != target => {
                format!(" (their rows are not whole blocks of {})", name(target))
            }
            _ => String::new(),
        };
        match tensors.count() {
            0 => {}
            count => became += &format!("{count} tensors became {}{rows}, ", name(to)),
        }
    }
    format!(
        "{}: {became}{} stayed; {} bytes of {}; relative error {:.5}\n",
        output.display(),
        report.kept,
        report.bytes_after,
        report.bytes_before,
        report.error,
    )
}
