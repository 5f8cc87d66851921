//! Are requests that don't fit refused with the numbers, without harm to anybody else?

use smallmind::exec::batcher::pages_of;
use smallmind::exec::refused::Refused;
use smallmind::exec::session::StepError;
use smallmind::{EngineOptions, Options};

use crate::common::{argmax, bits, open};

#[test]
fn pages_are_reserved_and_returned() {
    let model = open("llama", &Options::new().sequences(3).context(256));
    let plan = &model.compiled().plan;
    let caches = plan.caches().len();
    let mut batcher = model.batcher(3 * caches).unwrap();
    assert_eq!(pages_of(plan, 65), 2 * caches);
    let long = batcher.open(65).unwrap();
    let (all, needed) = (3 * caches, 2 * caches);
    assert_eq!(
        batcher.open(128),
        Err(Refused::NoPages {
            positions: 128,
            needed,
            free: caches,
            all
        })
    );
    let short = batcher.open(64).unwrap();
    assert!(batcher.open(1).unwrap_err().is_for_now());
    batcher.close(long);
    assert!(batcher.open(128).is_ok());
    // Closing twice changes nothing.
    batcher.close(long);
    batcher.close(short);
    assert_eq!(batcher.pages().1, needed);
}

#[test]
fn what_can_never_fit_is_refused_at_once() {
    let model = open("llama", &Options::new().sequences(2).context(256));
    let plan = &model.compiled().plan;
    let caches = plan.caches().len();
    let mut batcher = model.batcher(2 * caches).unwrap();
    let refused = batcher.open(129).unwrap_err();
    let expected = Refused::TooLong {
        positions: 129,
        needed: 3 * caches,
        all: 2 * caches,
        page: plan.regions().page(),
    };
    assert_eq!(refused, expected);
    assert!(!refused.is_for_now());
    let context = Refused::Context {
        positions: 257,
        context: 256,
    };
    assert_eq!(batcher.open(257), Err(context));
}

#[test]
fn a_sequence_that_is_closed_or_full_is_an_error_and_others_continue() {
    let model = open("llama", &Options::new().sequences(2));
    let pages = 2 * pages_of(&model.compiled().plan, 8);
    let mut batcher = model.batcher(pages).unwrap();
    let (gone, stays) = (batcher.open(8).unwrap(), batcher.open(8).unwrap());
    batcher.push(stays, &[1, 2, 3]).unwrap();
    batcher.push(gone, &[1, 2]).unwrap();
    batcher.close(gone);
    assert_eq!(batcher.push(gone, &[1]), Err(StepError::Gone));
    assert_eq!(batcher.logits(gone), Err(StepError::Gone));
    assert!(batcher.tokens(gone).is_empty());
    // The slot has another sequence now.
    let next = batcher.open(8).unwrap();
    assert_eq!(batcher.push(gone, &[1]), Err(StepError::Gone));
    let full = StepError::ContextFull {
        position: 0,
        context: 8,
        tokens: 9,
    };
    assert_eq!(batcher.push(next, &[1; 9]), Err(full));
    assert_eq!(batcher.push(next, &[]), Err(StepError::Empty));
    let vocabulary = model.vocabulary();
    let unknown = StepError::UnknownToken {
        token: 1 << 30,
        vocabulary,
    };
    assert_eq!(batcher.push(next, &[1 << 30]), Err(unknown));
    batcher.step(usize::MAX).unwrap();
    let mut session = model.session().unwrap();
    let expected = session.prefill(&[1, 2, 3]).unwrap();
    let found = batcher.logits(stays).unwrap().unwrap();
    assert_eq!(
        (bits(found), argmax(found)),
        (bits(expected), argmax(expected))
    );
}

#[test]
fn a_budget_covers_all_bytes_or_is_refused_with_the_numbers() {
    let model = open("llama", &Options::new().sequences(4));
    let whole = model.engine_memory(&EngineOptions::new()).unwrap();
    let plan = &model.compiled().plan;
    assert_eq!(whole.pages, 4 * plan.regions().sequence_pages());
    let half = whole.total - (whole.pages / 2) * (whole.page + whole.page_lists);
    let memory = model
        .engine_memory(&EngineOptions::new().memory(half))
        .unwrap();
    assert_eq!(memory.pages, whole.pages - whole.pages / 2);
    assert!(memory.total <= half);
    let error = model
        .engine_memory(&EngineOptions::new().memory(1000))
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("1000 bytes") && text.contains("64"), "{text}");
}
