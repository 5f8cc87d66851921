//! What a model's files say of it besides its weights.

use serde_json::Value as Json;

use crate::architecture::parameters::{ConfigJson, ParameterSource, SourceKind};
use crate::files::gguf::Metadata;
use crate::language::value::Value;

/// A model's parameters and special tokens.
#[derive(Clone, Debug)]
pub enum Configuration {
    /// Of a folder.
    Folder {
        /// config.json as parameters.
        config: ConfigJson,
        /// The same as it stands, for what is no parameter of the graph (special tokens).
        json: Json,
        /// What generation_config.json says, if there is one.
        generation: Option<Json>,
    },
    /// Of a GGUF file.
    Gguf(Metadata),
}

impl Configuration {
    /// The names that the model gives its architecture, the one to prefer first.
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
    pub fn eos_tokens(&self) -> Vec<u32> {
        match self {
            Configuration::Folder {
                json, generation, ..
            } => {
                let generation = generation.as_ref().map(eos_tokens);
                generation
                    .filter(|tokens| !tokens.is_empty())
                    .unwrap_or_else(|| eos_tokens(json))
            }
            Configuration::Gguf(metadata) => {
                let mut ids = Vec::new();
                for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
                    let id = token_id(metadata, key);
                    ids.extend(id.filter(|id| !ids.contains(id)));
                }
                ids
            }
        }
    }

    /// The token that begins a text.
    pub fn bos_token(&self) -> Option<u32> {
        match self {
            Configuration::Folder { json, .. } => {
                u32::try_from(json.get("bos_token_id")?.as_u64()?).ok()
            }
            Configuration::Gguf(metadata) => token_id(metadata, "bos_token_id"),
        }
    }

    fn source(&self) -> &dyn ParameterSource {
        match self {
            Configuration::Folder { config, .. } => config,
            Configuration::Gguf(metadata) => metadata,
        }
    }
}

/// The end-of-sequence tokens that a `config.json` or `generation_config.json` names: `eos_token_id`, a number or a list
/// of numbers, at the top or in `text_config`. Anything else there is ignored, as are numbers that are no token id.
fn eos_tokens(config: &Json) -> Vec<u32> {
    let own = config.get("eos_token_id").filter(|value| !value.is_null());
    let nested = || {
        config
            .get("text_config")
            .and_then(|text| text.get("eos_token_id"))
    };
    let values = match own.or_else(nested) {
        Some(Json::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
        None => &[],
    };
    let mut ids = Vec::new();
    for id in values
        .iter()
        .filter_map(|value| u32::try_from(value.as_u64()?).ok())
    {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// A special token of a GGUF file's vocabulary.
fn token_id(metadata: &Metadata, key: &str) -> Option<u32> {
    let id = metadata.integer(&format!("tokenizer.ggml.{key}"))?;
    u32::try_from(id).ok()
}

impl ParameterSource for Configuration {
    fn get(&self, path: &str) -> Option<Value> {
        self.source().get(path)
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
    fn eos_may_be_a_number_a_list_nested_or_absent() {
        assert_eq!(eos_tokens(&json!({"eos_token_id": 2})), [2]);
        assert_eq!(
            eos_tokens(&json!({"eos_token_id": [2, 128009, 2]})),
            [2, 128009]
        );
        assert_eq!(
            eos_tokens(&json!({"eos_token_id": null, "text_config": {"eos_token_id": 106}})),
            [106]
        );
        assert!(eos_tokens(&json!({"eos_token_id": null})).is_empty());
        assert_eq!(
            eos_tokens(&json!({"eos_token_id": ["2", -1, 1.5, 4294967296u64, 7]})),
            [7]
        );
        assert!(eos_tokens(&json!([])).is_empty());
    }
}
