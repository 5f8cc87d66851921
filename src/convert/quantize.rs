//! Makes a GGUF file whose matrices have another type, from a GGUF file of floats or a folder.
//!
//! A tensor is converted if it has at least two dimensions and its name ends in `weight` and contains none of `KEPT`: the
//! matrices of matmuls, the table of token embeddings and the head, all to the same type or to a mixture. Everything else
//! (norms, biases, tables of positions) stays as it is, or becomes F32 if the input is a folder. llama.cpp's quantizer makes
//! the same choices: with `--pure` for a single type, without it for the mixtures.

use std::borrow::Cow;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::elements::{Converter, Loss, float_bytes};
use super::folder::{Folder, FolderPlan};
use super::is_matrix;
use super::mixture::{Choice, Types};
use super::planned::{Place, Planned, QuantizeError};
use crate::convert::gguf_file::{GgufWriter, NewKey, NewTensor};
use crate::exec::pool::Pool;
use crate::files::gguf::{GgufFile, TensorType, is_gguf, open_parts};
use crate::files::weight_file::Open;
use crate::kernels::float_environment::FloatEnvironment;
use crate::model::Warning;
use crate::types::DType;

/// Keys that are not copied because they describe the old file.
const DROPPED: [&str; 5] = [
    FILE_TYPE,
    QUANTIZATION_VERSION,
    "split.no",
    "split.count",
    "split.tensors.count",
];
const FILE_TYPE: &str = "general.file_type";
const QUANTIZATION_VERSION: &str = "general.quantization_version";
/// The version of the block formats.
const VERSION: u32 = 2;
/// Elements that a thread converts at once: whole blocks of every format.
const PIECE: usize = 1 << 19;

/// How much of the input has been converted, in bytes of its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes converted.
    pub done: u64,
    /// Bytes in all.
    pub all: u64,
}

/// A tensor whose type changed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Converted {
    /// Its name.
    pub name: String,
    /// Its new type.
    pub to: DType,
    /// The root mean square of what its elements lost, divided by the root mean square of its elements.
    pub error: f64,
}

/// The result of quantizing a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Tensors that were converted, in the order of the new file.
    pub converted: Vec<Converted>,
    /// How many tensors stayed as they are.
    pub kept: usize,
    /// Bytes of all tensors before.
    pub bytes_before: u64,
    /// Bytes of all tensors after.
    pub bytes_after: u64,
    /// The root mean square of what all converted elements lost, divided by the root mean square of those elements.
    pub error: f64,
}

/// A model file and what it will become.
#[derive(Debug)]
pub struct Quantization {
    input: Input,
    keys: Vec<NewKey>,
    tensors: Vec<Planned>,
    warnings: Vec<Warning>,
}

/// What is quantized.
#[derive(Debug)]
enum Input {
    /// The parts of a GGUF model.
    Parts(Vec<GgufFile>),
    Folder(Box<Folder>),
}

impl Quantization {
    /// Opens a GGUF file, with all other parts of the model if it is one of several, or a Hugging Face folder, and decides
    /// what each tensor becomes. `graph` is a graph file instead of the built-in one for the folder's architecture; GGUF
    /// files don't need it.
    ///
    /// What would be written for a folder is read back here and compared with the folder: src/guide/graphs.md describes what the
    /// graph file must say, and what is an error.
    ///
    /// # Errors
    /// If the input can't be read, has no graph file, or contains something that a GGUF file can't express.
    pub fn plan(
        input: &Path,
        types: impl Into<Types>,
        graph: Option<&Path>,
    ) -> Result<Self, QuantizeError> {
        let _environment = FloatEnvironment::set_default();
        let types = types.into();
        let file_type = match (types.file_type(), types) {
            (None, Types::All(target)) => return Err(QuantizeError::Target { target }),
            (file_type, _) => file_type.unwrap_or(0),
        };
        let of_type = [
            NewKey::u32(FILE_TYPE, file_type),
            NewKey::u32(QUANTIZATION_VERSION, VERSION),
        ];
        if input.is_dir() {
            let mut plan = FolderPlan::new(input, types, graph)?;
            plan.keys.extend(of_type);
            plan.check()?;
            return Ok(Quantization {
                input: Input::Folder(Box::new(plan.folder)),
                keys: plan.keys,
                tensors: plan.tensors,
                warnings: plan.warnings,
            });
        }
        // Only folders have a graph file.
        let _ = graph;
        if !is_gguf(input) {
            let input = input.to_path_buf();
            return Err(QuantizeError::NotGguf { input });
        }
        let (first, others) = open_parts(input, Open::Data)?;
        let mut keys = Vec::new();
        for key in first.metadata().keys().filter(|key| !DROPPED.contains(key)) {
            keys.extend(NewKey::copied(first.metadata(), key));
        }
        keys.extend(of_type);
        let parts: Vec<GgufFile> = [first].into_iter().chain(others).collect();
        let choice = Choice::new(types, parts.iter().flat_map(GgufFile::names));
        let mut tensors = Vec::new();
        for (part, file) in parts.iter().enumerate() {
            let mut stored: Vec<_> = file
                .names()
                .filter_map(|name| Some((name, file.tensor(name)?)))
                .collect();
            stored.sort_by_key(|(_, tensor)| tensor.start);
            for (name, tensor) in stored {
                let from = tensor.tensor_type;
                let float = float_bytes(from).is_some();
                let unknown = from.bytes_of(tensor.shape).is_err();
                let wanted = is_matrix(name, tensor.shape);
                if from.block_format().is_some() || unknown || (wanted && !float) {
                    return Err(QuantizeError::NotFloats {
                        file: file.path().to_path_buf(),
                        tensor: name.to_string(),
                        found: from.to_string(),
                    });
                }
                let row = tensor.shape.last().copied().unwrap_or(1);
                let to = wanted.then(|| choice.target(name, row));
                let to = to.filter(|&to| TensorType::of(to) != Some(from));
                tensors.push(Planned {
                    place: Place::Part(part),
                    new: NewTensor {
                        name: name.to_string(),
                        tensor_type: to.and_then(TensorType::of).unwrap_or(from),
                        shape: tensor.shape.to_vec(),
                    },
                    from,
                    to,
                });
            }
        }
        Ok(Quantization {
            input: Input::Parts(parts),
            keys,
            tensors,
            warnings: Vec::new(),
        })
    }

    /// The files that must not be replaced by the new file: of a folder all but GGUF files, and the parts of a model that has
    /// several. A model in one file may be replaced by the new one.
    pub fn kept_files(&self) -> Vec<PathBuf> {
        match &self.input {
            Input::Parts(parts) if parts.len() == 1 => Vec::new(),
            Input::Parts(parts) => parts.iter().map(|part| part.path().to_path_buf()).collect(),
            Input::Folder(folder) => folder.files(),
        }
    }

    /// What the folder's files say and the new file does not, or says only to some programs; nothing of a GGUF file, all of
    /// whose keys are copied.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Writes the new file with the threads of `pool`. The model is never in memory as a whole: the input is mapped, and each
    /// thread holds 2^19 elements. Of a folder, one tensor at a time is in memory.
    ///
    /// `progress` is called after each piece, and may ask to stop.
    ///
    /// # Errors
    /// If a tensor can't be read or quantized, the output can't be written, or `progress` asks to stop.
    pub fn write(
        &self,
        out: impl Write,
        pool: &Pool,
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Report, QuantizeError> {
        let _environment = FloatEnvironment::set_default();
        let new: Vec<NewTensor> = self
            .tensors
            .iter()
            .map(|tensor| tensor.new.clone())
            .collect();
        let mut writer = GgufWriter::new(out, &self.keys, &new)?;
        let all = self
            .tensors
            .iter()
            .map(|tensor| tensor.from.bytes_of(&tensor.new.shape).unwrap_or(0))
            .sum();
        let mut done = 0;
        let mut converters = Vec::new();
        converters.resize_with(pool.threads(), || Mutex::new(Converter::default()));
        let (mut report, mut loss) = (Report::new(all), Loss::default());
        for tensor in &self.tensors {
            report.bytes_after += tensor
                .new
                .tensor_type
                .bytes_of(&tensor.new.shape)
                .unwrap_or(0);
            let element = float_bytes(tensor.from).unwrap_or(1);
            let mut tensor_loss = Loss::default();
            let bytes = self.bytes(tensor)?;
            for wave in bytes.chunks(PIECE * element * converters.len()) {
                match tensor.to {
                    None => writer.write(wave)?,
                    Some(to) => {
                        for converter in convert(pool, &mut converters, wave, tensor.from, to)? {
                            writer.write(&converter.out)?;
                            tensor_loss = tensor_loss.and(converter.loss);
                        }
                    }
                }
                done += wave.len() as u64;
                if progress(Progress { done, all }).is_break() {
                    return Err(QuantizeError::Interrupted);
                }
            }
            let Some(to) = tensor.to else {
                report.kept += 1;
                continue;
            };
            let (name, error) = (tensor.new.name.clone(), tensor_loss.relative());
            if !error.is_finite() {
                let (tensor, to) = (name, super::name(to));
                return Err(QuantizeError::NotFinite { tensor, to });
            }
            loss = loss.and(tensor_loss);
            report.converted.push(Converted { name, to, error });
        }
        writer.finish()?;
        report.error = loss.relative();
        Ok(report)
    }

    /// A tensor's elements before they are converted.
    fn bytes<'s>(&'s self, tensor: &'s Planned) -> Result<Cow<'s, [u8]>, QuantizeError> {
        match (&tensor.place, &self.input) {
            (Place::Part(part), Input::Parts(parts)) => {
                let stored = parts.get(*part);
                let stored = stored.and_then(|file| file.tensor(&tensor.new.name));
                let bytes = stored.and_then(|stored| stored.bytes);
                Ok(Cow::Borrowed(bytes.unwrap_or_default()))
            }
            (Place::Value(value), Input::Folder(folder)) => folder.elements(*value).map(Cow::Owned),
            (Place::Made(bytes), _) => Ok(Cow::Borrowed(bytes)),
            (Place::Part(_), Input::Folder(_)) | (Place::Value(_), Input::Parts(_)) => {
                Ok(Cow::Borrowed(&[]))
            }
        }
    }
}

impl Report {
    fn new(bytes_before: u64) -> Self {
        Report {
            converted: Vec::new(),
            kept: 0,
            bytes_before,
            bytes_after: 0,
            error: 0.0,
        }
    }
}

/// Converts pieces, at most one for each thread, each on its own thread. Returns the converters that were used, in order.
fn convert<'c>(
    pool: &Pool,
    converters: &'c mut [Mutex<Converter>],
    wave: &[u8],
    from: TensorType,
    to: DType,
) -> Result<impl Iterator<Item = &'c Converter>, QuantizeError> {
    let piece = PIECE * float_bytes(from).unwrap_or(1);
    let used = wave.len().div_ceil(piece);
    let failed = AtomicBool::new(false);
    pool.run_pieces(used, |number| {
        let converter = converters.get(number);
        if let (Some(converter), Some(piece)) = (converter, wave.chunks(piece).nth(number)) {
            let mut converter = converter.lock().unwrap_or_else(PoisonError::into_inner);
            if converter.convert(from, piece, to).is_err() {
                failed.store(true, Ordering::Relaxed);
            }
        }
    });
    if failed.into_inner() {
        return Err(QuantizeError::Target { target: to });
    }
    let converters = converters.iter_mut().take(used);
    Ok(converters.map(|converter| &*converter.get_mut().unwrap_or_else(PoisonError::into_inner)))
}
