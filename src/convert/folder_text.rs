//! The keys of a folder's tokenizer, special tokens and chat template.

use std::path::Path;

use serde_json::Value as Json;

use super::planned::QuantizeError;
use crate::convert::gguf_file::NewKey;
use crate::convert::vocabulary::{Known, end_keys, keys};
use crate::files::folder::Folder;
use crate::model::{ModelFiles, read_json_up_to};
use crate::text::template_files::TemplateFileError;
use crate::text::tokenizer::{LARGEST_TOKENIZER, Tokenizer};

/// Tokenizer files of kinds that are not read.
const OTHER_FILES: [&str; 4] = ["tokenizer.model", "spiece.model", "vocab.json", "vocab.txt"];

/// A folder's tokenizer.
pub(super) struct FolderText {
    pub tokenizer: Option<Tokenizer>,
    /// The keys that describe the tokenizer; for a folder without a tokenizer, they say that it has none.
    pub keys: Vec<NewKey>,
    /// The tokens that end a text, the preferred token first.
    pub ends: Vec<u32>,
}

/// The tokenizer of a folder whose model has `count` tokens, if that is known.
pub(super) fn vocabulary(
    files: &ModelFiles,
    count: Option<usize>,
) -> Result<FolderText, QuantizeError> {
    let folder = &files.path;
    let path = folder.join("tokenizer.json");
    let refuse = |file: &Path, problem: String| QuantizeError::Vocabulary {
        file: file.to_path_buf(),
        problem,
    };
    let mut ends = files.config.eos_tokens().ids;
    let mut bos = files.config.bos_token().ids.first().copied();
    if !path.is_file() {
        for name in OTHER_FILES {
            let other = folder.join(name);
            if other.is_file() {
                let problem = "a vocabulary is read only from tokenizer.json, which is missing";
                return Err(refuse(&other, problem.to_string()));
            }
        }
        let mut keys = vec![NewKey::text("tokenizer.ggml.model", "no_vocab")];
        let bos = bos.map(|bos| NewKey::u32("tokenizer.ggml.bos_token_id", bos));
        keys.extend(bos.into_iter().chain(end_keys(&ends)));
        return Ok(FolderText {
            tokenizer: None,
            keys,
            ends,
        });
    }
    let on_disk = Folder::Disk(folder.clone());
    let mut json: Json = read_json_up_to(&on_disk, "tokenizer.json", LARGEST_TOKENIZER)?;
    let tokenizer = Tokenizer::open_in(&on_disk, "tokenizer.json")
        .map_err(|error| refuse(&path, error.to_string()))?;
    add_tokens_beside(&mut json, &tokenizer, count);
    let templates = files.template_files();
    let spelled = templates.tokens()?;
    let id = |name: &str| tokenizer.token_to_id(spelled.get(name)?);
    bos = id("bos_token").or(bos);
    if let Some(eos) = id("eos_token") {
        ends.retain(|&end| end != eos);
        ends.insert(0, eos);
    }
    let known = Known {
        count,
        bos,
        ends,
        pad: id("pad_token"),
    };
    let keys = keys(&json, &tokenizer, &known).map_err(|problem| refuse(&path, problem));
    let (mut keys, ends) = keys?;
    match templates.text() {
        Ok((_, text)) => keys.push(NewKey::text("tokenizer.chat_template", &text)),
        Err(TemplateFileError::Missing { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(FolderText {
        tokenizer: Some(tokenizer),
        keys,
        ends,
    })
}

/// Adds to `json`, the contents of a tokenizer.json, the tokens that other files add, and what those files say about
/// its own tokens. A token beyond the model's `count` tokens, such as a padding token that only has a name, is in no
/// weight, and so is left out.
fn add_tokens_beside(json: &mut Json, tokenizer: &Tokenizer, count: Option<usize>) {
    let Some(file) = json.as_object_mut() else {
        return;
    };
    let own = file.entry("added_tokens").or_insert(Json::Null);
    if own.is_null() {
        *own = Json::Array(Vec::new());
    }
    let Some(own) = own.as_array_mut() else {
        return;
    };
    for token in tokenizer.added_tokens() {
        let is_it = |other: &&mut Json| other.get("content") == token.get("content");
        if let Some(known) = own.iter_mut().find(is_it) {
            // The file's own id stays; it is checked where the file is read.
            let id = known.get("id").cloned();
            *known = token;
            known["id"] = id.unwrap_or(Json::Null);
            continue;
        }
        let id = token.get("id").and_then(Json::as_u64);
        let has_weights = id.is_some_and(|id| count.is_none_or(|count| id < count as u64));
        if has_weights {
            own.push(token);
        }
    }
}
