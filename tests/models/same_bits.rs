//! Do threads, chunks, instruction sets, other sessions and passes leave every bit unchanged?

use smallmind::kernels::simd::Isa;
use smallmind::rewrite::Passes;
use smallmind::types::Bits;
use smallmind::{Options, Session};

use crate::common::{all_rows, bits, decoders, expected, models, open, run};

/// Decode steps after each prompt.
const STEPS: usize = 4;

/// Every output bit of a prompt and some steps.
fn output(name: &str, options: &Options) -> Vec<u32> {
    let model = open(name, options);
    let mut session = model.session().unwrap();
    output_of(&mut session, &expected(name).input_ids)
}

fn output_of(session: &mut Session, prompt: &[u32]) -> Vec<u32> {
    let (logits, rows, _) = run(session, prompt, STEPS);
    bits(&logits)
        .into_iter()
        .chain(rows.iter().flat_map(|row| bits(row)))
        .collect()
}

/// One thread, plain Rust, the whole prompt at once.
fn plain() -> Options {
    all_rows().threads(1).isa("scalar").chunk(1024)
}

#[test]
fn instruction_sets_and_threads_agree() {
    for name in models() {
        let expected = output(name, &plain());
        for isa in Isa::available() {
            for threads in [1, 2, 3] {
                let options = plain().threads(threads).isa(isa.name());
                assert!(
                    output(name, &options) == expected,
                    "{name} on {} with {threads} threads",
                    isa.name()
                );
            }
        }
    }
}

#[test]
fn chunks_agree() {
    for name in decoders() {
        let whole = plain();
        let expected = output(name, &whole);
        for chunk in [1, 7, 16, 48, 100] {
            for threads in [1, 2] {
                let options = whole.clone().chunk(chunk).threads(threads);
                assert!(
                    output(name, &options) == expected,
                    "{name} in chunks of {chunk}, {threads} threads"
                );
            }
        }
    }
}

#[test]
fn sessions_side_by_side_do_not_touch_each_other() {
    for name in ["demo", "llama"] {
        let model = open(name, &all_rows());
        let prompt = expected(name).input_ids;
        let alone = output_of(&mut model.session().unwrap(), &prompt);
        // Interleaved in one thread.
        let (mut a, mut b) = (model.session().unwrap(), model.session().unwrap());
        let other: Vec<u32> = prompt.iter().rev().copied().collect();
        a.prefill(&prompt[..5]).unwrap();
        b.prefill(&other).unwrap();
        a.truncate(0).unwrap();
        b.step(1).unwrap();
        assert!(output_of(&mut a, &prompt) == alone, "{name}, interleaved");
        // At the same time, from two threads.
        std::thread::scope(|scope| {
            let runs: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| output_of(&mut model.session().unwrap(), &prompt)))
                .collect();
            for run in runs {
                assert!(run.join().unwrap() == alone, "{name}, side by side");
            }
        });
    }
}

#[test]
fn a_session_truncated_and_continued_agrees() {
    for name in decoders() {
        let model = open(name, &all_rows());
        let prompt = expected(name).input_ids;
        let mut session = model.session().unwrap();
        let fresh = output_of(&mut session, &prompt);
        for keep in [0, 1, 17, prompt.len() - 1] {
            // The memory contained something else before.
            session.truncate(keep.min(3)).unwrap();
            let other: Vec<u32> = prompt.iter().map(|id| (id + 1) % 256).collect();
            session.prefill(&other[..prompt.len() - 3]).unwrap();
            session.truncate(0).unwrap();
            session.prefill(&prompt[..keep.max(1)]).unwrap();
            session.prefill(&other[..5]).unwrap();
            session.truncate(keep).unwrap();
            let rows = session.logits_width();
            let continued = output_of(&mut session, &prompt[keep..]);
            assert!(continued == fresh[keep * rows..], "{name} from {keep}");
        }
    }
}

#[test]
fn a_fork_continues_as_the_original_would() {
    for name in ["demo", "llama3-rope"] {
        let model = open(name, &all_rows());
        let prompt = expected(name).input_ids;
        let mut session = model.session().unwrap();
        session.prefill(&prompt[..20]).unwrap();
        let mut fork = session.fork().unwrap();
        assert_eq!(bits(fork.logits()), bits(session.logits()));
        session.step(5).unwrap();
        session.step(6).unwrap();
        let forked = output_of(&mut fork, &prompt[20..]);
        session.truncate(20).unwrap();
        assert!(output_of(&mut session, &prompt[20..]) == forked, "{name}");
    }
}

#[test]
fn passes_that_declare_the_same_bits_keep_them() {
    let passes = Passes::builtin().unwrap();
    let names: Vec<String> = passes.names().map(str::to_string).collect();
    for name in ["demo", "llama", "gemma3", "phi", "bert"] {
        let expected = output(name, &all_rows());
        for pass in names
            .iter()
            .filter(|pass| passes.bits(pass) == Some(Bits::Same))
        {
            let options = all_rows().without([pass]);
            assert!(output(name, &options) == expected, "{name} without {pass}");
        }
        let without = names
            .iter()
            .filter(|pass| passes.bits(pass) == Some(Bits::Same));
        let options = all_rows().without(without);
        assert!(
            output(name, &options) == expected,
            "{name} without any of them"
        );
    }
}
