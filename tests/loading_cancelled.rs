//! Does a cancelled load leave nothing behind? This is a separate program because it looks at all threads and mappings.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::data;
use smallmind::{Model, ModelError, Options};
use tempfile::TempDir;

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Waits until `wanted` threads are left: a thread that was joined may still be about to end.
fn ended(wanted: usize) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while threads() != wanted && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    threads() == wanted
}

fn is_mapped(path: &Path) -> bool {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.contains(path.to_str().unwrap())
}

/// Opens a model, and stops when `last` weights are ready. Returns the result, and how often the callback was called.
fn open(folder: &Path, last: usize) -> (Result<Model, ModelError>, usize) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let weights = folder.join("model.safetensors");
    let options = Options::new().threads(2).progress(move |progress| {
        assert!(is_mapped(&weights));
        counter.fetch_add(1, Ordering::Relaxed);
        match progress.done < last {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    let opened = Model::open(folder, &options);
    (opened, asked.load(Ordering::Relaxed))
}

#[test]
fn nothing_is_left_of_a_cancelled_load() {
    let folder = TempDir::new().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(data("llama").join(file), folder.path().join(file)).unwrap();
    }
    let tokenizer = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/tokenizer.json");
    fs::copy(tokenizer, folder.path().join("tokenizer.json")).unwrap();
    let weights = folder.path().join("model.safetensors");
    let before = threads();
    let (opened, asked) = open(folder.path(), usize::MAX);
    assert!(opened.is_ok() && asked > 2);
    assert!(threads() > before);
    drop(opened);
    assert!(ended(before));
    for last in [0, 1, asked - 2, asked - 1] {
        let (opened, times) = open(folder.path(), last);
        assert!(matches!(opened, Err(ModelError::Cancelled)), "{last}");
        assert_eq!(times, last + 1);
        assert!(ended(before), "{last}");
        assert!(!is_mapped(&weights), "{last}");
    }
}
