//! What a model's files say about it, besides its weights.

use serde_json::Value as Json;

use super::Warning;
use super::file_names::GENERATION;
use crate::architecture::parameters::{ConfigJson, Leaf, ParameterSource, SourceKind, from_json};
use crate::files::gguf::Metadata;
use crate::language::value::Value;

/// A model's parameters and special tokens.
#[derive(Clone, Debug)]
pub enum Configuration {
    /// The configuration of a folder.
    Folder {
        /// config.json as parameters.
        config: ConfigJson,
        /// config.json unchanged, for values that are not parameters of the graph (special tokens).
        json: Json,
        /// The contents of generation_config.json, if there is one.
        generation: Option<Json>,
    },
    /// The configuration of a GGUF file.
    Gguf(Metadata),
}

impl Configuration {
    /// The names of the model's architecture, the preferred name first.
    pub fn architectures(&self) -> Vec<String> {
        let text = |value: Option<Value>| match value {
            Some(Value::Str(name)) => vec![name],
            Some(Value::List(names)) => names
                .iter()
                .filter_map(|name| name.as_str().map(str::to_string))
                .collect(),
            _ => Vec::new(),
        };
        let keys: &[&str] = match self {
            Configuration::Folder { .. } => &["architectures", "model_type"],
            Configuration::Gguf(_) => &["general.architecture"],
        };
        keys.iter().flat_map(|key| text(self.get(key))).collect()
    }

    /// Tokens that end a text.
    pub fn eos_tokens(&self) -> TokenIds {
        match self {
            Configuration::Folder {
                json, generation, ..
            } => {
                let generation = generation.as_ref();
                let generation = generation.map(|json| json_ids(GENERATION, json, EOS));
                let config = json_ids(&self.describe(), json, EOS);
                match generation {
                    Some(generation) if !generation.ids.is_empty() => generation,
                    Some(generation) => TokenIds {
                        ids: config.ids,
                        wrong: generation.wrong.into_iter().chain(config.wrong).collect(),
                    },
                    None => config,
                }
            }
            Configuration::Gguf(metadata) => {
                let mut all = TokenIds::default();
                for key in GGUF_ENDS {
                    all.add(metadata_ids(metadata, key));
                }
                all
            }
        }
    }

    /// The token that begins a text; at most one.
    pub fn bos_token(&self) -> TokenIds {
        let mut found = match self {
            Configuration::Folder { json, .. } => json_ids(&self.describe(), json, BOS),
            Configuration::Gguf(metadata) => metadata_ids(metadata, BOS),
        };
        if found.ids.len() > 1 {
            found.wrong.push(Warning::TokenId {
                config: self.describe(),
                key: BOS.to_owned(),
                found: format!("{:?}", found.ids),
            });
            found.ids.clear();
        }
        found
    }

    fn source(&self) -> &dyn ParameterSource {
        match self {
            Configuration::Folder { config, .. } => config,
            Configuration::Gguf(metadata) => metadata,
        }
    }
}

/// Special tokens, and what is wrong with the values that are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenIds {
    /// The tokens, each once.
    pub ids: Vec<u32>,
    /// Warnings about values that are not tokens.
    pub wrong: Vec<Warning>,
}

impl TokenIds {
    /// The tokens in a value: a number, or a list of numbers; null and -1 mean none.
    fn of(config: &str, key: &str, value: &Value) -> TokenIds {
        let values = match value {
            Value::List(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        let mut found = TokenIds::default();
        for value in values {
            match value.as_int().map(u32::try_from) {
                _ if matches!(value, Value::Null | Value::Int(-1)) => {}
                Some(Ok(id)) if found.ids.contains(&id) => {}
                Some(Ok(id)) => found.ids.push(id),
                None | Some(Err(_)) => found.wrong.push(Warning::TokenId {
                    config: config.to_owned(),
                    key: key.to_owned(),
                    found: value.to_string(),
                }),
            }
        }
        found
    }

    fn add(&mut self, more: TokenIds) {
        self.wrong.extend(more.wrong);
        for id in more.ids {
            if !self.ids.contains(&id) {
                self.ids.push(id);
            }
        }
    }
}

/// The key of the tokens that end a text.
pub(super) const EOS: &str = "eos_token_id";
/// The keys of the tokens that end a text or a turn in GGUF files, each a token or a list of tokens. Ollama writes the list.
const GGUF_ENDS: [&str; 4] = [EOS, "eos_token_ids", "eot_token_id", "eom_token_id"];
/// The key of the token that begins a text.
pub(super) const BOS: &str = "bos_token_id";

/// The tokens that a JSON file names under a key.
fn json_ids(file: &str, config: &Json, key: &str) -> TokenIds {
    match config.get(key) {
        Some(value) => TokenIds::of(file, key, &from_json(value.clone())),
        None => TokenIds::default(),
    }
}

/// Special tokens of a GGUF file's vocabulary.
fn metadata_ids(metadata: &Metadata, key: &str) -> TokenIds {
    let key = format!("tokenizer.ggml.{key}");
    match metadata.get(&key) {
        Some(value) => TokenIds::of(&metadata.describe(), &key, &value),
        None => TokenIds::default(),
    }
}

impl ParameterSource for Configuration {
    fn get(&self, path: &str) -> Option<Value> {
        self.source().get(path)
    }

    fn leaves(&self) -> Vec<Leaf> {
        self.source().leaves()
    }

    fn describe(&self) -> String {
        self.source().describe()
    }

    fn kind(&self) -> SourceKind {
        self.source().kind()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn eos_may_be_a_number_a_list_or_absent() {
        let eos_tokens = |json: &Json| json_ids("config.json", json, EOS).ids;
        assert_eq!(eos_tokens(&json!({"eos_token_id": 2})), [2]);
        assert_eq!(
            eos_tokens(&json!({"eos_token_id": [2, 128009, 2]})),
            [2, 128009]
        );
        assert!(eos_tokens(&json!({"eos_token_id": null})).is_empty());
        assert_eq!(
            eos_tokens(&json!({"eos_token_id": ["2", -1, 1.5, 4294967296u64, 7]})),
            [7]
        );
        assert!(eos_tokens(&json!([])).is_empty());
    }

    #[test]
    fn a_value_that_is_not_a_token_is_reported() {
        let wrong = |value: Json| {
            let found = json_ids("config.json", &json!({"eos_token_id": value}), EOS).wrong;
            found.iter().map(Warning::to_string).collect::<Vec<_>>()
        };
        assert!(wrong(json!([2, null, -1])).is_empty());
        assert_eq!(
            wrong(json!(["2", 7])),
            ["config.json: eos_token_id is '2', which is not a token id: it is ignored"]
        );
    }
}
