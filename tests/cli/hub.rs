//! Does `-hf` stand for a model, whatever the subcommand?

use std::process::Output;

use tempfile::TempDir;

use super::common::data;
use super::common::hub::{Hub, NAME};
use super::smallmind;

fn llama() -> Hub {
    let read = |name: &str| std::fs::read(data("llama").join(name)).unwrap();
    Hub::new(&[
        ("config.json", &read("config.json")),
        ("model.safetensors", &read("model.safetensors")),
    ])
}

/// The program with this Hub, its own home folder and a token.
fn with(hub: &Hub, home: &TempDir, arguments: &[&str]) -> Output {
    let mut command = smallmind();
    for name in ["HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"] {
        command.env_remove(name);
    }
    command
        .env("HF_HOME", home.path())
        .env("HF_ENDPOINT", &hub.endpoint)
        .env("HF_TOKEN", "secret")
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn every_command_takes_a_model_of_the_hub() {
    let (hub, home) = (llama(), TempDir::new().unwrap());
    hub.gate("secret");
    let folder = data("llama").display().to_string();
    let plan = with(&hub, &home, &["plan", "-hf", NAME]);
    assert!(
        plan.status.success(),
        "{}",
        String::from_utf8_lossy(&plan.stderr)
    );
    assert_eq!(plan.stdout, with(&hub, &home, &["plan", &folder]).stdout);
    let bench = ["bench", "-p", "4", "-n", "2", "-r", "1", "-hf", NAME];
    assert!(with(&hub, &home, &bench).status.success());
    let explain = with(&hub, &home, &["explain", "--hf", NAME]);
    assert!(explain.status.success());
    assert!(
        home.path()
            .join("hub/models--org--model/refs/main")
            .exists()
    );
}

#[test]
fn mistakes_in_the_arguments_are_reported_before_anything_is_fetched() {
    let (hub, home) = (llama(), TempDir::new().unwrap());
    let output = with(&hub, &home, &["plan", "-hf", NAME, "--no-such-option"]);
    assert_eq!(output.status.code(), Some(2));
    let output = with(&hub, &home, &["plan", "-hf", "no name"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not a repository's name"));
    assert!(hub.asked().is_empty());
}
