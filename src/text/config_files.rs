//! JSON files beside a tokenizer: how large they may be, and reading them.

use serde_json::Value as Json;

use crate::files::folder::{Folder, FolderError};
use crate::files::json;

/// The largest file that is read, in bytes. Files of large vocabularies name each added token.
pub const LARGEST_FILE: u64 = 16 << 20;

/// The JSON of a folder's file; `None` where there is no such file.
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
