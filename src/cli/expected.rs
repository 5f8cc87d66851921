//! Reading files of expected tensors, and writing files of computed tensors.
//!
//! `input_ids` i64 [T]; then, for models that generate text, `logits` f32 [T, vocabulary] and `greedy` i64 [G], the tokens
//! that greedy choice appends; or, for encoders, `last_hidden_state` f32 [T, width] and `mean_pooled` f32 [width], its mean
//! over T divided by the mean's length. Besides these, the file may contain hidden states, f32 [T, width]: `hidden.3` is the
//! output of layer 3, counted from 0, and `hidden.embedding` is the input of the first layer.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use smallmind::files::output::write_bytes;
use smallmind::files::safetensors::TensorFile;

use super::failure::{Failure, error};

/// What a model computes for a prompt, or should compute.
pub struct Outputs {
    /// The prompt: [T].
    pub input_ids: Vec<u32>,
    /// The name of the tensor with the elements `rows`.
    pub name: &'static str,
    /// The model's first output for each token of the prompt: [T, width].
    pub rows: Vec<f32>,
    /// Elements of a row.
    pub width: usize,
    /// Tokens that greedy choice appends; empty for encoders.
    pub greedy: Vec<i64>,
    /// The rows' mean, divided by its length: [width]. Only for encoders.
    pub mean_pooled: Option<Vec<f32>>,
}

/// The output of models that generate text.
pub const LOGITS: &str = "logits";
/// The output of encoders.
pub const LAST_HIDDEN_STATE: &str = "last_hidden_state";
const INPUT_IDS: &str = "input_ids";
const GREEDY: &str = "greedy";
const MEAN_POOLED: &str = "mean_pooled";
const HIDDEN: &str = "hidden.";
const EMBEDDING: &str = "embedding";

impl Outputs {
    /// Read a file of expected tensors.
    pub fn read(path: &Path) -> Result<Outputs, Failure> {
        let file = TensorFile::open(path)?;
        let [tokens] = shape(&file, INPUT_IDS, ["T"])?;
        if tokens == 0 {
            return error(format!("{}: {INPUT_IDS} is empty", path.display()));
        }
        let mut input_ids = Vec::with_capacity(tokens);
        for id in file.read_i64(INPUT_IDS)? {
            match u32::try_from(id) {
                Ok(id) => input_ids.push(id),
                Err(_) => {
                    return error(format!(
                        "{}: {INPUT_IDS} contains {id}, which is not a token id",
                        path.display()
                    ));
                }
            }
        }
        let Some(name) = [LOGITS, LAST_HIDDEN_STATE]
            .into_iter()
            .find(|name| file.get(name).is_some())
        else {
            return error(format!(
                "{} has neither {LOGITS} nor {LAST_HIDDEN_STATE}",
                path.display()
            ));
        };
        let [rows, width] = shape(&file, name, ["T", "width"])?;
        if rows != tokens || width == 0 {
            return error(format!(
                "{}: {name} has shape [{rows}, {width}]; expected [{tokens}, width], a row for each of {INPUT_IDS}",
                path.display()
            ));
        }
        let greedy = match file.get(GREEDY) {
            Some(_) if name == LOGITS => {
                let [_] = shape(&file, GREEDY, ["G"])?;
                file.read_i64(GREEDY)?
            }
            _ => Vec::new(),
        };
        let mean_pooled = match file.get(MEAN_POOLED) {
            Some(_) if name == LAST_HIDDEN_STATE => {
                let [pooled] = shape(&file, MEAN_POOLED, ["width"])?;
                if pooled != width {
                    return error(format!(
                        "{}: {MEAN_POOLED} has shape [{pooled}]; expected [{width}]",
                        path.display()
                    ));
                }
                Some(file.read_f32(MEAN_POOLED)?)
            }
            _ => None,
        };
        let rows = file.read_f32(name)?;
        Ok(Outputs {
            input_ids,
            name,
            rows,
            width,
            greedy,
            mean_pooled,
        })
    }

    /// Write a file that [`Outputs::read`] reads. It appears whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let ids = bytes(&self.input_ids, |&id| i64::from(id).to_le_bytes());
        let rows = bytes(&self.rows, |x| x.to_le_bytes());
        let greedy = bytes(&self.greedy, |id| id.to_le_bytes());
        let pooled = self
            .mean_pooled
            .as_ref()
            .map(|pooled| bytes(pooled, |x| x.to_le_bytes()));
        let tokens = self.input_ids.len();
        let mut tensors = vec![
            (INPUT_IDS, TensorView::new(Dtype::I64, vec![tokens], &ids)?),
            (
                self.name,
                TensorView::new(Dtype::F32, vec![tokens, self.width], &rows)?,
            ),
        ];
        if self.name == LOGITS {
            let shape = vec![self.greedy.len()];
            tensors.push((GREEDY, TensorView::new(Dtype::I64, shape, &greedy)?));
        }
        if let Some(pooled) = &pooled {
            let view = TensorView::new(Dtype::F32, vec![self.width], pooled)?;
            tensors.push((MEAN_POOLED, view));
        }
        let file = safetensors::serialize(tensors, None)?;
        Ok(write_bytes(path, &file)?)
    }
}

/// Rows of numbers, and how many a row has.
pub type Rows<'a> = (&'a [f32], usize);

/// Hidden states that another program computed, by layer; `None` stands for the input of the first layer.
pub struct Hidden {
    states: BTreeMap<Option<usize>, (Vec<f32>, usize)>,
}

impl Hidden {
    /// Read the hidden states of `tokens` tokens from a file; empty if it has none.
    pub fn read(path: &Path, tokens: usize) -> Result<Hidden, Failure> {
        let file = TensorFile::open(path)?;
        let mut states = BTreeMap::new();
        let names = file
            .names()
            .filter_map(|name| Some((name, name.strip_prefix(HIDDEN)?)));
        for (name, layer) in names {
            let state = match layer {
                EMBEDDING => None,
                number => match number.parse() {
                    Ok(layer) => Some(layer),
                    Err(_) => {
                        return error(format!(
                            "{}: {name} is neither {HIDDEN}{EMBEDDING} nor {HIDDEN} and a layer's number",
                            path.display()
                        ));
                    }
                },
            };
            let [rows, width] = shape(&file, name, ["T", "width"])?;
            if rows != tokens || width == 0 {
                return error(format!(
                    "{}: {name} has shape [{rows}, {width}]; expected [{tokens}, width], a row for each of {INPUT_IDS}",
                    path.display()
                ));
            }
            states.insert(state, (file.read_f32(name)?, width));
        }
        Ok(Hidden { states })
    }

    /// Whether there are no hidden states.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// All hidden states, in the order in which they are computed.
    pub fn states(&self) -> impl Iterator<Item = (Option<usize>, Rows<'_>)> {
        let states = self.states.iter();
        states.map(|(layer, (rows, width))| (*layer, (rows.as_slice(), *width)))
    }

    /// The hidden states of one layer.
    pub fn get(&self, layer: Option<usize>) -> Option<Rows<'_>> {
        let (rows, width) = self.states.get(&layer)?;
        Some((rows, *width))
    }

    /// The tensor's name.
    pub fn name(layer: Option<usize>) -> String {
        match layer {
            None => format!("{HIDDEN}{EMBEDDING}"),
            Some(layer) => format!("{HIDDEN}{layer}"),
        }
    }
}

/// The little-endian bytes of elements.
fn bytes<T, const N: usize>(elements: &[T], of: impl Fn(&T) -> [u8; N]) -> Vec<u8> {
    elements.iter().flat_map(of).collect()
}

/// The shape of a tensor of `N` dimensions, whose names are `dims`.
fn shape<const N: usize>(
    file: &TensorFile,
    name: &str,
    dims: [&str; N],
) -> Result<[usize; N], Failure> {
    let path = file.path().display();
    let Some(info) = file.get(name) else {
        return error(format!("{path} has no tensor {name}"));
    };
    match <[usize; N]>::try_from(info.shape.as_slice()) {
        Ok(shape) => Ok(shape),
        Err(_) => error(format!(
            "{path}: {name} has shape {:?}; expected [{}]",
            info.shape,
            dims.join(", ")
        )),
    }
}
