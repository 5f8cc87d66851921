//! Is a damaged session, or an undamaged session of another model, ever worse than refused?
//!
//! 4000 damaged files, always the same ones; half of them have a correct checksum.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;

use smallmind::files::digest::Digest;
use smallmind::{Model, Options, SavedSessionError, StepError};

use crate::common::random::Random;
use crate::common::{data, expected, open};

/// Records the largest allocation of each thread.
struct Largest;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.set(LARGEST.get().max(layout.size()));
        // SAFETY: the caller makes the promise that is required here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller makes the promise that is required here.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Largest = Largest;

/// The offsets at which fields begin.
const VERSION: usize = 8;
const MODEL: usize = 12;
const POSITIONS: usize = 36;
const TOKENS: usize = 44;
/// Tokens of the undamaged session.
const LENGTH: usize = 40;

fn small(name: &str) -> Model {
    let options = Options::new().context(64).threads(1).chunk(16);
    open(name, &options)
}

/// An undamaged session.
fn sound(model: &Model, name: &str) -> Vec<u8> {
    let mut session = model.session().unwrap();
    session
        .prefill(&expected(name).input_ids[..LENGTH])
        .unwrap();
    let mut bytes = Vec::new();
    session.save(&mut bytes).unwrap();
    bytes
}

/// The same bytes with a checksum that matches them.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.len().checked_sub(8) {
        let mut digest = Digest::default();
        digest.add(&bytes[..end]);
        bytes[end..].copy_from_slice(&digest.value().to_le_bytes());
    }
    bytes
}

fn with(bytes: &[u8], place: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[place..place + new.len()].copy_from_slice(new);
    sealed(bytes)
}

fn refusal(model: &Model, bytes: &[u8]) -> String {
    let loaded = model.load_session(&mut &bytes[..]);
    loaded.expect_err("the session is bad").to_string()
}

#[test]
fn each_field_is_checked() {
    let model = small("demo");
    let bytes = sound(&model, "demo");
    let refused = |bytes: &[u8], parts: &[&str]| {
        let message = refusal(&model, bytes);
        for part in parts {
            assert!(message.contains(part), "no {part:?} in: {message}");
        }
    };
    refused(&with(&bytes, 0, b"GGUF"), &["not a saved session"]);
    refused(&with(&bytes, VERSION, &[2]), &["version 2", "version 1"]);
    for (i, differing) in ["graph", "caches", "weights"].into_iter().enumerate() {
        refused(&with(&bytes, MODEL + 8 * i, &[1, 2, 3]), &[differing]);
    }
    for position in [65, 1 << 32, u64::MAX] {
        let lie = with(&bytes, POSITIONS, &position.to_le_bytes());
        refused(&lie, &[&format!("{position} positions"), "context has 64"]);
    }
    for (position, what) in [(41u64, "damaged"), (0, "damaged"), (39, "damaged")] {
        refused(&with(&bytes, POSITIONS, &position.to_le_bytes()), &[what]);
    }
    let token = with(&bytes, TOKENS + 4 * 3, &256u32.to_le_bytes());
    refused(&token, &["token 256 at position 3", "vocabulary of 256"]);
    let mut flipped = bytes.clone();
    flipped[TOKENS + 4 * LENGTH + 5] ^= 16;
    refused(&flipped, &["damaged", "checksum"]);
    let longer = [&bytes[..], &[0]].concat();
    refused(&longer, &["but more follow", &bytes.len().to_string()]);
}

#[test]
fn a_session_that_is_cut_off_anywhere_says_how_much_is_there() {
    let model = small("mistral");
    let bytes = sound(&model, "mistral");
    let mut random = Random(5);
    let places = (0..100).chain((0..200).map(|_| random.below(bytes.len())));
    for place in places {
        let message = refusal(&model, &bytes[..place]);
        let there = format!("{place} of ");
        assert!(
            message.contains("cut off") && message.contains(&there),
            "{message}"
        );
    }
}

#[test]
fn another_model_is_refused_by_what_differs() {
    let bytes = sound(&small("llama"), "llama");
    let differing = |model: &Model| match model.load_session(&mut &bytes[..]) {
        Err(SavedSessionError::OtherModel { differing }) => differing,
        other => panic!("{:?}", other.err()),
    };
    assert_eq!(differing(&small("qwen2")), "graph after passes");
    let options = Options::new().stop_after("none");
    assert_eq!(differing(&open("llama", &options)), "graph after passes");
    // One element of one tensor.
    let folder = tempfile::tempdir().unwrap();
    let copy = |file: &str| fs::copy(data("llama").join(file), folder.path().join(file)).unwrap();
    copy("config.json");
    let mut weights = fs::read(data("llama").join("model.safetensors")).unwrap();
    let last = weights.len() - 1;
    weights[last] ^= 1;
    fs::write(folder.path().join("model.safetensors"), weights).unwrap();
    let changed = Model::open(folder.path(), &Options::default()).unwrap();
    assert_eq!(differing(&changed), "weights");
}

#[test]
fn an_encoder_has_no_session_to_save_or_load() {
    let model = open("bert", &Options::default());
    let mut session = model.session().unwrap();
    let saved = session.save(&mut Vec::new());
    assert!(matches!(saved, Err(SavedSessionError::Bidirectional)));
    let message = refusal(&model, &[]);
    assert!(message.contains("encoders"), "{message}");
}

#[test]
fn a_reader_that_fails_is_an_error_and_not_a_panic() {
    struct Failing;
    impl std::io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let error = small("demo").load_session(&mut Failing).err().unwrap();
    assert!(error.to_string().contains("the disk is gone"), "{error}");
}

#[test]
fn damaged_sessions_are_refused_or_run_and_take_no_more_memory() {
    for name in ["demo", "mistral"] {
        let model = small(name);
        let bytes = sound(&model, name);
        let limit = model.plan().arena + (1 << 14);
        let mut random = Random(11);
        let (mut refused, mut ran) = (0, 0);
        for case in 0..2000 {
            let mut bad = bytes.clone();
            for _ in 0..1 + random.below(3) {
                let place = random.below(bad.len());
                match random.below(6) {
                    0 => bad.truncate(place),
                    1 => bad.insert(place, random.next() as u8),
                    2 => drop(bad.remove(place)),
                    3 => bad[place] ^= 1 << random.below(8),
                    4 => {
                        // Half of all changes in the header.
                        let place = random.below(TOKENS + 4 * LENGTH).min(bad.len() - 1);
                        bad[place] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)];
                    }
                    _ => {
                        let end = bad.len().min(place + 1 + random.below(64));
                        let to = random.below(bad.len() - (end - place) + 1);
                        bad.copy_within(place..end, to);
                    }
                }
                if bad.is_empty() {
                    bad.push(0);
                }
            }
            let seal = case % 2 == 0;
            if seal {
                bad = sealed(bad);
            }
            if bad == bytes {
                continue;
            }
            LARGEST.set(0);
            let loaded = model.load_session(&mut &bad[..]);
            let largest = LARGEST.get();
            assert!(largest < limit, "{largest} bytes for case {case} of {name}");
            match loaded {
                Err(error) => {
                    assert!(error.to_string().len() < 200);
                    refused += 1;
                }
                Ok(mut session) => {
                    assert!(seal, "case {case} of {name} is damaged and was not refused");
                    // The damage may be in the rows that the model keeps: then their floats may be NaN or infinite.
                    match session.step(1) {
                        Ok(_) => ran += 1,
                        Err(error) => {
                            assert!(matches!(error, StepError::NotFinite { .. }), "{error}")
                        }
                    }
                }
            }
        }
        assert!(refused > 1000 && ran > 100, "{name}: {refused}, {ran}");
    }
}
