//! Work that is done at the same time as other work, on its own thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Builder;

/// Runs both and returns both results. `other` runs on the thread of `builder`, which has ended when this function returns,
/// however `here` ends; if the system refuses the thread, it runs after `here`. The error is what `other` panicked with.
pub(super) fn beside<A, B: Send>(
    builder: Builder,
    here: impl FnOnce() -> A,
    other: impl Fn() -> B + Sync,
) -> (A, Result<B, String>) {
    let other = || catch_unwind(AssertUnwindSafe(&other)).map_err(message);
    std::thread::scope(|scope| {
        let started = builder.spawn_scoped(scope, other);
        let here = here();
        let other = match started {
            Err(_) => other(),
            Ok(thread) => thread.join().unwrap_or_else(|panic| Err(message(panic))),
        };
        (here, other)
    })
}

/// The text that a panic carries.
fn message(panic: Box<dyn Any + Send>) -> String {
    let fixed = panic.downcast_ref::<&str>().map(|text| text.to_string());
    let text = fixed.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{panic_any, resume_unwind};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    /// A builder whose thread the system refuses, because no address space has room for its stack.
    fn refused() -> Builder {
        Builder::new().stack_size(1 << 60)
    }

    #[test]
    fn the_work_is_done_on_a_thread_of_its_own() {
        let builder = Builder::new().name("aside".to_string());
        let name = || thread::current().name().map(str::to_string);
        assert_eq!(
            beside(builder, || 7, name),
            (7, Ok(Some("aside".to_string())))
        );
    }

    #[test]
    fn where_the_thread_is_refused_the_caller_does_the_work() {
        assert!(refused().spawn(|| ()).is_err());
        let here = || thread::current().id();
        let own = thread::current().id();
        assert_eq!(beside(refused(), here, here), (own, Ok(own)));
    }

    #[test]
    fn a_panic_is_an_error_with_its_message_on_either_thread() {
        for builder in [Builder::new, refused] {
            let error = |panic: fn() -> u32| beside(builder(), || (), panic).1.unwrap_err();
            assert_eq!(error(|| panic!("{} is odd", 7)), "7 is odd");
            assert_eq!(error(|| panic_any("fixed")), "fixed");
            assert_eq!(error(|| panic_any(7)), "a panic without a message");
        }
    }

    #[test]
    fn the_thread_has_ended_however_the_other_work_ends() {
        let done = AtomicBool::new(false);
        let slow = || {
            thread::sleep(Duration::from_millis(50));
            done.store(true, Ordering::Release);
        };
        let failed: Result<(), ()> = beside(Builder::new(), || Err(()), slow).0;
        assert!(failed.is_err() && done.swap(false, Ordering::AcqRel));
        let panics = || beside(Builder::new(), || resume_unwind(Box::new(7)), slow);
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert!(done.load(Ordering::Acquire));
    }
}
