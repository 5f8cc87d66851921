//! A Hugging Face folder as the keys and tensors of a GGUF file.
//!
//! The graph file says which keys and tensors these are. Before anything is written, the new header is read back: it must be
//! possible to build its graph, its parameters must be the folder's parameters, and its vocabulary must make the same tokens
//! of some texts.

use std::fs;
use std::path::{Path, PathBuf};

use super::folder_text::vocabulary;
use super::is_matrix;
use super::mixture::{Choice, Types};
use super::planned::{Place, Planned, QuantizeError};
use crate::architecture::bind::{Headers, bind, find_tensor};
use crate::architecture::expand::expand;
use crate::architecture::weight_expression::WeightExpressions;
use crate::convert::gguf_file::{GgufWriter, NewKey, NewTensor};
use crate::convert::to_gguf::{Elements, ToGguf, compare, to_gguf};
use crate::convert::vocabulary::END_KEYS;
use crate::embed::pooling_type;
use crate::files::gguf::{GgufFile, TensorType};
use crate::files::weight_files::WeightFilesError;
use crate::graph::{Graph, Value as GraphValue};
use crate::language::value::Value;
use crate::model::{
    Configuration, GGUF_GRAPH, ModelError, ModelFiles, Options, Source, Warning, choose_graph,
};
use crate::text::tokenizer::Tokenizer;
use crate::types::DType;

/// A folder's opened model, and the expressions that compute a GGUF file's tensors.
pub(super) struct Folder {
    files: ModelFiles,
    graph: Graph,
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Folder({})", self.files.path.display())
    }
}

/// Everything that will be written for a folder, except for the keys that quantizing adds.
pub(super) struct FolderPlan {
    pub folder: Folder,
    pub keys: Vec<NewKey>,
    pub tensors: Vec<Planned>,
    pub warnings: Vec<Warning>,
    tokenizer: Option<Tokenizer>,
    made: ToGguf,
}

impl FolderPlan {
    /// Opens a folder, and decides what its model becomes.
    pub fn new(path: &Path, types: Types, graph: Option<&Path>) -> Result<Self, QuantizeError> {
        let options = Options {
            graph: graph.map(Path::to_path_buf),
            ..Options::default()
        };
        let files = ModelFiles::open(&Source::Path(path.to_path_buf()), &options)?;
        let Some(headers) = files.headers() else {
            let folder = path.to_path_buf();
            return Err(ModelError::Files(WeightFilesError::NoWeights { folder }).into());
        };
        let mut made = to_gguf(&files.graph, &files.config, &headers).map_err(ModelError::from)?;
        let mut warnings = files.warnings().map_err(ModelError::from)?;
        let text = |key: &str, value: &str| NewKey::text(key, value);
        let mut keys = vec![
            text("general.architecture", &made.architecture),
            text("general.type", "model"),
            NewKey::u32("general.alignment", 32),
        ];
        if let Some(name) = name(path) {
            keys.push(text("general.name", &name));
        }
        for (key, value) in &made.keys {
            keys.push(new_key(key, value)?);
        }
        if let Some(text) = files.own_graph()? {
            keys.push(NewKey::text(GGUF_GRAPH, &text));
        }
        if let Some(pooling) =
            pooling_type(&files).map_err(|error| QuantizeError::Recipe(Box::new(error)))?
        {
            keys.push(NewKey::u32(
                &format!("{}.pooling_type", made.architecture),
                pooling,
            ));
        }
        let text = vocabulary(&files, made.tokens)?;
        keys.extend(text.keys);
        if let Some(beyond) = text
            .ends
            .get(END_KEYS.len()..)
            .filter(|ids| !ids.is_empty())
        {
            warnings.push(Warning::ListedEnds {
                ids: beyond.to_vec(),
            });
        }
        let tensors = std::mem::take(&mut made.tensors);
        let choice = Choice::new(types, tensors.iter().map(|tensor| &*tensor.name));
        let tensors = tensors.into_iter().map(|tensor| {
            let row = tensor.shape.last().copied().unwrap_or(1);
            // All programs can read a tensor that is not a matrix as F32; some can't read it as anything else.
            let wanted = match is_matrix(&tensor.name, &tensor.shape) {
                true => choice.target(&tensor.name, row),
                false => DType::F32,
            };
            let from = TensorType::of(tensor.dtype).unwrap_or(TensorType::F32);
            let to = Some(wanted).filter(|&to| TensorType::of(to) != Some(from));
            Planned {
                place: match tensor.elements {
                    Elements::Value(value) => Place::Value(value),
                    Elements::Made(floats) => {
                        Place::Made(floats.iter().flat_map(|x| x.to_le_bytes()).collect())
                    }
                },
                new: NewTensor {
                    name: tensor.name,
                    tensor_type: to.and_then(TensorType::of).unwrap_or(from),
                    shape: tensor.shape,
                },
                from,
                to,
            }
        });
        Ok(FolderPlan {
            tensors: tensors.collect(),
            keys,
            warnings,
            tokenizer: text.tokenizer,
            folder: Folder {
                files,
                graph: std::mem::take(&mut made.graph),
            },
            made,
        })
    }

    /// Reads back what will be written, and compares it with the folder.
    pub fn check(&self) -> Result<(), QuantizeError> {
        let files = &self.folder.files;
        let unreadable = |problem: String| QuantizeError::Unreadable {
            folder: files.path.clone(),
            problem,
        };
        let new: Vec<NewTensor> = self.tensors.iter().map(|t| t.new.clone()).collect();
        let mut header = Vec::new();
        GgufWriter::new(&mut header, &self.keys, &new)?;
        let file = GgufFile::from_header(&files.path, header, u64::MAX)?;
        let config = Configuration::Gguf(file.metadata().clone());
        let own = &files.graph;
        let by = match own.architectures.contains(&self.made.architecture) {
            true => own.clone(),
            false => choose_graph(&config, None, None)?.0,
        };
        let header = |name: &str| Some((name.to_string(), file.header(name)?));
        let headers: Headers = file.names().filter_map(header).collect();
        let has = |name: &str| find_tensor(&headers, &by.prefixes, name).is_some();
        let read = expand(&by, &config, &has).and_then(|expanded| {
            bind(&by.file, &expanded, Some(&headers))?;
            Ok(expanded.params)
        });
        let read = read.map_err(|problems| unreadable(problems.to_string()))?;
        compare(own, &self.made.params, &by, &read).map_err(ModelError::from)?;
        if let Some(given) = &self.tokenizer {
            let made = Tokenizer::from_gguf(file.metadata());
            let made = made.map_err(|error| unreadable(error.to_string()))?;
            crate::convert::vocabulary::compare(given, &made).map_err(|problem| {
                QuantizeError::Vocabulary {
                    file: files.path.join("tokenizer.json"),
                    problem,
                }
            })?;
        }
        Ok(())
    }
}

impl Folder {
    /// The files of the folder, except for GGUF files, which are not part of its model.
    pub fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.files.path)
            .into_iter()
            .flatten()
            .flatten();
        let files = entries.map(|entry| entry.path());
        let is_other = |path: &PathBuf| path.extension().is_some_and(|end| end == "gguf");
        files
            .filter(|path| path.is_file() && !is_other(path))
            .collect()
    }

    /// The elements of a tensor, row-major and little-endian.
    pub fn elements(&self, value: GraphValue) -> Result<Vec<u8>, QuantizeError> {
        let Some(weights) = &self.files.weights else {
            return Ok(Vec::new());
        };
        let weight = WeightExpressions::new(&self.graph, weights).get(value);
        let weight = weight.map_err(|error| QuantizeError::Elements(Box::new(error)))?;
        let bytes = weight.dense_bytes();
        weight.release();
        Ok(bytes)
    }
}

/// The folder's name.
fn name(path: &Path) -> Option<String> {
    let whole = path.canonicalize().ok()?;
    Some(whole.file_name()?.to_str()?.to_string())
}

/// A parameter as a key: whole numbers as U32 or I32, other numbers as F32.
fn new_key(key: &str, value: &Value) -> Result<NewKey, QuantizeError> {
    let refuse = || QuantizeError::Key {
        key: key.to_string(),
        value: value.to_string(),
    };
    Ok(match value {
        Value::Int(number) => match (u32::try_from(*number), i32::try_from(*number)) {
            (Ok(number), _) => NewKey::u32(key, number),
            (_, Ok(number)) => NewKey::i32(key, number),
            _ => return Err(refuse()),
        },
        Value::Float(number) => NewKey::f32(key, *number as f32),
        Value::Bool(flag) => NewKey::bool(key, *flag),
        Value::Str(text) => NewKey::text(key, text),
        Value::List(items) => {
            let whole = items.iter().map(|item| i32::try_from(item.as_int()?).ok());
            let floats = items.iter().map(|item| Some(item.as_number()? as f32));
            if let Some(whole) = whole.collect::<Option<Vec<i32>>>() {
                NewKey::integers(key, &whole)
            } else if let Some(floats) = floats.collect::<Option<Vec<f32>>>() {
                NewKey::floats(key, &floats)
            } else {
                return Err(refuse());
            }
        }
        Value::Null | Value::Record(_) => return Err(refuse()),
    })
}
