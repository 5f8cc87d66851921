//! `smallmind quantize`: a GGUF file whose matrices have another type, of a GGUF file or a folder.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, IsTerminal};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use smallmind::Options;
use smallmind::convert::{Quantization, QuantizeError, Report, Types, name};
use smallmind::exec::pool::Pool;
use smallmind::types::DType;

use super::arguments::ThreadArguments;
use super::failure::{Failure, error, print, usage};
use super::interrupt;
use super::model_argument::ModelArguments;

/// Arguments of `quantize`.
#[derive(Args)]
#[command(
    override_usage = "smallmind quantize [OPTIONS] --type <TYPE> MODEL OUTPUT",
    after_help = "MODEL is a GGUF file of F32, F16 or BF16 elements (of a model in several, any part), or a Hugging Face folder."
)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The GGUF file to write
    #[arg(value_name = "OUTPUT")]
    output: Option<OsString>,
    /// What matrices become; where rows are no whole blocks, the nearest type with smaller ones
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

/// Takes the types' names.
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
            "--graph is for folders: what a GGUF file holds is copied, whatever it means",
        );
    }
    if !input.exists() {
        return error(format!(
            "{}: there is no such file or folder",
            input.display()
        ));
    }
    if output.exists() && !force {
        return error(format!("{} exists; --force replaces it", output.display()));
    }
    let quantization = Quantization::plan(&input, types, graph.as_deref())?;
    // A reader of an old file keeps it whole, and an interrupted run leaves none.
    let mut partial = output.clone().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let pool = Pool::new(smallmind::model::threads(
        &threads.add_to(Options::default()),
    )?)?;
    let written = write(&quantization, &partial, &pool);
    let report = match written {
        Ok(report) => fs::rename(&partial, &output)
            .map(|()| report)
            .map_err(|error| Failure::Error(format!("can't write {}: {error}", output.display()))),
        Err(failure) => Err(failure),
    };
    match report {
        Ok(report) => print(&summary(&output, types, &report)),
        Err(failure) => {
            // It may not even have been made.
            let _ = fs::remove_file(&partial);
            Err(failure)
        }
    }
}

fn write(quantization: &Quantization, path: &Path, pool: &Pool) -> Result<Report, Failure> {
    let io = |error| Failure::Error(format!("can't write {}: {error}", path.display()));
    let stop = interrupt::catch()?;
    let file = File::create(path).map_err(io)?;
    let bar = std::io::stderr().is_terminal().then(bar);
    let report = quantization.write(BufWriter::new(&file), pool, |progress| {
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
    let report = report.map_err(|error| match error {
        QuantizeError::Interrupted => Failure::Interrupted,
        error => error.into(),
    })?;
    file.sync_all().map_err(io)?;
    Ok(report)
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("quantizing {bar:32} {bytes}/{total_bytes} {eta}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What became of how many tensors, and of the size.
fn summary(output: &Path, types: Types, report: &Report) -> String {
    let mut became = String::new();
    for to in DType::written() {
        let tensors = report.converted.iter().filter(|tensor| tensor.to == to);
        let rows = match types {
            Types::All(target) if to != target => {
                format!(" (their rows are no whole blocks of {})", name(target))
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
