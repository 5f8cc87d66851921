//! Are models of the Hub fetched whatever real servers and networks do, and if not, do messages say why?
#![cfg(feature = "hub")]

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use smallmind::Cancel;
use smallmind::hub::{HubError, HubOptions, fetch};
use tempfile::TempDir;

use crate::common::hub::{Hub, NAME, OLD_NAME, PAGE, SHA, Unkind};

const FILE: &str = "m-Q8_0.gguf";
/// A digest that no content here has, of a length that says nothing about the content.
const TAG: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// Bytes that don't repeat soon.
fn weights() -> Vec<u8> {
    (0..300_000u32)
        .map(|i| (i.wrapping_mul(i) % 251) as u8)
        .collect()
}

/// A Hub with one file of [`weights`].
fn hub() -> (Hub, TempDir) {
    let hub = Hub::new(&[(FILE, &weights())]);
    hub.tag(FILE, TAG);
    (hub, TempDir::new().unwrap())
}

fn options(hub: &Hub, cache: &TempDir) -> HubOptions {
    HubOptions::new(cache.path())
        .endpoint(&hub.endpoint)
        .timeout(Duration::from_millis(400))
}

fn fetched(name: &str, options: &HubOptions) -> Result<PathBuf, HubError> {
    fetch(&name.parse().unwrap(), options)
}

/// Options whose notices are collected.
fn with_notices(options: HubOptions) -> (HubOptions, Arc<Mutex<Vec<String>>>) {
    let notices = Arc::new(Mutex::new(Vec::new()));
    let into = notices.clone();
    let options = options.notice(move |line| into.lock().unwrap().push(line.to_string()));
    (options, notices)
}

fn assert_fetched(name: &str, options: &HubOptions) {
    let path = fetched(name, options).unwrap();
    assert!(fs::read(path).unwrap() == weights());
}

#[test]
fn a_server_may_be_like_that() {
    let kinds = [
        Unkind::WithoutRanges,
        Unkind::Compressed,
        Unkind::WithoutTags,
        Unkind::Slow(100_000),
        Unkind::Elsewhere,
        Unkind::Moved,
    ];
    for kind in kinds {
        let (hub, cache) = hub();
        hub.be(kind.clone());
        assert_fetched(NAME, &options(&hub, &cache));
        // The cache then has the file, and no partial file is left.
        let offline = options(&hub, &cache).offline(true);
        assert_fetched(NAME, &offline);
        let blobs = fs::read_dir(cache.path().join("models--org--model/blobs")).unwrap();
        let blobs: Vec<_> = blobs.map(|blob| blob.unwrap().file_name()).collect();
        assert_eq!(blobs.len(), 1, "{kind:?}: {blobs:?}");
    }
}

#[test]
fn a_download_continues_where_it_was_interrupted() {
    type Interrupt = fn(&Hub);
    let interruptions: [(&str, Interrupt); 2] = [
        ("a dropped connection", |hub| {
            hub.break_off(FILE, 100_000, 1)
        }),
        ("a stall", |hub| hub.be(Unkind::Stalls(FILE, 100_000, 1))),
    ];
    for (what, interrupt) in interruptions {
        let (hub, cache) = hub();
        interrupt(&hub);
        let (options, notices) = with_notices(options(&hub, &cache));
        assert_fetched(NAME, &options);
        let starts: Vec<usize> = hub.asked().iter().filter_map(|asked| asked.start).collect();
        assert!(matches!(starts[..], [1..=100_000]), "{what}: {starts:?}");
        let notices = notices.lock().unwrap();
        assert!(
            matches!(&notices[..], [one] if one.starts_with(FILE)),
            "{notices:?}"
        );
    }
}

#[test]
fn interruptions_without_end_are_survived_while_something_arrives() {
    let (hub, cache) = hub();
    // Ten times the allowed number of tries in which nothing arrives.
    hub.break_off(FILE, 30_000, 9);
    assert_fetched(NAME, &options(&hub, &cache));
}

#[test]
fn an_interrupted_file_without_parts_begins_anew() {
    for kind in [Unkind::WithoutRanges, Unkind::Compressed, Unkind::WrongPart] {
        let (hub, cache) = hub();
        hub.be(kind.clone());
        hub.break_off(FILE, 1_000, 1);
        assert_fetched(NAME, &options(&hub, &cache));
    }
}

#[test]
fn what_a_killed_process_left_is_continued_and_never_counted_whole() {
    let (hub, cache) = hub();
    hub.break_off(FILE, 100_000, usize::MAX);
    hub.be(Unkind::WithoutRanges);
    let error = fetched(NAME, &options(&hub, &cache)).unwrap_err();
    assert!(matches!(error, HubError::Download { .. }), "{error}");
    assert!(
        error.to_string().contains("100000 of 300000 bytes"),
        "{error}"
    );
    let offline = options(&hub, &cache).offline(true);
    assert!(matches!(
        fetched(NAME, &offline),
        Err(HubError::Offline { .. })
    ));

    let (other, _) = self::hub();
    assert_fetched(NAME, &options(&other, &cache));
    let starts: Vec<usize> = other
        .asked()
        .iter()
        .filter_map(|asked| asked.start)
        .collect();
    assert_eq!(starts, [100_000]);
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    for busy in [
        Unkind::Busy(429, 2, "retry-after: 0\r\n"),
        Unkind::Busy(503, 2, "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
        Unkind::Busy(429, 1, "ratelimit: \"api\";r=0;t=0\r\n"),
        Unkind::Busy(500, 1, ""),
    ] {
        let (hub, cache) = hub();
        hub.be(busy.clone());
        let (options, notices) = with_notices(options(&hub, &cache));
        assert_fetched(NAME, &options);
        let notices = notices.lock().unwrap();
        let Unkind::Busy(status, times, _) = busy else {
            unreachable!()
        };
        assert_eq!(notices.len(), times, "{notices:?}");
        assert!(notices[0].contains(&status.to_string()), "{notices:?}");
    }
}

#[test]
fn a_server_that_stays_busy_is_given_up_with_its_status() {
    let (hub, cache) = hub();
    hub.be(Unkind::Busy(503, usize::MAX, "retry-after: 0\r\n"));
    let message = fetched(NAME, &options(&hub, &cache))
        .unwrap_err()
        .to_string();
    assert!(message.contains("503"), "{message}");
    let asked = hub.asked().len();
    assert!((2..10).contains(&asked), "{asked}");
}

#[test]
fn a_wait_of_hours_is_reported_and_not_waited() {
    let (hub, cache) = hub();
    hub.be(Unkind::Busy(429, usize::MAX, "retry-after: 7200\r\n"));
    let message = fetched(NAME, &options(&hub, &cache))
        .unwrap_err()
        .to_string();
    assert!(message.contains("429"), "{message}");
    assert_eq!(hub.asked().len(), 1);
}

#[test]
fn the_token_is_sent_to_no_other_host() {
    let (hub, cache) = hub();
    hub.gate("secret");
    hub.be(Unkind::Elsewhere);
    assert_fetched(NAME, &options(&hub, &cache).token("secret".to_string()));
    let asked = hub.asked();
    let (there, here): (Vec<_>, Vec<_>) = asked
        .iter()
        .partition(|asked| asked.host.starts_with("localhost:"));
    assert!(!there.is_empty() && there.iter().all(|asked| asked.token.is_none()));
    assert!(!here.is_empty() && here.iter().all(|asked| asked.token.is_some()));
}

#[test]
fn the_token_is_sent_on_to_the_same_host() {
    for (name, kind) in [(NAME, Unkind::Moved), (OLD_NAME, Unkind::Renamed)] {
        let (hub, cache) = hub();
        hub.gate("secret");
        hub.be(kind);
        assert_fetched(name, &options(&hub, &cache).token("secret".to_string()));
        assert!(hub.asked().iter().all(|asked| asked.token.is_some()));
    }
}

#[test]
fn a_web_page_is_not_mistaken_for_the_requested_file() {
    for typed in [true, false] {
        let (hub, cache) = hub();
        hub.be(Unkind::Pages(typed));
        let message = fetched(NAME, &options(&hub, &cache))
            .unwrap_err()
            .to_string();
        assert!(message.contains("a web page was sent"), "{message}");
    }
}

#[test]
fn a_web_page_among_the_files_is_not_kept() {
    let files: [(&str, &[u8]); 2] = [
        ("config.json", PAGE.as_bytes()),
        ("model.safetensors", b"weights"),
    ];
    let (hub, cache) = (Hub::new(&files), TempDir::new().unwrap());
    let message = fetched(NAME, &options(&hub, &cache))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("config.json") && message.contains("a web page was sent"),
        "{message}"
    );
    let snapshot = cache.path().join("models--org--model/snapshots").join(SHA);
    assert!(!snapshot.join("config.json").exists());
}

#[test]
fn with_a_web_page_for_a_hub_the_cache_is_enough_and_that_is_reported() {
    let (hub, cache) = hub();
    assert_fetched(NAME, &options(&hub, &cache));
    hub.be(Unkind::Pages(true));
    let (options, notices) = with_notices(options(&hub, &cache));
    assert_fetched(NAME, &options);
    let notices = notices.lock().unwrap();
    assert!(
        matches!(&notices[..], [one] if one.contains("a web page") && one.contains(SHA)),
        "{notices:?}"
    );
}

#[test]
fn names_with_spaces_and_folders_are_asked_for_escaped() {
    let (hub, cache) = (
        Hub::new(&[("some folder/m-Q8_0.gguf", &weights())]),
        TempDir::new().unwrap(),
    );
    assert_fetched(NAME, &options(&hub, &cache));
}

#[test]
fn files_of_one_size_and_without_tags_are_not_confused() {
    let files: [(&str, &[u8]); 3] = [
        ("config.json", b"{1}"),
        ("tokenizer.json", b"{2}"),
        ("model.safetensors", b"{3}"),
    ];
    let (hub, cache) = (Hub::new(&files), TempDir::new().unwrap());
    // Servers of plain files make such tags, from time and size.
    for (file, _) in files {
        hub.tag(file, "65a1b2c3-3");
    }
    let path = fetched(NAME, &options(&hub, &cache)).unwrap();
    for (file, content) in files {
        assert_eq!(fs::read(path.join(file)).unwrap(), content);
    }
}

#[test]
fn two_at_once_fetch_a_file_once() {
    let (hub, cache) = hub();
    hub.be(Unkind::Slow(100_000));
    let options = options(&hub, &cache);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_fetched(NAME, &options));
        }
    });
    let bodies = hub
        .asked()
        .iter()
        .filter(|asked| asked.path.contains("resolve"))
        .count();
    // Each asks for the file at most once; the one that waits then finds it.
    assert!(bodies <= 2, "{bodies}");
}

#[test]
fn fetching_ends_soon_when_it_is_cancelled_and_keeps_what_has_arrived() {
    let (hub, cache) = hub();
    hub.be(Unkind::Stalls(FILE, 100_000, usize::MAX));
    let cancel = Cancel::new();
    let options = options(&hub, &cache)
        .timeout(Duration::from_secs(60))
        .cancel(&cancel);
    let begun = Instant::now();
    let error = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(500));
            cancel.cancel();
        });
        fetched(NAME, &options).unwrap_err()
    });
    assert_eq!(error, HubError::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(30));
    let part = cache.path().join("models--org--model/blobs");
    let part = part.join(format!("{TAG}.part"));
    assert_eq!(fs::metadata(part).unwrap().len(), 100_000);
}
