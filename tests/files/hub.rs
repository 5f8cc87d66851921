//! Are models of the Hub fetched completely, once, and found again without the Hub?
#![cfg(feature = "hub")]

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use smallmind::hub::{HubError, HubOptions, fetch};
use smallmind::{Model, Options};
use tempfile::TempDir;

use crate::common::hub::{Hub, NAME, SHA};

fn options(hub: &Hub, cache: &TempDir) -> HubOptions {
    HubOptions::new(cache.path()).endpoint(&hub.endpoint)
}

fn fetched(name: &str, options: &HubOptions) -> Result<PathBuf, HubError> {
    fetch(&name.parse().unwrap(), options)
}

fn read(name: &str) -> Vec<u8> {
    fs::read(crate::common::data("llama").join(name)).unwrap()
}

/// A Hub with the model of `tests/data/llama`.
fn llama() -> Hub {
    Hub::new(&[
        ("README.md", b"text"),
        ("config.json", &read("config.json")),
        ("model.safetensors", &read("model.safetensors")),
    ])
}

#[test]
fn a_fetched_folder_is_a_model_and_nothing_else_is_fetched() {
    let (hub, cache) = (llama(), TempDir::new().unwrap());
    let path = fetched(NAME, &options(&hub, &cache)).unwrap();
    assert_eq!(
        path,
        cache.path().join("models--org--model/snapshots").join(SHA)
    );
    assert!(Model::open(path.as_path(), &Options::default()).is_ok());
    assert!(!path.join("README.md").exists());
    let ref_main = cache.path().join("models--org--model/refs/main");
    assert_eq!(fs::read_to_string(ref_main).unwrap(), SHA);
}

#[test]
fn what_the_cache_has_is_not_fetched_again() {
    let (hub, cache) = (llama(), TempDir::new().unwrap());
    let first = fetched(NAME, &options(&hub, &cache)).unwrap();
    hub.asked();
    assert_eq!(fetched(NAME, &options(&hub, &cache)).unwrap(), first);
    let asked: Vec<String> = hub.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(asked, [format!("/api/models/{NAME}/revision/main")]);
}

#[test]
fn without_the_hub_the_cache_is_enough() {
    let (hub, cache) = (llama(), TempDir::new().unwrap());
    let first = fetched(NAME, &options(&hub, &cache)).unwrap();
    // Nobody listens on this port.
    let unreachable = options(&hub, &cache).endpoint("http://127.0.0.1:1");
    assert_eq!(fetched(NAME, &unreachable).unwrap(), first);
    hub.asked();
    let offline = options(&hub, &cache).offline(true);
    assert_eq!(fetched(NAME, &offline).unwrap(), first);
    assert!(hub.asked().is_empty());
    let message = fetched("org/other", &unreachable).unwrap_err().to_string();
    assert!(
        message.contains("the Hub can't be asked") && message.contains("never fetched"),
        "{message}"
    );
    fs::remove_file(first.join("model.safetensors")).unwrap();
    let message = fetched(NAME, &offline).unwrap_err().to_string();
    assert!(
        message.contains("HF_HUB_OFFLINE") && message.contains("no model"),
        "{message}"
    );
}

#[test]
fn all_files_of_split_weights_are_fetched() {
    let index = br#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}"#;
    let hub = Hub::new(&[
        ("config.json", b"{}"),
        ("model.safetensors.index.json", index),
        ("model-1.safetensors", b"1"),
        ("model-2.safetensors", b"2"),
        ("other.safetensors", b"3"),
    ]);
    let cache = TempDir::new().unwrap();
    let path = fetched(NAME, &options(&hub, &cache)).unwrap();
    assert_eq!(fs::read(path.join("model-1.safetensors")).unwrap(), b"1");
    assert_eq!(fs::read(path.join("model-2.safetensors")).unwrap(), b"2");
    assert!(!path.join("other.safetensors").exists());
}

#[test]
fn a_list_that_leads_out_of_the_repository_is_refused() {
    let index = br#"{"weight_map": {"a": "../../../../evil"}}"#;
    let hub = Hub::new(&[
        ("config.json", b"{}"),
        ("model.safetensors.index.json", index),
    ]);
    let cache = TempDir::new().unwrap();
    let message = fetched(NAME, &options(&hub, &cache))
        .unwrap_err()
        .to_string();
    assert!(message.contains("leads out of the repository"), "{message}");
}

#[test]
fn a_gguf_file_is_chosen_by_type() {
    let hub = Hub::new(&[
        ("m-Q4_K_M.gguf", b"4"),
        ("m-Q8_0.gguf", b"8"),
        ("config.json", b"{}"),
    ]);
    let cache = TempDir::new().unwrap();
    let content = |name: &str| fs::read(fetched(name, &options(&hub, &cache)).unwrap()).unwrap();
    assert_eq!(content(NAME), b"4");
    assert_eq!(content("org/model:q8_0"), b"8");
    let error = fetched("org/model:Q2_K", &options(&hub, &cache)).unwrap_err();
    assert!(matches!(error, HubError::Choice { .. }));
    assert!(
        error.to_string().contains("m-Q4_K_M.gguf, m-Q8_0.gguf"),
        "{error}"
    );
}

#[test]
fn a_token_opens_a_closed_repository_and_a_missing_one_is_reported() {
    let (hub, cache) = (llama(), TempDir::new().unwrap());
    hub.gate("secret");
    let error = fetched(NAME, &options(&hub, &cache)).unwrap_err();
    assert!(
        matches!(
            error,
            HubError::Refused {
                status: 401,
                token: false,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("set HF_TOKEN"), "{error}");
    let with = |token: &str| options(&hub, &cache).token(token.to_string());
    let message = fetched(NAME, &with("wrong")).unwrap_err().to_string();
    assert!(
        message.contains("does its account have access?") && !message.contains("wrong"),
        "{message}"
    );
    hub.asked();
    fetched(NAME, &with("secret")).unwrap();
    let asked = hub.asked();
    assert!(
        asked.len() > 2
            && asked
                .iter()
                .all(|asked| asked.token.as_deref() == Some("secret"))
    );
}

#[test]
fn a_repository_that_does_not_exist_is_reported() {
    let (hub, cache) = (llama(), TempDir::new().unwrap());
    let error = fetched("org/other", &options(&hub, &cache)).unwrap_err();
    assert!(
        matches!(error, HubError::Refused { status: 404, .. }),
        "{error}"
    );
}

#[test]
fn a_part_that_is_whole_or_too_long_begins_anew() {
    let hub = Hub::new(&[("m-Q8_0.gguf", b"weights")]);
    hub.tag("m-Q8_0.gguf", SHA);
    for part in ["weighty", "many weights"] {
        let cache = TempDir::new().unwrap();
        let blobs = cache.path().join("models--org--model/blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(format!("{SHA}.part")), part).unwrap();
        let path = fetched(NAME, &options(&hub, &cache)).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"weights");
    }
}

#[test]
fn progress_tells_how_much_has_arrived() {
    let hub = Hub::new(&[("m-Q8_0.gguf", &[7; 50_000])]);
    let cache = TempDir::new().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let into = told.clone();
    let options =
        options(&hub, &cache).progress(move |transfer| into.lock().unwrap().push(transfer.clone()));
    fetched(NAME, &options).unwrap();
    let told = told.lock().unwrap();
    assert!(
        told.iter()
            .all(|transfer| transfer.file == "m-Q8_0.gguf" && transfer.all == 50_000)
    );
    assert!(told.windows(2).all(|pair| pair[0].done <= pair[1].done));
    assert_eq!(told.last().map(|transfer| transfer.done), Some(50_000));
}

/// The SHA-256 of `weights`.
const WEIGHTS: &str = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";

#[test]
fn a_file_with_the_digest_that_the_hub_states_is_fetched() {
    let (hub, cache) = (
        Hub::new(&[("m-Q8_0.gguf", b"weights")]),
        TempDir::new().unwrap(),
    );
    hub.tag("m-Q8_0.gguf", WEIGHTS);
    let path = fetched(NAME, &options(&hub, &cache)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"weights");
    let blob = cache.path().join("models--org--model/blobs").join(WEIGHTS);
    assert_eq!(
        fs::canonicalize(path).unwrap(),
        fs::canonicalize(blob).unwrap()
    );
}

#[test]
fn a_file_with_another_digest_than_the_hub_states_is_removed_and_reported() {
    let (hub, cache) = (
        Hub::new(&[("m-Q8_0.gguf", b"w3ights")]),
        TempDir::new().unwrap(),
    );
    hub.tag("m-Q8_0.gguf", WEIGHTS);
    let error = fetched(NAME, &options(&hub, &cache)).unwrap_err();
    assert!(matches!(error, HubError::Damaged { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("m-Q8_0.gguf arrived damaged"), "{message}");
    assert!(message.contains(WEIGHTS), "{message}");
    let model = cache.path().join("models--org--model");
    assert!(!model.join("blobs").join(WEIGHTS).exists());
    let path = model.join("snapshots").join(SHA).join("m-Q8_0.gguf");
    assert!(fs::symlink_metadata(path).is_err());
    // It is not part of what the cache offers without the Hub, either.
    let offline = options(&hub, &cache).offline(true);
    assert!(matches!(
        fetched(NAME, &offline),
        Err(HubError::Offline { .. })
    ));
}

#[test]
fn a_part_that_went_bad_is_reported_and_then_fetched_anew() {
    let (hub, cache) = (
        Hub::new(&[("m-Q8_0.gguf", b"weights")]),
        TempDir::new().unwrap(),
    );
    hub.tag("m-Q8_0.gguf", WEIGHTS);
    let blobs = cache.path().join("models--org--model/blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{WEIGHTS}.part")), "w3").unwrap();
    let error = fetched(NAME, &options(&hub, &cache)).unwrap_err();
    assert!(matches!(error, HubError::Damaged { .. }), "{error}");
    let path = fetched(NAME, &options(&hub, &cache)).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"weights");
}
