//! Where a model's parameters come from: config.json, or the keys of a GGUF file, through one trait.

use std::collections::BTreeMap;

use super::rotary_keys::{is_replaced, standard_path, standardize};
use crate::files::gguf::Metadata;
use crate::files::json;
use crate::language::diagnostics::{Position, Problem, Problems};
use crate::language::value::Value;

/// The family of files a model's weights and parameters come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// config.json with safetensors files.
    Hf,
    /// GGUF.
    Gguf,
}

impl SourceKind {
    /// What `source` means in expressions.
    pub fn name(self) -> &'static str {
        match self {
            SourceKind::Hf => "hf",
            SourceKind::Gguf => "gguf",
        }
    }
}

/// Answers questions about a model's configuration.
pub trait ParameterSource {
    /// The value at a path, which may be null; `None` if the path is missing.
    fn get(&self, path: &str) -> Option<Value>;
    /// All values of the configuration: one entry for each value that is not a record.
    fn leaves(&self) -> Vec<Leaf>;
    /// The name that messages use for the configuration: "config.json", …
    fn describe(&self) -> String;
    /// Which of a graph file's paths and tensor names apply.
    fn kind(&self) -> SourceKind;
}

/// One value of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// The value's path in the file.
    pub name: String,
    /// The path under which it can be asked for, besides `name`; `None` if another value replaces it.
    pub path: Option<String>,
    /// The value; if it is too long to be a parameter, a description in words.
    pub value: Value,
}

/// A model's config.json. Paths go into objects: `rope_parameters.rope_theta`. Rotary settings of older files are also found
/// under today's paths. A number that is not finite is one of the texts 'Infinity', '-Infinity' and 'NaN'.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigJson {
    name: String,
    /// The fields as the file has them.
    written: BTreeMap<String, Value>,
    /// The fields with the rotary settings in today's form.
    standard: BTreeMap<String, Value>,
}

impl ConfigJson {
    /// Reads a text. Messages call it `name`.
    #[cfg(any(test, feature = "internals"))]
    pub fn parse(name: &str, text: &str) -> Result<ConfigJson, Problems> {
        ConfigJson::with_json(name, text).map(|(config, _)| config)
    }

    /// Reads a text, and also returns the JSON that it contains. Messages call it `name`.
    pub fn with_json(name: &str, text: &str) -> Result<(ConfigJson, serde_json::Value), Problems> {
        let fail = |position, message: String| Problems::one(name, Problem::new(position, message));
        let json: serde_json::Value = json::parse(text).map_err(|error| {
            let position = Position {
                line: error.line,
                column: error.column,
            };
            fail(position, error.message)
        })?;
        let Value::Record(written) = from_json(json.clone()) else {
            return Err(fail(Position::START, "expected an object {…}".to_owned()));
        };
        let mut standard = written.clone();
        standardize(&mut standard);
        let config = ConfigJson {
            name: name.to_owned(),
            written,
            standard,
        };
        Ok((config, json))
    }
}

impl ParameterSource for ConfigJson {
    fn get(&self, path: &str) -> Option<Value> {
        let mut fields = Some(&self.standard);
        let mut value = None;
        for field in path.split('.') {
            value = Some(fields?.get(field)?);
            fields = match value {
                Some(Value::Record(fields)) => Some(fields),
                _ => None,
            };
        }
        value.cloned()
    }

    fn leaves(&self) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        collect(&self.written, "", &mut |name, value| {
            let replaced = is_replaced(&self.written, &name);
            leaves.push(Leaf {
                path: (!replaced).then(|| standard_path(&self.written, &name)),
                value: value.clone(),
                name,
            });
        });
        leaves
    }

    fn describe(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Hf
    }
}

/// Calls `tell` with each value that is not a record, and its path.
fn collect(fields: &BTreeMap<String, Value>, before: &str, tell: &mut dyn FnMut(String, &Value)) {
    for (name, value) in fields {
        let path = format!("{before}{name}");
        match value {
            Value::Record(fields) => collect(fields, &format!("{path}."), tell),
            value => tell(path, value),
        }
    }
}

impl ParameterSource for Metadata {
    fn get(&self, path: &str) -> Option<Value> {
        Metadata::get(self, path)
    }

    fn leaves(&self) -> Vec<Leaf> {
        let leaf = |key: &str| Leaf {
            name: key.to_owned(),
            path: Some(key.to_owned()),
            value: Metadata::get(self, key).unwrap_or_else(|| {
                let length = self.array_len(key).unwrap_or_default();
                Value::Str(format!("{length} values"))
            }),
        };
        self.keys().map(leaf).collect()
    }

    fn describe(&self) -> String {
        Metadata::describe(self)
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Gguf
    }
}

/// In place of a number that is not finite, transformers 5 writes a record with only this field.
const FLOAT: &str = "__float__";

/// Integers that fit stay integers. serde_json bounds the nesting.
pub(crate) fn from_json(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Value::Int(value),
            (None, Some(value)) => Value::Float(value),
            (None, None) => Value::Null,
        },
        serde_json::Value::String(text) => Value::Str(text),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(from_json).collect()),
        serde_json::Value::Object(fields) => match fields.get(FLOAT) {
            Some(serde_json::Value::String(text)) if fields.len() == 1 => Value::Str(text.clone()),
            _ => {
                let fields = fields.into_iter();
                Value::Record(
                    fields
                        .map(|(name, value)| (name, from_json(value)))
                        .collect(),
                )
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_into_objects_and_null_is_not_absent() {
        let text = r#"{"a": {"b": 1e5, "c": null}, "d": [1, 2.0, null], "e": 7}"#;
        let config = ConfigJson::parse("config.json", text).unwrap();
        assert_eq!(config.get("a.b"), Some(Value::Float(1e5)));
        assert_eq!(config.get("a.c"), Some(Value::Null));
        assert_eq!(config.get("a.d"), None);
        assert_eq!(config.get("a.c.d"), None);
        assert_eq!(config.get("e"), Some(Value::Int(7)));
        assert_eq!(config.get("e.f"), None);
        let list = Value::List(vec![Value::Int(1), Value::Float(2.0), Value::Null]);
        assert_eq!(config.get("d"), Some(list));
    }

    #[test]
    fn a_broken_file_is_reported_with_its_line() {
        let problems = ConfigJson::parse("config.json", "{\n\"a\": 1,\n}").unwrap_err();
        assert!(
            problems.to_string().starts_with("config.json:3:"),
            "{problems}"
        );
        assert!(ConfigJson::parse("config.json", "[1]").is_err());
        assert!(ConfigJson::parse("config.json", &"[".repeat(100_000)).is_err());
    }

    #[test]
    fn numbers_that_are_not_finite_are_texts() {
        let text =
            r#"{"a": Infinity, "b": {"__float__": "-Infinity"}, "c": [0.0, {"__float__": "NaN"}]}"#;
        let config = ConfigJson::parse("config.json", text).unwrap();
        let text = |text: &str| Value::Str(text.to_owned());
        assert_eq!(config.get("a"), Some(text("Infinity")));
        assert_eq!(config.get("b"), Some(text("-Infinity")));
        assert_eq!(
            config.get("c"),
            Some(Value::List(vec![Value::Float(0.0), text("NaN")]))
        );
    }

    #[test]
    fn rotary_settings_of_older_files_are_found_under_the_paths_of_today() {
        let get =
            |text: &str, path: &str| ConfigJson::parse("config.json", text).unwrap().get(path);
        let text = |text: &str| Some(Value::Str(text.to_owned()));
        let old = r#"{"rope_scaling": {"type": "linear", "factor": 4.0}}"#;
        assert_eq!(get(old, "rope_parameters.rope_type"), text("linear"));
        assert_eq!(get(old, "rope_scaling.type"), text("linear"));
        // It replaces all of today's settings.
        let both = r#"{"rope_scaling": {"type": "linear"}, "rope_parameters": {"rope_type": "default", "rope_theta": 5.0}}"#;
        assert_eq!(get(both, "rope_parameters.rope_type"), text("linear"));
        assert_eq!(get(both, "rope_parameters.rope_theta"), None);
        // But not if it says nothing.
        for nothing in ["null", "{}"] {
            let text = both.replace(r#"{"type": "linear"}"#, nothing);
            assert_eq!(
                get(&text, "rope_parameters.rope_theta"),
                Some(Value::Float(5.0))
            );
        }
        // The newer name of the kind counts.
        let two = r#"{"rope_scaling": {"type": "linear", "rope_type": "yarn"}}"#;
        assert_eq!(get(two, "rope_parameters.rope_type"), text("yarn"));
    }

    #[test]
    fn old_rotary_settings_change_those_of_the_layers_that_see_all() {
        let json = r#"{"rope_scaling": {"type": "linear", "factor": 8.0}, "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 1e6}, "sliding_attention": {"type": "default"}}}"#;
        let config = ConfigJson::parse("config.json", json).unwrap();
        let text = |text: &str| Some(Value::Str(text.to_owned()));
        let get = |path: &str| config.get(&format!("rope_parameters.{path}"));
        assert_eq!(get("full_attention.rope_type"), text("linear"));
        assert_eq!(get("full_attention.rope_theta"), Some(Value::Float(1e6)));
        assert_eq!(get("sliding_attention.rope_type"), text("default"));
        let leaves = config.leaves();
        let path = |name: &str| {
            leaves
                .iter()
                .find(|leaf| leaf.name == name)
                .and_then(|leaf| leaf.path.clone())
        };
        assert_eq!(
            path("rope_scaling.factor").as_deref(),
            Some("rope_parameters.full_attention.factor")
        );
    }
}
