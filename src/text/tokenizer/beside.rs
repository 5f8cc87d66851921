//! The tokens that other files add to the vocabulary of a `tokenizer.json`, as transformers 5 adds them:
//!
//! 1. `added_tokens_decoder` in tokenizer_config.json. Only if it is missing, added_tokens.json is used, and
//!    special_tokens_map.json adds to the names below
//! 2. tokens with a name: `bos_token`, `eos_token` and the like, any other key that ends in `_token`, and the map
//!    `extra_special_tokens`
//! 3. the list `extra_special_tokens`, or otherwise `additional_special_tokens`
//!
//! A new token has the next free id. If a file states a different id, transformers silently uses the free one; here that is
//! an error, because the model has learned the stated id.
//!
//! `add_bos_token`, `add_eos_token` and `add_prefix_space` are ignored: a tokenizer.json itself says what is put around a
//! text, and transformers 5 follows only that.

use serde_json::{Map, Value as Json};
use tokenizers::AddedToken;

use crate::files::folder::{Folder, FolderError};
use crate::text::config_files::read_json;

const CONFIG: &str = "tokenizer_config.json";
const ADDED: &str = "added_tokens.json";
const NAMED: &str = "special_tokens_map.json";

/// The names that every tokenizer knows, in the order in which their tokens are added.
const NAMES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// A token that another file adds.
pub struct Beside {
    /// The file that names it.
    pub file: &'static str,
    /// The token, and its matching rules.
    pub token: AddedToken,
    /// The id that the file states.
    pub id: Option<u32>,
    /// Whether the entry is ignored if a token with this spelling is already known.
    pub only_new: bool,
}

/// The tokens that the files of the folder add, in the order in which they get ids.
pub fn tokens(folder: &Folder) -> Result<Vec<Beside>, FolderError> {
    let in_file = |file: &'static str| {
        move |problem: String| FolderError {
            path: folder.path(file),
            problem,
        }
    };
    let config = object(folder, CONFIG)?.unwrap_or_default();
    let mut entries: Vec<(&'static str, String, Json)> = config
        .iter()
        .map(|(key, value)| (CONFIG, key.clone(), value.clone()))
        .collect();
    let mut stated = Vec::new();
    match config.get("added_tokens_decoder") {
        Some(decoder) => stated.extend(decoded(decoder).map_err(in_file(CONFIG))?),
        None => {
            let lists = ["extra_special_tokens", "additional_special_tokens"];
            let listed = |key: &str| config.get(key).and_then(Json::as_array);
            let has_list = lists
                .iter()
                .any(|key| listed(key).is_some_and(|list| !list.is_empty()));
            for (key, value) in object(folder, NAMED)?.unwrap_or_default() {
                if !(has_list && lists.contains(&key.as_str())) {
                    entries.retain(|(_, other, _)| *other != key);
                    entries.push((NAMED, key, value));
                }
            }
        }
    }
    let named = named(&entries, in_file)?;
    if !config.contains_key("added_tokens_decoder") {
        let is_special = |text: &str| named.iter().any(|other| other.token.content == text);
        let added = object(folder, ADDED)?.unwrap_or_default();
        for (text, id) in added {
            let id = as_id(&id)
                .ok_or_else(|| in_file(ADDED)(format!("{text:?}: expected an id, found {id}")))?;
            stated.push(Beside {
                file: ADDED,
                token: AddedToken::from(text.clone(), is_special(&text)),
                id: Some(id),
                only_new: true,
            });
        }
    }
    stated.sort_by_key(|token| token.id);
    stated.extend(named);
    Ok(stated)
}

/// The map in a file; `None` if there is no such file.
fn object(folder: &Folder, file: &str) -> Result<Option<Map<String, Json>>, FolderError> {
    match read_json(folder, file)? {
        None => Ok(None),
        Some(Json::Object(map)) => Ok(Some(map)),
        Some(_) => Err(FolderError {
            path: folder.path(file),
            problem: "expected a map".to_string(),
        }),
    }
}

fn as_id(value: &Json) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

/// `added_tokens_decoder`: tokens by id.
fn decoded(decoder: &Json) -> Result<Vec<Beside>, String> {
    let Some(map) = decoder.as_object() else {
        return Err("added_tokens_decoder: expected a map".to_string());
    };
    let mut tokens = Vec::new();
    for (id, value) in map {
        let place = || format!("added_tokens_decoder: {}", shown(id));
        let number = id
            .parse()
            .map_err(|_| format!("{}: expected an id", place()))?;
        let token = value
            .is_object()
            .then(|| record(value, false))
            .flatten()
            .ok_or_else(|| format!("{}: expected a record with a text \"content\"", place()))?;
        tokens.push(Beside {
            file: CONFIG,
            token,
            id: Some(number),
            only_new: false,
        });
    }
    Ok(tokens)
}

/// The tokens with a name, and the tokens in the lists of special tokens.
fn named<E: Fn(String) -> FolderError>(
    entries: &[(&'static str, String, Json)],
    in_file: impl Fn(&'static str) -> E,
) -> Result<Vec<Beside>, FolderError> {
    let mut tokens = Vec::new();
    let mut add = |file: &'static str, key: &str, value: &Json| {
        let Some(token) = record(value, true) else {
            let expected = "expected a token: a text, or a record with a text \"content\"";
            return Err(in_file(file)(format!("{key}: {expected}")));
        };
        tokens.push(Beside {
            file,
            token,
            id: None,
            only_new: true,
        });
        Ok(())
    };
    let find = |name: &str| {
        let mut found = entries.iter().filter(|(_, key, _)| key == name);
        found.find(|(_, _, value)| !value.is_null())
    };
    for name in NAMES {
        if let Some((file, key, value)) = find(name) {
            add(file, key, value)?;
        }
    }
    for (file, key, value) in entries {
        let is_own = key.ends_with("_token") && !NAMES.contains(&key.as_str());
        if is_own && (value.is_string() || value.get("content").is_some()) {
            add(file, key, value)?;
        }
    }
    let extra = find("extra_special_tokens");
    if let Some((file, key, Json::Object(map))) = extra {
        map.values().try_for_each(|value| add(file, key, value))?;
    }
    let is_list = |value: &Json| value.as_array().is_some_and(|list| !list.is_empty());
    let list = extra
        .filter(|(_, _, value)| is_list(value))
        .or_else(|| find("additional_special_tokens"));
    if let Some((file, key, value)) = list {
        let Some(list) = value.as_array() else {
            return Err(in_file(file)(format!("{key}: expected a list of tokens")));
        };
        list.iter().try_for_each(|value| add(file, key, value))?;
    }
    if let Some((file, key, value)) = extra
        && !value.is_object()
        && !value.is_array()
    {
        return Err(in_file(file)(format!(
            "{key}: expected a list or a map of tokens"
        )));
    }
    Ok(tokens)
}

/// The token that is described by a text, or by a record with its text and its matching rules.
fn record(value: &Json, special: bool) -> Option<AddedToken> {
    if let Some(text) = value.as_str() {
        return Some(AddedToken::from(text, special));
    }
    let flag = |name: &str| value.get(name).and_then(Json::as_bool);
    let special = special || flag("special").unwrap_or(false);
    Some(
        AddedToken::from(value.get("content")?.as_str()?, special)
            .normalized(flag("normalized").unwrap_or(!special))
            .lstrip(flag("lstrip").unwrap_or(false))
            .rstrip(flag("rstrip").unwrap_or(false))
            .single_word(flag("single_word").unwrap_or(false)),
    )
}

fn shown(text: &str) -> String {
    format!("{:?}", crate::language::diagnostics::shortened(text, 40))
}
