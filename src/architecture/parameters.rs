//! Where a model's parameters come from: config.json, or the keys of a GGUF file, through one trait.

use crate::files::gguf::Metadata;
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

/// Answers what a model's configuration says.
pub trait ParameterSource {
    /// The value at a path; none if it is missing or null.
    fn get(&self, path: &str) -> Option<Value>;
    /// What messages call it: "config.json", …
    fn describe(&self) -> String;
    /// Which of a graph file's paths and tensor names apply.
    fn kind(&self) -> SourceKind;
}

/// A model's config.json. Paths go into objects: `rope_parameters.rope_theta`.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigJson {
    name: String,
    root: Value,
}

impl ConfigJson {
    /// Reads a text. `name` is what messages call it.
    pub fn parse(name: &str, text: &str) -> Result<ConfigJson, Problems> {
        let fail = |position, message: String| Problems::one(name, Problem::new(position, message));
        let json: serde_json::Value = serde_json::from_str(text).map_err(|error| {
            let position = Position {
                line: error.line().max(1),
                column: error.column().max(1),
            };
            fail(position, error.to_string())
        })?;
        if !json.is_object() {
            return Err(fail(Position::START, "expected an object {…}".to_owned()));
        }
        Ok(ConfigJson {
            name: name.to_owned(),
            root: from_json(json),
        })
    }
}

impl ParameterSource for ConfigJson {
    fn get(&self, path: &str) -> Option<Value> {
        let mut value = &self.root;
        for field in path.split('.') {
            value = match value {
                Value::Record(fields) => fields.get(field)?,
                _ => return None,
            };
        }
        Some(value.clone())
    }

    fn describe(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Hf
    }
}

impl ParameterSource for Metadata {
    fn get(&self, path: &str) -> Option<Value> {
        Metadata::get(self, path)
    }

    fn describe(&self) -> String {
        Metadata::describe(self)
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Gguf
    }
}

/// Integers that fit stay integers; fields that are null are left out. serde_json bounds the nesting.
fn from_json(json: serde_json::Value) -> Value {
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
        serde_json::Value::Object(fields) => Value::Record(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, from_json(value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_into_objects_and_null_is_absent() {
        let text = r#"{"a": {"b": 1e5, "c": null}, "d": [1, 2.0, null], "e": 7}"#;
        let config = ConfigJson::parse("config.json", text).unwrap();
        assert_eq!(config.get("a.b"), Some(Value::Float(1e5)));
        assert_eq!(config.get("a.c"), None);
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
}
