//! `smallmind info`: prints what a model's files say, reading only their headers, and whether the model would run.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use clap::Args;
use serde::Serialize;
use serde_json::Value as Json;
use smallmind::architecture::config_keys::{Effect, unread_keys};
use smallmind::files::gguf::{Metadata, is_gguf, open_parts};
use smallmind::files::json::parse as parse_json;
use smallmind::files::weight_file::{Open, WeightFile};
use smallmind::files::weight_files::{WeightFiles, WeightFilesError};
use smallmind::language::value::Value;
use smallmind::model::{Configuration, GraphOrigin, ModelFiles, Source, compile, open_tokenizer};
use smallmind::plan::MemoryReport;

use super::arguments::GraphArguments;
use super::failure::{Failure, error, print, print_json};
use super::model_argument::ModelArguments;

/// Arguments of `info`.
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

/// The longest text of a metadata value that is printed, in characters.
const LONGEST_VALUE: usize = 60;
/// The most elements of a metadata array that are printed.
const MOST_ELEMENTS: usize = 6;
/// The most lines about missing things that are printed.
const MOST_MISSING: usize = 12;
/// The longest tokenizer.json or config.json that is read, in bytes.
const LARGEST_TEXT: u64 = 256 << 20;

/// What is printed about a model.
#[derive(Serialize)]
struct Info {
    model: String,
    files: &'static str,
    architecture: Vec<String>,
    graph: Option<String>,
    /// Whether the graph is the model's own.
    own_graph: bool,
    parameters: usize,
    bytes: usize,
    tensors: Vec<TensorsOfType>,
    tokenizer: Option<Tokenizer>,
    context: Option<usize>,
    memory: Option<usize>,
    runs: bool,
    missing: Vec<String>,
    /// Keys that the graph file does not read and whose values are not neutral.
    unread: Vec<UnreadKey>,
    warnings: Vec<String>,
    metadata: BTreeMap<String, Json>,
}

#[derive(Serialize)]
struct UnreadKey {
    key: String,
    value: Json,
    /// Whether it changes what the model computes; `null` if that is not known.
    changes: Option<bool>,
}

/// The tensors of one type.
#[derive(Serialize, Default)]
struct TensorsOfType {
    r#type: String,
    tensors: usize,
    elements: usize,
    /// Bytes in the file; 0 if the type is not known.
    bytes: usize,
}

#[derive(Serialize)]
struct Tokenizer {
    kind: String,
    tokens: usize,
    /// Why no text can be encoded with it.
    problem: Option<String>,
}

/// A model's files, whether or not there is a graph for them.
struct Found {
    config: Described,
    weights: Option<WeightFiles>,
}

enum Described {
    Gguf(Metadata),
    Folder(Json),
}

/// Run the subcommand.
pub fn info(arguments: Arguments) -> Result<(), Failure> {
    let name = arguments.model.only()?;
    let source = name.source()?;
    let options = arguments.graph.options();
    let mut missing = Vec::new();
    let (mut graph, mut context, mut memory) = (None, None, None);
    let mut own_graph = false;
    let (mut unread, mut warnings) = (Vec::new(), Vec::new());
    let found = match ModelFiles::open_headers(&source, &options) {
        Ok(files) => {
            graph = Some(files.graph.file.clone());
            own_graph = files.graph_origin == GraphOrigin::Own;
            let keys = unread_keys(&files.graph, &files.config)?.into_iter();
            unread.extend(keys.map(|key| UnreadKey {
                changes: (key.effect != Effect::Unknown).then_some(true),
                key: key.key,
                value: shortened(json(key.value)),
            }));
            match compile(&files, &options) {
                Ok(compiled) => {
                    let report = MemoryReport::new(&compiled.plan, compiled.weight_bytes);
                    context = Some(compiled.plan.options().context);
                    warnings.extend(compiled.warnings.iter().map(ToString::to_string));
                    memory = Some(
                        report.packed_weights
                            + report.dense_weights
                            + report.mapped_weights
                            + report.arena
                            + report.session_lists,
                    );
                }
                Err(error) => missing.extend(error.to_string().lines().map(str::to_string)),
            }
            Found {
                config: match files.config {
                    Configuration::Gguf(metadata) => Described::Gguf(metadata),
                    Configuration::Folder { json, .. } => Described::Folder(json),
                },
                weights: files.weights,
            }
        }
        Err(error) => {
            let Ok(found) = open(&source, &mut missing) else {
                return Err(error.into());
            };
            missing.extend(error.to_string().lines().map(str::to_string));
            found
        }
    };
    let tensors = tensors(found.weights.as_ref());
    if tensors.is_empty() {
        missing.insert(0, "there are no weights".to_string());
    }
    let tokenizer = tokenizer(&source, &found.config);
    let info = Info {
        model: name.shown(),
        files: match found.config {
            Described::Gguf(_) => "GGUF",
            Described::Folder(_) => "config.json and safetensors",
        },
        architecture: architecture(&found.config),
        graph,
        own_graph,
        parameters: tensors
            .iter()
            .map(|t| t.elements)
            .fold(0, usize::saturating_add),
        bytes: tensors
            .iter()
            .map(|t| t.bytes)
            .fold(0, usize::saturating_add),
        tensors,
        tokenizer,
        context,
        memory,
        runs: missing.is_empty(),
        missing,
        unread,
        warnings,
        metadata: metadata(&found.config),
    };
    match arguments.json {
        true => print_json(&info),
        false => print(&info.text()),
    }
}

/// The files of a model for which there is no graph.
fn open(source: &Source, missing: &mut Vec<String>) -> Result<Found, Failure> {
    let Source::Path(path) = source else {
        return error("the model can't be opened");
    };
    if path.is_file() && (is_gguf(path) || path.extension().is_some_and(|e| e == "gguf")) {
        let (first, others) = open_parts(path, Open::Headers)?;
        let config = Described::Gguf(first.metadata().clone());
        let files = std::iter::once(first).chain(others).map(WeightFile::Gguf);
        return Ok(Found {
            config,
            weights: WeightFiles::from_files(files.collect()).ok(),
        });
    }
    let (config, folder) = match path.is_dir() {
        true => (path.join("config.json"), Some(path)),
        false => (path.clone(), None),
    };
    let config = read_json(&config)?;
    let weights = match folder.map(|folder| WeightFiles::open(folder, Open::Headers)) {
        Some(Ok(weights)) => Some(weights),
        None | Some(Err(WeightFilesError::NoWeights { .. })) => None,
        Some(Err(error)) => {
            missing.push(error.to_string());
            None
        }
    };
    Ok(Found {
        config: Described::Folder(config),
        weights,
    })
}

fn read_json(path: &Path) -> Result<Json, Failure> {
    let fail = |problem: String| Failure::Error(format!("{}: {problem}", path.display()));
    let size = std::fs::metadata(path)
        .map_err(|e| fail(format!("can't be read: {e}")))?
        .len();
    if size > LARGEST_TEXT {
        return Err(fail(format!("a text file with {size} bytes is too large")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| fail(format!("can't be read: {e}")))?;
    parse_json(&text).map_err(|e| fail(e.to_string()))
}

/// The tensors by type; the type that takes the most bytes comes first.
fn tensors(files: Option<&WeightFiles>) -> Vec<TensorsOfType> {
    let mut types: BTreeMap<String, TensorsOfType> = BTreeMap::new();
    for (files, name) in files
        .into_iter()
        .flat_map(|files| files.names().map(move |n| (files, n)))
    {
        let Some(header) = files.header(name) else {
            continue;
        };
        let elements = header
            .shape
            .iter()
            .fold(1usize, |all, &dim| all.saturating_mul(dim));
        let known = types.entry(header.written.clone()).or_default();
        known.r#type = header.written;
        known.tensors += 1;
        known.elements = known.elements.saturating_add(elements);
        known.bytes = known
            .bytes
            .saturating_add(files.stored_bytes(name).unwrap_or(0));
    }
    let mut types: Vec<TensorsOfType> = types.into_values().collect();
    types.sort_by_key(|known| std::cmp::Reverse(known.bytes));
    types
}

fn architecture(config: &Described) -> Vec<String> {
    let text = |value: &Json| value.as_str().map(str::to_string);
    match config {
        Described::Gguf(metadata) => match metadata.get("general.architecture") {
            Some(Value::Str(name)) => vec![name],
            _ => Vec::new(),
        },
        Described::Folder(config) => match config.get("architectures").and_then(Json::as_array) {
            Some(names) => names.iter().filter_map(text).collect(),
            None => config
                .get("model_type")
                .and_then(text)
                .into_iter()
                .collect(),
        },
    }
}

/// The kind of tokenizer, and its number of tokens.
fn tokenizer(source: &Source, config: &Described) -> Option<Tokenizer> {
    let problem = || {
        open_tokenizer(source.clone())
            .err()
            .map(|error| error.to_string())
    };
    if let Described::Gguf(metadata) = config {
        let tokens = metadata.array_len("tokenizer.ggml.tokens")?;
        let text = |key: &str| match metadata.get(key) {
            Some(Value::Str(text)) => Some(text),
            _ => None,
        };
        let model = text("tokenizer.ggml.model").unwrap_or_else(|| "unnamed".to_string());
        return Some(Tokenizer {
            kind: match text("tokenizer.ggml.pre") {
                Some(pre) => format!("{model}, split as {pre}"),
                None => model,
            },
            tokens: usize::try_from(tokens).unwrap_or(usize::MAX),
            problem: problem(),
        });
    }
    let folder = source.folder().ok()??;
    let json = folder.text("tokenizer.json", LARGEST_TEXT).ok()?;
    let json: Json = parse_json(&json).ok()?;
    let model = json.get("model")?;
    let known = match model.get("vocab")? {
        Json::Object(tokens) => tokens.len(),
        Json::Array(tokens) => tokens.len(),
        _ => 0,
    };
    let vocabulary = model.get("vocab").and_then(Json::as_object);
    let added = json.get("added_tokens").and_then(Json::as_array);
    let is_new = |token: &&Json| {
        let content = token
            .get("content")
            .and_then(Json::as_str)
            .unwrap_or_default();
        vocabulary.is_some_and(|known| !known.contains_key(content))
    };
    Some(Tokenizer {
        kind: model
            .get("type")
            .and_then(Json::as_str)
            .unwrap_or("unnamed")
            .to_string(),
        tokens: known + added.map_or(0, |added| added.iter().filter(is_new).count()),
        problem: problem(),
    })
}

/// Everything that the configuration says, with long arrays shortened.
fn metadata(config: &Described) -> BTreeMap<String, Json> {
    match config {
        Described::Gguf(metadata) => {
            let value = |key: &str| match (metadata.get(key), metadata.array_len(key)) {
                (Some(value), _) => shortened(json(value)),
                (None, Some(length)) => Json::String(format!("{length} values")),
                (None, None) => Json::Null,
            };
            metadata
                .keys()
                .map(|key| (key.to_string(), value(key)))
                .collect()
        }
        Described::Folder(Json::Object(fields)) => fields
            .iter()
            .map(|(key, value)| (key.clone(), shortened(value.clone())))
            .collect(),
        Described::Folder(_) => BTreeMap::new(),
    }
}

fn json(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int(n) => n.into(),
        // GGUF has 32-bit floats: printed this way, they don't have more digits than they can represent.
        Value::Float(x) => match (x as f32).to_string().parse::<f64>() {
            Ok(short) if f64::from(x as f32) == x => short.into(),
            _ => x.into(),
        },
        Value::Bool(b) => b.into(),
        Value::Str(text) => Json::String(text),
        Value::List(values) => values.into_iter().map(json).collect(),
        Value::Record(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, json(value)))
            .collect(),
    }
}

/// Replaces long arrays and long texts with their beginning and their length.
fn shortened(value: Json) -> Json {
    match value {
        Json::Array(values) if values.len() > MOST_ELEMENTS => {
            let count = values.len();
            let first: Vec<String> = values
                .iter()
                .take(MOST_ELEMENTS)
                .map(|value| short_text(&value.to_string()))
                .collect();
            Json::String(format!("[{}, …] {count} values", first.join(", ")))
        }
        Json::String(text) => Json::String(short_text(&text)),
        other => other,
    }
}

fn short_text(text: &str) -> String {
    let count = text.chars().count();
    if count <= LONGEST_VALUE {
        return text.to_string();
    }
    let start: String = text.chars().take(LONGEST_VALUE).collect();
    format!("{start}… {count} characters")
}

/// Replaces lines that differ only in numbers, such as the lines for all layers, with the first of them and the number of
/// the others.
fn grouped(lines: &[String]) -> Vec<String> {
    let mut groups: Vec<(String, &str, usize)> = Vec::new();
    for line in lines {
        let form = line.split(|c: char| c.is_ascii_digit()).collect::<Vec<_>>();
        let form: Vec<&str> = form.into_iter().filter(|part| !part.is_empty()).collect();
        let form = form.join("#");
        match groups.iter_mut().find(|(known, ..)| *known == form) {
            Some((.., more)) => *more += 1,
            None => groups.push((form, line, 0)),
        }
    }
    let line = |(_, first, more): (String, &str, usize)| match more {
        0 => first.to_string(),
        more => format!("{first} (and {more} like it)"),
    };
    groups.into_iter().map(line).collect()
}

impl Info {
    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<14} {value}");
        };
        line("model", format!("{} ({})", self.model, self.files));
        let none = || "none".to_string();
        line(
            "architecture",
            match self.architecture.is_empty() {
                true => none(),
                false => self.architecture.join(", "),
            },
        );
        let own = if self.own_graph {
            " (the model's own)"
        } else {
            ""
        };
        let graph = self.graph.clone().map(|graph| graph + own);
        line("graph", graph.unwrap_or_else(none));
        line("parameters", self.parameters.to_string());
        line(
            "tokenizer",
            match &self.tokenizer {
                None => none(),
                Some(Tokenizer {
                    kind,
                    tokens,
                    problem,
                }) => {
                    let problem = problem
                        .as_ref()
                        .map(|problem| format!("; no text: {problem}"));
                    format!("{kind}, {tokens} tokens{}", problem.unwrap_or_default())
                }
            },
        );
        match (self.runs, self.context, self.memory) {
            (true, Some(context), Some(memory)) => line(
                "runs",
                format!(
                    "yes, with {memory} bytes at a context of {context} (smallmind plan itemizes them)"
                ),
            ),
            _ => line("runs", "no".to_string()),
        }
        let missing = grouped(&self.missing);
        for missing in missing.iter().take(MOST_MISSING) {
            let _ = writeln!(text, "  {missing}");
        }
        if let Some(more @ 1..) = missing.len().checked_sub(MOST_MISSING) {
            let _ = writeln!(text, "  and {more} more");
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "  warning: {warning}");
        }
        if !self.unread.is_empty() {
            let _ = writeln!(text, "\nkeys that the graph file does not read:");
        }
        for UnreadKey {
            key,
            value,
            changes,
        } in &self.unread
        {
            let changes = match changes {
                Some(true) => "; it changes what the model computes",
                Some(false) | None => "",
            };
            let _ = writeln!(text, "  {key} ({value}){changes}");
        }
        if !self.tensors.is_empty() {
            let _ = writeln!(
                text,
                "\n{:<10} {:>8} {:>14} {:>14}",
                "type", "tensors", "elements", "bytes"
            );
        }
        for TensorsOfType {
            r#type,
            tensors,
            elements,
            bytes,
        } in &self.tensors
        {
            let _ = writeln!(text, "{type:<10} {tensors:>8} {elements:>14} {bytes:>14}");
        }
        let width = self
            .metadata
            .keys()
            .map(|key| key.chars().count())
            .max()
            .unwrap_or(0);
        text.push('\n');
        for (key, value) in &self.metadata {
            let value = match value {
                Json::String(text) => text.replace(char::is_control, " "),
                other => short_text(&other.to_string()),
            };
            let _ = writeln!(text, "{key:<width$}  {value}");
        }
        text
    }
}
