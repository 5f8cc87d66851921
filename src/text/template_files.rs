//! Where the chat template of a model, and the special tokens that it names, are found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::config_files::{LARGEST_FILE, read_json};
use super::known_templates::names;
#[cfg(feature = "chat")]
use super::known_templates::{KNOWN_TEMPLATES, KnownTemplate, named};
#[cfg(feature = "chat")]
use crate::files::folder::read_text;
use crate::files::folder::{Folder, FolderError};
use crate::files::gguf::Metadata;
#[cfg(feature = "chat")]
use crate::language::diagnostics::nearest;

/// The key of the template in a GGUF file.
const GGUF_TEMPLATE: &str = "tokenizer.chat_template";

/// Why the files provide no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateFileError {
    /// No template was found.
    #[error(
        "{model} has no chat template: there is no {places}. Give a file or a name (--template): known are {}",
        names()
    )]
    Missing {
        /// The model.
        model: String,
        /// Where a template could be.
        places: String,
    },
    /// There is neither a file nor a known template with that name.
    #[error("there is no file {}, and no chat template of that name{near}; known are {}", path.display(), names())]
    Unknown {
        /// The requested file or name.
        path: PathBuf,
        /// The nearest known name, as a part of the message.
        near: String,
    },
    /// There are several templates, and none of them is the default.
    #[error("{file}: chat_template names {}, but no \"default\". Give one of them as a file (--template FILE)", names.join(", "))]
    NoDefault {
        /// The file.
        file: String,
        /// The names.
        names: Vec<String>,
    },
    /// A file cannot be read.
    #[error("{}: {problem}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl From<FolderError> for TemplateFileError {
    fn from(FolderError { path, problem }: FolderError) -> Self {
        TemplateFileError::Read { path, problem }
    }
}

/// The files of a model that may contain a chat template.
#[derive(Clone, Debug)]
pub enum TemplateFiles {
    /// A folder, with `chat_template.jinja`, `tokenizer_config.json` or `chat_template.json`.
    Folder(Folder),
    /// A GGUF file.
    Gguf(Metadata),
}

impl TemplateFiles {
    /// The name of the template in messages, and its text.
    pub(crate) fn text(&self) -> Result<(String, String), TemplateFileError> {
        let missing = |model: String, places: &str| TemplateFileError::Missing {
            model,
            places: places.to_string(),
        };
        match self {
            TemplateFiles::Gguf(metadata) => match metadata.get(GGUF_TEMPLATE) {
                Some(value) if value.as_str().is_some() => {
                    let text = value.as_str().unwrap_or_default().to_string();
                    Ok((format!("{}: {GGUF_TEMPLATE}", metadata.describe()), text))
                }
                _ => Err(missing(
                    metadata.describe(),
                    &format!("text \"{GGUF_TEMPLATE}\" in its metadata"),
                )),
            },
            TemplateFiles::Folder(folder) => {
                const JINJA: &str = "chat_template.jinja";
                if folder.has(JINJA) {
                    let text = folder.text(JINJA, LARGEST_FILE)?.into_owned();
                    return Ok((folder.path(JINJA).display().to_string(), text));
                }
                for name in ["tokenizer_config.json", "chat_template.json"] {
                    let path = folder.path(name);
                    let Some(json) = read_json(folder, name)? else {
                        continue;
                    };
                    if let Some(text) = template_of(&path, &json)? {
                        return Ok((format!("{}: chat_template", path.display()), text));
                    }
                }
                Err(missing(
                    folder.name().display().to_string(),
                    "file chat_template.jinja, and no key \"chat_template\" in tokenizer_config.json or \
                     chat_template.json",
                ))
            }
        }
    }

    /// The special tokens in the files of the model, by the names that templates use for them.
    pub(crate) fn tokens(&self) -> Result<BTreeMap<String, String>, TemplateFileError> {
        let mut tokens = BTreeMap::new();
        let TemplateFiles::Folder(folder) = self else {
            return Ok(tokens);
        };
        for name in ["special_tokens_map.json", "tokenizer_config.json"] {
            let json = read_json(folder, name)?;
            let entries = json.as_ref().and_then(Json::as_object);
            for (key, value) in entries.into_iter().flatten() {
                // A token is a text, or a record with its text and its matching rules.
                let text = value.as_str().or_else(|| value.get("content")?.as_str());
                if let Some(text) = text.filter(|_| key.ends_with("_token")) {
                    tokens.insert(key.clone(), text.to_string());
                }
            }
        }
        Ok(tokens)
    }
}

/// The `chat_template` of a JSON file: a text, or a list of named templates, from which the default is used.
fn template_of(path: &Path, json: &Json) -> Result<Option<String>, TemplateFileError> {
    let file = || path.display().to_string();
    match json.get("chat_template") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(Json::Array(entries)) => {
            let text = |entry: &Json, key: &str| Some(entry.get(key)?.as_str()?.to_string());
            let named: Vec<(String, String)> = entries
                .iter()
                .filter_map(|entry| Some((text(entry, "name")?, text(entry, "template")?)))
                .collect();
            match named.iter().find(|(name, _)| name == "default") {
                Some((_, text)) => Ok(Some(text.clone())),
                None => Err(TemplateFileError::NoDefault {
                    file: file(),
                    names: named.into_iter().map(|(name, _)| name).collect(),
                }),
            }
        }
        Some(_) => Err(TemplateFileError::Read {
            path: path.to_path_buf(),
            problem: "\"chat_template\" must be a text, or a list of records with \"name\" and \"template\""
                .to_string(),
        }),
    }
}

/// The template that a caller may choose instead of the model's own.
#[cfg(feature = "chat")]
pub(crate) enum Given {
    /// The text of a file.
    File(String),
    /// A known template.
    Known(&'static KnownTemplate),
}

/// A file, or otherwise the known template with that name.
#[cfg(feature = "chat")]
pub(crate) fn given(path: &Path) -> Result<Given, TemplateFileError> {
    let name = path.to_string_lossy();
    let is_name = !name.contains(['/', '\\', '.']);
    if path.exists() || !is_name {
        return Ok(Given::File(read_text(path, LARGEST_FILE)?));
    }
    named(&name).map(Given::Known).ok_or_else(|| {
        let near = nearest(&name, KNOWN_TEMPLATES.iter().map(|template| template.name));
        TemplateFileError::Unknown {
            path: path.to_path_buf(),
            near: near.map_or(String::new(), |near| format!(", the nearest is `{near}`")),
        }
    })
}
