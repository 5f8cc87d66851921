//! The text model of a checkpoint that also reads images or sounds: its configuration is an object in config.json, and its
//! weights have a prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::configuration::{BOS, EOS};
use crate::architecture::ast::ModelFile;
use crate::files::json;
use crate::language::diagnostics::Problems;
use crate::language::table::read_table;

/// The keys under which the configuration of the text model may be, or that of a part which has it inside.
const KEYS: [&str; 4] = [
    "text_config",
    "llm_config",
    "language_config",
    "thinker_config",
];
/// The key of the type, by which the table knows a configuration's class.
const TYPE: &str = "model_type";
/// Keys of the whole configuration that name its own architecture, and say nothing about the text model.
const OF_THE_WHOLE: [&str; 3] = ["architectures", TYPE, "auto_map"];
/// The key that says whether embedding and head share one matrix.
const TIED: &str = "tie_word_embeddings";
/// What may stand before the names that the weights of the text model have alone.
const PREFIXES: [&str; 5] = [
    "language_model.",
    "model.language_model.",
    "text_model.",
    "model.text_model.",
    "llm.",
];
/// The same, where it stands before weights of other parts, too.
const SHARED_PREFIX: &str = "thinker.";

/// The values that configuration classes use for missing keys.
const TABLE: &str = include_str!("text_model_defaults.ron");
/// The name that messages use for the table.
const TABLE_NAME: &str = "src/model/text_model_defaults.ron";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The type of a text model that states none, keyed by the type of the whole model.
    inside: BTreeMap<String, String>,
    /// The classes, keyed by the type of the text model.
    types: BTreeMap<String, Class>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Class {
    /// Alternative names of keys.
    #[serde(default)]
    names: BTreeMap<String, String>,
    /// The values of missing keys.
    keys: Map<String, Json>,
}

impl Class {
    /// Adds the class's values for the keys that `fields` lacks.
    fn complete(&self, fields: &mut Map<String, Json>) {
        for (other, key) in &self.names {
            if let Some(value) = fields.shift_remove(other) {
                fields.insert(key.clone(), value);
            }
        }
        for (key, value) in &self.keys {
            fields.entry(key).or_insert_with(|| value.clone());
        }
    }
}

/// The config.json of the text model alone, if `text` contains one.
///
/// As in transformers, a key that the text model's configuration lacks has its class's value; the whole configuration
/// decides the tokens that begin and end texts, and either of the two may tie the head to the embedding. Values of the
/// whole configuration replace missing ones only if nothing is known about the class.
///
/// # Errors
/// If the table of classes can't be read.
pub(super) fn configuration(text: &str) -> Result<Option<String>, Problems> {
    let Ok(Json::Object(whole)) = json::parse(text) else {
        return Ok(None);
    };
    let inner = inside(whole, table()?);
    Ok(inner.and_then(|inner| serde_json::to_string(&inner).ok()))
}

/// The configuration of the text model inside of `whole`, however deep.
fn inside(mut whole: Map<String, Json>, table: &Table) -> Option<Map<String, Json>> {
    let inner = KEYS.iter().find_map(|key| match whole.get(*key) {
        Some(Json::Object(inner)) => Some(inner.clone()),
        _ => None,
    })?;
    let mut inner = inside(inner.clone(), table).unwrap_or(inner);
    let of_both = of_both(&whole);
    let of_whole = || table.inside.get(whole.get(TYPE)?.as_str()?);
    let stated = inner.get(TYPE).and_then(Json::as_str).map(str::to_owned);
    let name = stated.or_else(|| of_whole().cloned());
    let class = name.and_then(|name| Some((table.types.get(&name)?, name)));
    if let Some((class, name)) = class {
        inner.entry(TYPE).or_insert(Json::String(name));
        class.complete(&mut inner);
    } else {
        if OF_THE_WHOLE.iter().any(|key| inner.contains_key(*key)) {
            OF_THE_WHOLE.iter().for_each(|key| {
                whole.shift_remove(*key);
            });
        }
        KEYS.iter().for_each(|key| {
            whole.shift_remove(*key);
        });
        whole.extend(inner);
        inner = whole;
    }
    inner.extend(of_both);
    Some(inner)
}

/// The values of the whole configuration that count whatever the text model's configuration says.
fn of_both(whole: &Map<String, Json>) -> Map<String, Json> {
    let counts = |key: &str, value: &Json| match key {
        BOS | EOS => !value.is_null(),
        TIED => *value == Json::Bool(true),
        _ => false,
    };
    let found = whole.iter().filter(|(key, value)| counts(key, value));
    found
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The table, read once.
fn table() -> Result<&'static Table, Problems> {
    static READ: OnceLock<Result<Table, Problems>> = OnceLock::new();
    let read = || read_table(TABLE_NAME, TABLE);
    READ.get_or_init(read).as_ref().map_err(Problems::clone)
}

/// Adds the prefixes that tensors have in such a checkpoint, before the prefixes that a graph file allows.
pub(super) fn add_prefixes(prefixes: &mut Vec<String>) {
    let plain = prefixes.clone();
    for before in PREFIXES.into_iter().chain([SHARED_PREFIX]) {
        let longer = plain.iter().map(|prefix| format!("{before}{prefix}"));
        prefixes.extend(longer.collect::<Vec<_>>());
    }
}

/// The beginnings of the text model's tensor names in such a checkpoint: the prefix that the checkpoint uses for this
/// part, or, for heads outside this part, the name of a weight in the graph file. Tensors with other names belong to
/// other parts.
pub(super) fn beginnings(graph: &ModelFile) -> Vec<String> {
    let names = graph.weights.iter().filter_map(|weight| weight.hf.as_ref());
    let names = names.filter_map(|name| name.texts.first());
    let firsts: BTreeSet<&str> = names
        .filter_map(|text| text.split_inclusive('.').next())
        .collect();
    let prefixes = graph.prefixes.iter();
    let own = prefixes.flat_map(|prefix| firsts.iter().map(move |name| format!("{prefix}{name}")));
    let own = own.flat_map(|own| [format!("{SHARED_PREFIX}{own}"), own]);
    PREFIXES.map(str::to_owned).into_iter().chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::super::graphs::builtin_graphs;
    use super::*;
    use crate::architecture::expand::expand;
    use crate::architecture::parameters::ConfigJson;
    use crate::architecture::syntax::parse;
    use crate::language::value::Value;

    fn made(text: &str) -> Json {
        serde_json::from_str(&configuration(text).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn a_known_class_and_not_the_whole_completes_the_text_model() {
        let json = made(
            r#"{"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "hidden_size": 1, "head_dim": 3,
            "intermediate_size": 2, "text_config": {"model_type": "llama", "hidden_size": 64}, "vision_config": {}}"#,
        );
        assert_eq!(json["model_type"], "llama");
        assert_eq!(json["hidden_size"], 64);
        assert_eq!(json["intermediate_size"], 11008);
        assert_eq!(json["num_attention_heads"], 32);
        for absent in ["architectures", "head_dim", "vision_config", "text_config"] {
            assert_eq!(json.get(absent), None, "{absent}");
        }
    }

    #[test]
    fn the_type_of_the_whole_names_the_class_if_the_text_model_does_not() {
        let json = made(r#"{"model_type": "mistral3", "text_config": {"hidden_size": 64}}"#);
        assert_eq!(json["model_type"], "mistral");
        assert_eq!(json["sliding_window"], 4096);
        // A stated value counts, null included.
        let json = made(
            r#"{"model_type": "mistral3", "text_config": {"model_type": "qwen3", "head_dim": null}}"#,
        );
        assert_eq!(json["model_type"], "qwen3");
        assert_eq!(json["head_dim"], Json::Null);
    }

    #[test]
    fn a_text_model_may_be_inside_of_a_part() {
        let json = made(
            r#"{"model_type": "whole", "eos_token_id": 4, "layers": 7, "thinker_config": {"model_type": "part", "heads": 2,
            "bos_token_id": 5, "text_config": {"model_type": "own", "layers": 6, "bos_token_id": 3, "eos_token_id": 3}}}"#,
        );
        let expected = serde_json::json!({"model_type": "own", "layers": 6, "heads": 2, "bos_token_id": 5, "eos_token_id": 4});
        assert_eq!(json, expected);
    }

    #[test]
    fn other_names_of_keys_count() {
        let json =
            made(r#"{"text_config": {"model_type": "gpt2", "hidden_size": 64, "n_layer": 3}}"#);
        assert_eq!(json["n_embd"], 64);
        assert_eq!(json["n_layer"], 3);
        assert_eq!(json["n_head"], 12);
    }

    #[test]
    fn the_whole_completes_a_text_model_of_an_unknown_class() {
        let json = made(
            r#"{"architectures": ["Whole"], "model_type": "whole", "layers": 7, "hidden_size": 1,
            "llm_config": {"model_type": "own", "hidden_size": 64}}"#,
        );
        let expected = serde_json::json!({"model_type": "own", "hidden_size": 64, "layers": 7});
        assert_eq!(json, expected);
    }

    #[test]
    fn tokens_come_from_the_whole_first() {
        let ids = |whole: &str, inner: &str| {
            let json = made(&format!(
                r#"{{{whole} "text_config": {{"model_type": "llama"{inner}}}}}"#
            ));
            json["eos_token_id"].clone()
        };
        assert_eq!(ids(r#""eos_token_id": 7,"#, r#", "eos_token_id": 8"#), 7);
        assert_eq!(ids(r#""eos_token_id": null,"#, r#", "eos_token_id": 8"#), 8);
        assert_eq!(ids("", ""), 2);
        assert_eq!(ids("", r#", "eos_token_id": null"#), Json::Null);
    }

    #[test]
    fn either_configuration_ties_the_head_to_the_embedding() {
        let tied = |whole: &str, inner: &str| {
            let json = made(&format!(r#"{{{whole} "text_config": {{{inner}}}}}"#));
            json["tie_word_embeddings"].clone()
        };
        let (yes, no) = (
            r#""tie_word_embeddings": true,"#,
            r#""tie_word_embeddings": false,"#,
        );
        let llama = r#""model_type": "llama""#;
        let gemma = r#""model_type": "gemma3_text""#;
        assert_eq!(tied(yes, &format!("{no} {llama}")), true);
        assert_eq!(tied(no, &format!("{yes} {llama}")), true);
        assert_eq!(tied(no, llama), false);
        assert_eq!(tied("", llama), false);
        assert_eq!(tied("", gemma), true);
        assert_eq!(tied("", &format!("{no} {gemma}")), false);
    }

    #[test]
    fn a_configuration_without_a_text_model_stays() {
        for text in [
            "{}",
            "[]",
            "{",
            r#"{"text_config": null, "model_type": "llama"}"#,
        ] {
            assert_eq!(configuration(text), Ok(None));
        }
    }

    /// The parameters that a built-in graph file reads from a configuration.
    fn parameters(
        graph: &ModelFile,
        fields: &Map<String, Json>,
    ) -> Result<BTreeMap<String, Value>, Problems> {
        let text = serde_json::to_string(fields).unwrap();
        let config = ConfigJson::parse("config.json", &text)?;
        Ok(expand(graph, &config, &|_| false)?.params)
    }

    /// Graph files, too, state the defaults of transformers, or no default.
    #[test]
    fn a_key_that_a_lone_configuration_lacks_has_its_class_value_or_is_an_error() {
        for (file, text) in builtin_graphs() {
            let graph = parse(&file, text).unwrap();
            let class = |name: &String| table().unwrap().types.get(name);
            let class = graph.architectures.iter().find_map(class);
            let keys = &class.unwrap_or_else(|| panic!("{file}")).keys;
            let whole = parameters(&graph, keys).unwrap();
            for key in keys.keys() {
                let mut fields = keys.clone();
                fields.shift_remove(key);
                if let Ok(found) = parameters(&graph, &fields) {
                    assert_eq!(found, whole, "{file} without {key}");
                }
            }
        }
    }

    #[test]
    fn tensors_of_other_parts_are_told_apart() {
        for (file, text) in builtin_graphs() {
            if file.ends_with("llama.ron") {
                let beginnings = beginnings(&parse(&file, text).unwrap());
                let is_own = |name: &str| beginnings.iter().any(|own| name.starts_with(own));
                for own in [
                    "language_model.model.norm.weight",
                    "model.language_model.more.weight",
                    "lm_head.bias",
                    "model.layers.0.more.weight",
                    "norm.bias",
                    "thinker.model.layers.0.more.weight",
                    "thinker.lm_head.weight",
                ] {
                    assert!(is_own(own), "{own}");
                }
                for other in [
                    "vision_tower.layers.0.norm.weight",
                    "model.vision_tower.layers.0.norm.weight",
                    "multi_modal_projector.linear_1.weight",
                    "model.image_newline",
                    "normal.weight",
                    "thinker.visual.blocks.0.norm1.weight",
                    "thinker.audio_tower.layers.0.fc1.weight",
                    "talker.model.layers.0.more.weight",
                ] {
                    assert!(!is_own(other), "{other}");
                }
                return;
            }
        }
        panic!("no such graph file");
    }

    #[test]
    fn prefixes_come_before_the_prefixes_of_the_graph_file() {
        let mut prefixes = vec![String::new(), "model.".to_string()];
        add_prefixes(&mut prefixes);
        for prefix in [
            "",
            "model.",
            "language_model.model.",
            "model.language_model.",
        ] {
            assert!(prefixes.iter().any(|known| known == prefix), "{prefix}");
        }
    }
}
