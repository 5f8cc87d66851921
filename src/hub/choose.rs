//! Chooses the files of a repository that make up a model.

use crate::files::gguf::is_companion;
use crate::language::nearest::nearest;

/// Types of GGUF files in order of preference: small types first, as long as they lose little.
const PREFERRED: [&str; 10] = [
    "q4_k_m", "q8_0", "q5_k_m", "q6_k", "q4_k_s", "q5_k_s", "q4_0", "bf16", "f16", "f32",
];
/// Files that a model's folder may have besides config.json and its weights.
const BESIDES: [&str; 11] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
];
/// The file that lists the weight files, if there are several.
pub const INDEX: &str = "model.safetensors.index.json";
/// The weight file, if there is only one.
const WEIGHTS: &str = "model.safetensors";
/// The extension of GGUF files.
const GGUF: &str = ".gguf";
/// The most files that a message names.
const SHOWN: usize = 30;

/// The files of a repository that are a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A GGUF file, or all files of a model that is split into several.
    Gguf(Vec<String>),
    /// Files of a folder; if [`INDEX`] is among them, also the files that it lists.
    Folder(Vec<String>),
}

/// Choose among a repository's files: the file with the name `wanted`, or the GGUF file of the type `wanted`. If
/// nothing is wanted, the GGUF file of the most preferred type, or otherwise config.json with the files that belong to
/// it.
pub fn choose(files: &[String], wanted: Option<&str>) -> Result<Choice, String> {
    let ggufs: Vec<&str> = files
        .iter()
        .map(String::as_str)
        .filter(|file| file.ends_with(GGUF) && !is_companion(&stem(file)))
        .collect();
    if let Some(wanted) = wanted {
        let exact = ggufs.iter().find(|file| **file == wanted);
        let chosen = exact.or_else(|| ggufs.iter().find(|file| is_of_type(file, wanted)));
        if let Some(file) = chosen {
            return whole(file, &ggufs);
        }
        let near = nearest(wanted, ggufs.iter().copied());
        let near = near.map_or(String::new(), |near| format!(", the nearest is '{near}'"));
        return Err(format!(
            "no GGUF file has the name or type '{wanted}'{near}; there are {}",
            listed(&ggufs)
        ));
    }
    let preferred = PREFERRED
        .iter()
        .find_map(|kind| ggufs.iter().find(|file| is_of_type(file, kind)));
    if let Some(file) = preferred.or(ggufs.first()) {
        return whole(file, &ggufs);
    }
    let has = |name: &str| files.iter().any(|file| file == name);
    let weights = [INDEX, WEIGHTS].into_iter().find(|name| has(name));
    let Some(weights) = weights.filter(|_| has("config.json")) else {
        let all: Vec<&str> = files.iter().map(String::as_str).collect();
        return Err(format!(
            "no model: expected GGUF files, or config.json and {WEIGHTS} or {INDEX}; there are {}",
            listed(&all)
        ));
    };
    let besides = BESIDES.into_iter().filter(|name| has(name));
    let chosen = ["config.json"].into_iter().chain(besides).chain([weights]);
    Ok(Choice::Folder(chosen.map(str::to_string).collect()))
}

/// The model that consists of this file, or to which this file belongs.
fn whole(file: &str, ggufs: &[&str]) -> Result<Choice, String> {
    let path = file.trim_end_matches(GGUF);
    let Some((name, all)) = without_part(path) else {
        return Ok(Choice::Gguf(vec![file.to_string()]));
    };
    let parts = ggufs.iter().filter(|file| {
        let part = without_part(file.trim_end_matches(GGUF));
        part == Some((name, all))
    });
    let parts: Vec<String> = parts.map(|file| file.to_string()).collect();
    if parts.len() != all {
        return Err(format!(
            "{name} has {all} parts, but the repository has only {}",
            parts.len()
        ));
    }
    Ok(Choice::Gguf(parts))
}

/// Whether the file has this type: its name ends with the type, after a character that is not a letter or digit.
fn is_of_type(file: &str, kind: &str) -> bool {
    let stem = stem(file);
    let name = without_part(&stem).map_or(stem.as_str(), |(name, _)| name);
    let before = name.strip_suffix(&kind.to_ascii_lowercase());
    before.is_some_and(|before| before.ends_with(['-', '.', '_']) || before.is_empty())
}

/// The last part of a GGUF file's path without its extension, in lower case.
fn stem(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.trim_end_matches(GGUF).to_ascii_lowercase()
}

/// `NAME-00001-of-00003` as the name without the part's number, and the number of parts.
fn without_part(stem: &str) -> Option<(&str, usize)> {
    let number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, all) = stem.rsplit_once("-of-")?;
    let (name, part) = rest.rsplit_once('-')?;
    let all = Some(all).filter(|all| number(all) && number(part))?;
    Some((name, all.parse().ok()?))
}

fn listed(files: &[&str]) -> String {
    match files {
        [] => "none".to_string(),
        _ if files.len() > SHOWN => {
            let shown = files.get(..SHOWN).unwrap_or(files);
            format!("{} and {} more", shown.join(", "), files.len() - SHOWN)
        }
        _ => files.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(files: &[&str], wanted: Option<&str>) -> Result<Choice, String> {
        let files: Vec<String> = files.iter().map(|file| file.to_string()).collect();
        choose(&files, wanted)
    }

    fn gguf(file: &str) -> Result<Choice, String> {
        Ok(Choice::Gguf(vec![file.to_string()]))
    }

    const FILES: [&str; 6] = [
        "README.md",
        "mmproj-m-Q8_0.gguf",
        "m-Q2_K.gguf",
        "m-Q8_0.gguf",
        "sub/m.q4_k_m.gguf",
        "m-Q5_K_M-00001-of-00002.gguf",
    ];

    #[test]
    fn the_preferred_type_is_chosen_where_nothing_is_wanted() {
        assert_eq!(chosen(&FILES, None), gguf("sub/m.q4_k_m.gguf"));
        assert_eq!(chosen(&FILES[..4], None), gguf("m-Q8_0.gguf"));
        assert_eq!(chosen(&FILES[..3], None), gguf("m-Q2_K.gguf"));
    }

    #[test]
    fn a_file_or_a_type_can_be_wanted() {
        assert_eq!(chosen(&FILES, Some("m-Q2_K.gguf")), gguf("m-Q2_K.gguf"));
        assert_eq!(chosen(&FILES, Some("q8_0")), gguf("m-Q8_0.gguf"));
        assert_eq!(chosen(&FILES, Some("Q4_K_M")), gguf("sub/m.q4_k_m.gguf"));
        for (wanted, part) in [
            (
                "Q5_K_M",
                "m-Q5_K_M has 2 parts, but the repository has only 1",
            ),
            ("8_0", "m-Q8_0.gguf"),
            ("m-Q2_k.gguf", "the nearest"),
        ] {
            let message = chosen(&FILES, Some(wanted)).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn all_parts_of_a_cut_model_are_chosen() {
        let part = |n: usize| format!("sub/m-Q8_0-0000{n}-of-00002.gguf");
        let files = [
            part(1),
            part(2),
            "m-Q8_0.gguf.txt".to_string(),
            "m-f16.gguf".to_string(),
        ];
        let both = Ok(Choice::Gguf(vec![part(1), part(2)]));
        for wanted in [None, Some("q8_0"), Some(part(2).as_str())] {
            assert_eq!(choose(&files, wanted), both);
        }
    }

    #[test]
    fn a_folder_is_config_weights_and_the_files_beside_them() {
        let files = [
            "config.json",
            "pytorch_model.bin",
            "tokenizer.json",
            "model.safetensors",
            "vocab.txt",
        ];
        let expected = [
            "config.json",
            "tokenizer.json",
            "vocab.txt",
            "model.safetensors",
        ];
        let expected = expected.map(str::to_string);
        assert_eq!(chosen(&files, None), Ok(Choice::Folder(expected.to_vec())));
        let files = ["model-00001-of-00002.safetensors", "config.json", INDEX];
        let expected = ["config.json", INDEX].map(str::to_string);
        assert_eq!(chosen(&files, None), Ok(Choice::Folder(expected.to_vec())));
    }

    #[test]
    fn without_a_model_the_error_lists_the_files() {
        let message = chosen(&["config.json", "pytorch_model.bin"], None).unwrap_err();
        assert!(message.contains("pytorch_model.bin"), "{message}");
        assert!(chosen(&[], None).unwrap_err().contains("there are none"));
    }
}
