//! The keys of a configuration that no parameter of a graph file reads, and what is known about them.

use std::fmt;
use std::sync::OnceLock;

use serde::Deserialize;

use super::ast::ModelFile;
use super::parameters::{ParameterSource, SourceKind};
use super::tensors::matches;
use super::used::{ARCHITECTURE, paths};
use crate::language::diagnostics::{Position, Problem, Problems, shortened};
use crate::language::table::read_table;
use crate::language::value::Value;

/// The table.
const TABLE: &str = include_str!("config_keys.ron");
/// The name that messages use for the table.
const TABLE_NAME: &str = "src/architecture/config_keys.ron";
/// The longest value that is shown, in characters.
const LONGEST_VALUE: usize = 60;

/// What a key that is not read does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// It is not known whether it changes what the model computes.
    #[serde(skip)]
    Unknown,
    /// It changes what the model computes.
    Changes,
    /// It changes so much that the model must not run.
    Refused,
}

/// A key that no parameter reads.
#[derive(Clone, Debug, PartialEq)]
pub struct UnreadKey {
    /// Its path.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// What it does.
    pub effect: Effect,
    /// Whether a parameter would read it if another key did not take its place.
    pub replaced: bool,
}

impl fmt::Display for UnreadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.to_string();
        write!(f, "{} ({})", self.key, shortened(&value, LONGEST_VALUE))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    neutral: Vec<Plain>,
    context_hf: Vec<String>,
    context_gguf: Vec<String>,
    hf: Vec<Row>,
    gguf: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    effect: Effect,
    keys: Vec<String>,
    #[serde(default)]
    neutral: Vec<Plain>,
}

/// A value without parts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Plain {
    Bool(bool),
    Number(f64),
    Text(String),
}

impl Plain {
    fn is(&self, value: &Value) -> bool {
        match self {
            Plain::Bool(known) => value.as_bool() == Some(*known),
            Plain::Number(known) => value.as_number() == Some(*known),
            Plain::Text(known) => value.as_str() == Some(known),
        }
    }
}

/// The keys that have values that are not neutral and that no parameter with an effect on the graph reads, except for keys
/// that change nothing according to the table or the graph file.
///
/// # Errors
/// If the table can't be read.
pub fn unread_keys(
    file: &ModelFile,
    source: &dyn ParameterSource,
) -> Result<Vec<UnreadKey>, Problems> {
    let table = table()?;
    let architecture = architecture(source);
    let kind = source.kind();
    let read = paths(file, kind, &architecture);
    let rows = match kind {
        SourceKind::Hf => &table.hf,
        SourceKind::Gguf => &table.gguf,
    };
    let mut unread = Vec::new();
    for leaf in source.leaves() {
        let reads = |path: &str| {
            let mut path = Some(path);
            // A parameter that reads a record reads its fields.
            while let Some(whole) = path {
                if read.contains(whole) {
                    return true;
                }
                path = whole.rsplit_once('.').map(|(record, _)| record);
            }
            false
        };
        let is_read = reads(&leaf.name) || leaf.path.as_deref().is_some_and(reads);
        let ignored = |pattern: &String| matches(pattern, &leaf.name);
        if is_read && leaf.path.is_some() || file.ignore_keys.iter().any(ignored) {
            continue;
        }
        let row = rows
            .iter()
            .find(|row| row.keys.iter().any(|pattern| matches(pattern, &leaf.name)));
        let neutral = row.map_or(&[][..], |row| &row.neutral);
        let is_neutral = |value: &Value| {
            *value == Value::Null
                || table
                    .neutral
                    .iter()
                    .chain(neutral)
                    .any(|plain| plain.is(value))
        };
        let changes_nothing = match &leaf.value {
            Value::List(items) => items.iter().all(is_neutral),
            value => is_neutral(value),
        };
        let effect = row.map_or(Effect::Unknown, |row| row.effect);
        // A key that another key replaces was not meant to have an effect.
        let effect = match (effect, leaf.path.is_some()) {
            (Effect::Refused, false) => Effect::Changes,
            (effect, _) => effect,
        };
        if !changes_nothing && effect != Effect::Nothing {
            unread.push(UnreadKey {
                key: leaf.name,
                value: leaf.value,
                effect,
                replaced: leaf.path.is_none(),
            });
        }
    }
    Ok(unread)
}

/// The keys that would be reported for a graph file that reads none, except for the keys that `file` leaves unread.
///
/// # Errors
/// If the table can't be read.
#[cfg(feature = "internals")] // Shown by the program.
pub fn read_keys(file: &ModelFile, source: &dyn ParameterSource) -> Result<Vec<String>, Problems> {
    let bare = ModelFile {
        params: Vec::new(),
        ignore_keys: Vec::new(),
        ..file.clone()
    };
    let unread = unread_keys(file, source)?;
    let all = unread_keys(&bare, source)?.into_iter().map(|key| key.key);
    let is_unread = |key: &String| unread.iter().any(|unread| unread.key == *key);
    Ok(all.filter(|key| !is_unread(key)).collect())
}

/// The key under which the configuration states the model's maximum number of positions, and that number.
///
/// # Errors
/// If the table can't be read.
pub fn stated_context(source: &dyn ParameterSource) -> Result<Option<(String, usize)>, Problems> {
    let table = table()?;
    let architecture = architecture(source);
    let keys = match source.kind() {
        SourceKind::Hf => &table.context_hf,
        SourceKind::Gguf => &table.context_gguf,
    };
    let keys = keys
        .iter()
        .map(|key| key.replace(ARCHITECTURE, &architecture));
    Ok(keys.into_iter().find_map(|key| {
        let count = source.get(&key)?.as_int()?;
        Some((key, usize::try_from(count).ok()?))
    }))
}

/// The table, read once.
fn table() -> Result<&'static Table, Problems> {
    static READ: OnceLock<Result<Table, Problems>> = OnceLock::new();
    let read = || read_table(TABLE_NAME, TABLE);
    READ.get_or_init(read).as_ref().map_err(Problems::clone)
}

/// The text that replaces `{arch}` in the keys of a GGUF file.
fn architecture(source: &dyn ParameterSource) -> String {
    match source.get("general.architecture") {
        Some(Value::Str(name)) => name,
        _ => String::new(),
    }
}

/// Fails if `keys` contains keys with which the model must not run, and names them.
///
/// # Errors
/// If there is such a key.
pub fn refuse(
    file: &ModelFile,
    source: &dyn ParameterSource,
    keys: &[UnreadKey],
) -> Result<(), Problems> {
    let refused = keys.iter().filter(|key| key.effect == Effect::Refused);
    let problem = |key: &UnreadKey| {
        let message = format!(
            "'{}' is {}, but no parameter of {} reads it, so the model would compute something else; if the key changes nothing, list it in `ignore_keys`",
            key.key, key.value, file.file
        );
        Problem::new(Position::START, message)
    };
    Problems::check(&source.describe(), refused.map(problem).collect(), ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::parameters::ConfigJson;
    use crate::architecture::syntax::parse;

    /// The keys of `config` that the graph file with these params and nodes leaves unread, and what they do.
    fn unread(params: &str, nodes: &str, config: &str) -> Vec<(String, Effect)> {
        let text = format!(
            "Model(params: {{{params}}}, ignore_keys: [\"kept_*\"], nodes: [{nodes}], outputs: [\"x\"])"
        );
        let file = parse("f", &text).unwrap();
        let config = ConfigJson::parse("config.json", config).unwrap();
        let keys = unread_keys(&file, &config).unwrap().into_iter();
        keys.map(|key| (key.key, key.effect)).collect()
    }

    fn key(name: &str, effect: Effect) -> (String, Effect) {
        (name.to_owned(), effect)
    }

    const NODE: &str = "(\"x\", Scale(by: \"b\"), [\"tokens\"])";

    #[test]
    fn a_key_is_read_where_the_graph_depends_on_its_parameter() {
        let config = r#"{"a_multiplier": 2.0}"#;
        let direct = "\"b\": Key(hf: [\"a_multiplier\"])";
        assert_eq!(unread(direct, NODE, config), []);
        let by_another =
            "\"a\": Key(hf: [\"a_multiplier\"]), \"b\": Key(hf: [\"other\"], default: \"a\")";
        assert_eq!(unread(by_another, NODE, config), []);
        // A parameter that nothing uses reads nothing.
        let unused = "\"a\": Key(hf: [\"a_multiplier\"]), \"b\": 1.0";
        assert_eq!(
            unread(unused, NODE, config),
            [key("a_multiplier", Effect::Changes)]
        );
    }

    #[test]
    fn neutral_values_and_keys_that_change_nothing_are_not_told() {
        let params = "\"b\": 1.0";
        for config in [
            r#"{"a_multiplier": 1.0, "logit_scale": null, "use_qk_norm": false, "layer_types": ["full_attention"]}"#,
            r#"{"torch_dtype": "float16", "attention_dropout": 0.1, "eos_token_id": 2, "kept_multiplier": 3.0}"#,
            r#"{"rope_parameters": {"rope_type": "default", "rope_theta": 10000}}"#,
        ] {
            assert_eq!(unread(params, NODE, config), [], "{config}");
        }
        let config = r#"{"logit_scale": 0.5, "layer_types": ["full_attention", "linear_attention"], "colour": "red"}"#;
        let told = [
            key("colour", Effect::Unknown),
            key("layer_types", Effect::Changes),
            key("logit_scale", Effect::Changes),
        ];
        assert_eq!(unread(params, NODE, config), told);
    }

    #[test]
    fn a_kind_of_rotation_that_nothing_reads_is_refused_wherever_it_stands() {
        for config in [
            r#"{"rope_scaling": {"type": "yarn"}}"#,
            r#"{"rope_scaling": {"rope_type": "yarn"}}"#,
            r#"{"rope_parameters": {"rope_type": "yarn"}}"#,
            r#"{"rope_parameters": {"sliding_attention": {"rope_type": "yarn"}}}"#,
        ] {
            let effects: Vec<Effect> = unread("\"b\": 1.0", NODE, config)
                .into_iter()
                .map(|(_, effect)| effect)
                .collect();
            assert_eq!(effects, [Effect::Refused], "{config}");
        }
        let read = "\"b\": Key(hf: [\"rope_parameters.rope_type\"])";
        assert_eq!(
            unread(read, NODE, r#"{"rope_scaling": {"type": "yarn"}}"#),
            []
        );
    }
}
