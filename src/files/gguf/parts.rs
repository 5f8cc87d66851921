//! Models that consist of several files: `NAME-00001-of-00003.gguf` and its siblings, as `llama-gguf-split` names them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::GgufFile;
use crate::files::tensor_file::{ErrorsOf, Open, TensorFileError};

/// The key for the number of parts.
const COUNT: &str = "split.count";
/// The key for the number of the part, from 0.
const NUMBER: &str = "split.no";
/// The key for the number of tensors in all parts.
const TENSORS: &str = "split.tensors.count";
/// Digits of a number in the name of a part.
const DIGITS: usize = 5;

/// Opens a file and, if it is one part of a model, all other parts. Returns the first part, which has the metadata of the
/// model, and the others in order. No tensor is in two parts.
pub fn open_parts(path: &Path, open: Open) -> Result<(GgufFile, Vec<GgufFile>), TensorFileError> {
    let file = open_one(path, open)?;
    let count = match file.metadata().integer(COUNT) {
        None | Some(..=1) => return Ok((file, Vec::new())),
        Some(count) => count,
    };
    let Some(name) = PartName::of(path).filter(|name| i64::from(name.count) == count) else {
        return Err(ErrorsOf(path).malformed(format!(
            "one of {count} parts of a model; its name should end like -00001-of-{count:05}.gguf, so that the other parts can be found"
        )));
    };
    let mut parts = Vec::new();
    for number in 1..=name.count {
        let sibling = name.path(number);
        let part = if number == name.number {
            None
        } else if sibling.is_file() {
            Some(open_one(&sibling, open)?)
        } else {
            return Err(ErrorsOf(&sibling).malformed(format!(
                "part {number} of {count} of the model {} is missing",
                path.display()
            )));
        };
        let metadata = part.as_ref().unwrap_or(&file).metadata();
        for (key, expected) in [(COUNT, count), (NUMBER, i64::from(number) - 1)] {
            let found = metadata.integer(key);
            if found != Some(expected) {
                let found = found.map_or("no integer".to_string(), |found| found.to_string());
                return Err(ErrorsOf(metadata.path()).malformed(format!(
                    "part {number} of {count} must have {expected} for `{key}`, but has {found}"
                )));
            }
        }
        parts.extend(part);
    }
    // The named part was left out until now.
    let place = usize::try_from(name.number - 1).unwrap_or_default();
    parts.insert(place.min(parts.len()), file);
    check_tensors(&parts)?;
    let first = parts.remove(0);
    Ok((first, parts))
}

/// The models among the files with these names; for a model in several parts, its first part. Files that belong to a text
/// model without being one are left out.
pub fn models_among(names: &[String]) -> Vec<String> {
    let ggufs = names.iter().filter(|name| {
        let name = name.to_ascii_lowercase();
        name.ends_with(".gguf") && !is_companion(&name)
    });
    let is_later_part = |name: &String| {
        PartName::of(Path::new(name)).is_some_and(|part| {
            let first = part.path(1).to_string_lossy().into_owned();
            part.number > 1 && names.contains(&first)
        })
    };
    ggufs.filter(|name| !is_later_part(name)).cloned().collect()
}

/// Whether the file with that name, in lower case, belongs to a text model without being one: image projections, or
/// statistics for quantizing.
pub fn is_companion(name: &str) -> bool {
    name.contains("mmproj") || name.contains("imatrix")
}

impl GgufFile {
    /// The file, unless it is one of several parts of a model: the other parts cannot be found without its name.
    pub fn refuse_part(self) -> Result<Self, TensorFileError> {
        match self.metadata().integer(COUNT) {
            None | Some(..=1) => Ok(self),
            Some(count) => Err(ErrorsOf(self.path()).malformed(format!(
                "one of {count} parts of a model; merge them into one file first"
            ))),
        }
    }
}

fn open_one(path: &Path, open: Open) -> Result<GgufFile, TensorFileError> {
    match open {
        Open::Data => GgufFile::open(path),
        Open::Read => GgufFile::open_to_read(path),
        Open::Headers => GgufFile::open_header(path),
    }
}

/// Checks that no tensor is in two parts, and that there are as many tensors as the first part says, if it does.
fn check_tensors(parts: &[GgufFile]) -> Result<(), TensorFileError> {
    let mut holders: BTreeMap<&str, &Path> = BTreeMap::new();
    for part in parts {
        for tensor in part.names() {
            if let Some(first) = holders.insert(tensor, part.path()) {
                return Err(ErrorsOf(part.path())
                    .bad_tensor(tensor, format!("it is also in {}", first.display())));
            }
        }
    }
    let Some(first) = parts.first() else {
        return Ok(());
    };
    match first.metadata().integer(TENSORS) {
        Some(expected) if expected != holders.len() as i64 => {
            Err(ErrorsOf(first.path()).malformed(format!(
                "the {} parts of the model should have {expected} tensors (`{TENSORS}`), but have {}",
                parts.len(),
                holders.len()
            )))
        }
        _ => Ok(()),
    }
}

/// The path of a part, split up.
struct PartName {
    folder: PathBuf,
    /// The name before `-00001-of-00003.gguf`.
    stem: String,
    /// From 1, at most `count`.
    number: u32,
    count: u32,
}

impl PartName {
    fn of(path: &Path) -> Option<PartName> {
        let name = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let (rest, count) = last_number(name)?;
        let (rest, number) = last_number(rest.strip_suffix("-of")?)?;
        (1..=count).contains(&number).then(|| PartName {
            folder: path.with_file_name(""),
            stem: rest.to_string(),
            number,
            count,
        })
    }

    fn path(&self, number: u32) -> PathBuf {
        let PartName {
            folder,
            stem,
            count,
            ..
        } = self;
        folder.join(format!("{stem}-{number:0DIGITS$}-of-{count:0DIGITS$}.gguf"))
    }
}

/// Removes `-` and a number of five digits from the end of a name.
fn last_number(name: &str) -> Option<(&str, u32)> {
    let (rest, digits) = name.rsplit_once('-')?;
    let five = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    five.then(|| digits.parse().ok())
        .flatten()
        .map(|number| (rest, number))
}
