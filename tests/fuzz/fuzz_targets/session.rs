//! Any bytes as a saved session of the demo, and as changes of a session that was really saved: an accepted session can
//! continue.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use smallmind::{Model, Options};

struct Saved {
    model: Model,
    bytes: Vec<u8>,
}

static SAVED: OnceLock<Saved> = OnceLock::new();

fn saved() -> Saved {
    let options = Options::new().threads(1).context(64);
    let model = Model::open("demo", &options).expect("the demo opens");
    let mut session = model.session().expect("a session");
    session
        .prefill(&[72, 101, 108])
        .expect("the prompt is read");
    let mut bytes = Vec::new();
    session.save(&mut bytes).expect("the session is saved");
    Saved { model, bytes }
}

fuzz_target!(|changes: &[u8]| {
    let Saved { model, bytes } = SAVED.get_or_init(saved);
    let mut damaged = bytes.clone();
    for change in changes.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % damaged.len();
        damaged[place] = change[2];
    }
    for bytes in [changes, &damaged[..]] {
        if let Ok(mut session) = model.load_session(&mut &*bytes) {
            session.step(1).expect("a loaded session goes on");
        }
    }
});
