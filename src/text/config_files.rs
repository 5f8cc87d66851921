//! JSON files next to a tokenizer: how large they may be, and how they are read.

use serde_json::Value as Json;

use crate::files::folder::{Folder, FolderError};
use crate::files::json;

/// The largest file that is read, in bytes. The files of large vocabularies list every added token.
pub const LARGEST_FILE: u64 = 16 << 20;

/// The JSON of a file in a folder; `None` if there is no such file.
pub fn read_json(folder: &Folder, file: &str) -> Result<Option<Json>, FolderError> {
    if !folder.has(file) {
        return Ok(None);
    }
    let json = json::parse(&folder.text(file, LARGEST_FILE)?);
    json.map(Some).map_err(|error| FolderError {
        path: folder.path(file),
        problem: error.to_string(),
    })
}
