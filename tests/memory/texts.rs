//! Do steps of several texts allocate anything?

use smallmind::Options;

use crate::allocations;
use crate::common::{encoders, expected, open};

pub fn steps_of_texts_allocate_nothing() {
    for name in encoders() {
        let prompt = expected(name).input_ids;
        let ones: Vec<&[u32]> = prompt.chunks(1).collect();
        let ragged: [&[u32]; 4] = [&prompt, &prompt[..1], &prompt[2..9], &prompt];
        for threads in [1, 2] {
            let options = Options::new()
                .threads(threads)
                .chunk(Some(3 * prompt.len()));
            let mut session = open(name, &options).session().unwrap();
            // The first job starts the pool's threads.
            session.step(prompt[0]).unwrap();
            let count = allocations(|| {
                session.encode(&ragged).unwrap();
                session.encode(&ones).unwrap();
                session.prefill(&prompt).unwrap();
                session.encode(&ragged[..3]).unwrap();
            });
            assert_eq!(count, 0, "{name}, {threads} threads");
        }
    }
}
