//! Choosing the graph file of a model: the caller's file, the model's own file, or one of the built-in files, which are all
//! files of `graphs/`.

use std::path::Path;

use include_dir::{Dir, include_dir};

use super::ModelError;
use super::configuration::Configuration;
use super::file_names::{LARGEST_TEXT, OWN_GRAPH};
use crate::architecture::ast::ModelFile;
use crate::architecture::parameters::ParameterSource;
use crate::architecture::syntax;
use crate::files::folder::{Folder, read_text};
use crate::language::diagnostics::{Position, Problem, Problems, shortened};
use crate::language::nearest::nearest;

static GRAPHS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/graphs");

/// The key of a GGUF file's own graph file, as a text.
pub const GGUF_GRAPH: &str = "smallmind.graph";

/// Where a model's graph file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphOrigin {
    /// The caller named it.
    Given,
    /// It is part of the model: `model.ron` in its folder, or [`GGUF_GRAPH`] in its metadata.
    Own,
    /// It is part of the library.
    BuiltIn,
}

/// The built-in graph files: path in this repository, and text.
pub fn builtin_graphs() -> impl Iterator<Item = (String, &'static str)> {
    GRAPHS.files().filter_map(|file| {
        let path = format!("graphs/{}", file.path().display());
        Some((path, file.contents_utf8()?))
    })
}

/// The graph file that the caller named, otherwise the model's own, otherwise the built-in one for the architecture
/// that the configuration names.
pub(crate) fn choose_graph(
    config: &Configuration,
    folder: Option<&Folder>,
    given: Option<&Path>,
) -> Result<(ModelFile, GraphOrigin), ModelError> {
    if let Some(path) = given {
        let text = read_text(path, LARGEST_TEXT)?;
        let graph = syntax::parse(&path.display().to_string(), &text)?;
        return Ok((graph, GraphOrigin::Given));
    }
    if let Some(folder) = folder.filter(|folder| folder.has(OWN_GRAPH)) {
        let text = folder.text(OWN_GRAPH, LARGEST_TEXT)?;
        let graph = syntax::parse(&folder.path(OWN_GRAPH).display().to_string(), &text)?;
        return Ok((graph, GraphOrigin::Own));
    }
    if let Configuration::Gguf(metadata) = config
        && metadata.keys().any(|key| key == GGUF_GRAPH)
    {
        let name = format!("{} ({GGUF_GRAPH})", metadata.path().display());
        let Some(text) = metadata.text(GGUF_GRAPH) else {
            let message = "the key must contain a graph file's text, of at most 1 MiB";
            return Err(Problems::one(name, Problem::new(Position::START, message)).into());
        };
        return Ok((syntax::parse(&name, &text)?, GraphOrigin::Own));
    }
    Ok((builtin(config)?, GraphOrigin::BuiltIn))
}

/// The built-in graph file for the architecture that the configuration names.
fn builtin(config: &Configuration) -> Result<ModelFile, ModelError> {
    let names = config.architectures();
    for name in &names {
        // A file that lists the name has it in quotes: the others need not be parsed.
        let quoted = format!("\"{name}\"");
        for (file, text) in builtin_graphs().filter(|(_, text)| text.contains(&quoted)) {
            let graph = syntax::parse(&file, text)?;
            if graph.architectures.contains(name) {
                return Ok(graph);
            }
        }
    }
    let mut known = Vec::new();
    for (file, text) in builtin_graphs() {
        known.extend(syntax::parse(&file, text)?.architectures);
    }
    let message = match names.first() {
        None => match config {
            Configuration::Folder { .. } => {
                "neither \"architectures\" nor \"model_type\" names the architecture".to_string()
            }
            Configuration::Gguf(_) => {
                "no text \"general.architecture\" names the architecture".to_string()
            }
        },
        Some(name) => {
            let near = nearest(name, known.iter().map(String::as_str));
            let near = near.map_or(String::new(), |near| format!(", the nearest is '{near}'"));
            let name = shortened(name, 100);
            format!(
                "no graph file for the architecture '{name}'{near}; known are {}. A graph file of your own can be given (--graph FILE, or model.ron in the model's folder; the guide to graph files, src/guide/graphs.md, explains how to write one)",
                known.join(", ")
            )
        }
    };
    Err(Problems::one(config.describe(), Problem::new(Position::START, message)).into())
}
