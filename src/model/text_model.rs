//! The text model of a checkpoint that also reads images or sounds: its configuration is an object in config.json, and its
//! weights have a prefix.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::files::json;

/// The keys under which the configuration of the text model may be.
const KEYS: [&str; 3] = ["text_config", "llm_config", "language_config"];
/// Keys of the whole configuration that name its own architecture, and say nothing about the text model.
const OF_THE_WHOLE: [&str; 3] = ["architectures", "model_type", "auto_map"];
/// Prefixes that may come before the names that the weights have in a checkpoint of only the text model.
const PREFIXES: [&str; 6] = [
    "language_model.",
    "model.language_model.",
    "text_model.",
    "model.text_model.",
    "llm.",
    "thinker.",
];

/// The config.json of only the text model, if `text` contains one: keys that the text model leaves out have the values of
/// the whole configuration.
pub(super) fn configuration(text: &str) -> Option<Cow<'static, str>> {
    let Ok(Json::Object(mut whole)) = json::parse(text) else {
        return None;
    };
    let inner = KEYS.iter().find_map(|key| match whole.get(*key) {
        Some(Json::Object(inner)) => Some(inner.clone()),
        _ => None,
    })?;
    if OF_THE_WHOLE.iter().any(|key| inner.contains_key(*key)) {
        OF_THE_WHOLE.iter().for_each(|key| {
            whole.shift_remove(*key);
        });
    }
    KEYS.iter().for_each(|key| {
        whole.shift_remove(*key);
    });
    whole.extend(inner);
    serde_json::to_string(&whole).ok().map(Cow::Owned)
}

/// Adds the prefixes that such a checkpoint's tensors have before the names that a graph file's prefixes allow.
pub(super) fn add_prefixes(prefixes: &mut Vec<String>) {
    let plain = prefixes.clone();
    for before in PREFIXES {
        let longer = plain.iter().map(|prefix| format!("{before}{prefix}"));
        prefixes.extend(longer.collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_model_says_what_it_says_and_the_whole_the_rest() {
        let text = r#"{"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "eos_token_id": 2,
            "hidden_size": 1, "text_config": {"model_type": "llama", "hidden_size": 64}, "vision_config": {}}"#;
        let text = configuration(text).unwrap();
        let json: Json = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "model_type": "llama", "hidden_size": 64, "eos_token_id": 2, "vision_config": {}
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_configuration_without_one_stays() {
        for text in [
            "{}",
            "[]",
            "{",
            r#"{"text_config": null, "model_type": "llama"}"#,
        ] {
            assert_eq!(configuration(text), None);
        }
    }

    #[test]
    fn prefixes_stand_before_those_of_the_graph_file() {
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
