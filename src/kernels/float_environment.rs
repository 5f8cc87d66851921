//! The floating-point environment in which every kernel runs, whatever environment the caller's thread has.

use std::marker::PhantomData;

/// MXCSR after reset: round to nearest even, denormals kept, all exceptions masked, no sticky flag set.
#[cfg(target_arch = "x86_64")]
const DEFAULT: u32 = 0x1F80;

/// While the guard is alive, this thread computes in the default environment: rounding to nearest even, denormals neither
/// read nor written as zero, no traps. Dropping the guard restores the previous environment. On CPUs other than x86-64 it
/// does nothing.
#[must_use = "the environment is restored as soon as this is dropped"]
pub struct FloatEnvironment {
    #[cfg(target_arch = "x86_64")]
    saved: u32,
    /// The register belongs to one thread: a guard must be dropped on the thread that created it.
    thread_bound: PhantomData<*const ()>,
}

impl FloatEnvironment {
    /// Saves this thread's environment and sets the default.
    #[inline]
    pub fn set_default() -> Self {
        #[cfg(target_arch = "x86_64")]
        let saved = {
            let saved = mxcsr::read();
            // SAFETY: this is the environment that Rust code assumes.
            unsafe { mxcsr::write(DEFAULT) };
            saved
        };
        FloatEnvironment {
            #[cfg(target_arch = "x86_64")]
            saved,
            thread_bound: PhantomData,
        }
    }
}

impl Drop for FloatEnvironment {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the value was read from this register on this thread, whose owner had chosen it.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            mxcsr::write(self.saved);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod mxcsr {
    use std::arch::asm;

    /// The MXCSR register.
    #[inline]
    pub fn read() -> u32 {
        let mut value = 0u32;
        // SAFETY: stmxcsr writes four bytes to the address given, which is a live local, and has no other effect.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
        value
    }

    /// Sets the MXCSR register.
    ///
    /// # Safety
    /// `value` has no reserved bit set. Code that runs until the register is set to its default again must not depend on the
    /// default environment, although compiled Rust may.
    #[inline]
    pub unsafe fn write(value: u32) {
        // SAFETY: ldmxcsr reads four bytes from a live local; the caller guarantees a valid value.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags))
        };
    }
}

/// What `body` returns in an environment that flushes to zero, reads denormals as zero and rounds toward zero, and whether
/// `body` leaves that environment unchanged.
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) fn in_foreign<R>(body: impl FnOnce() -> R) -> (R, bool) {
    /// The control bits, without the sticky exception flags.
    const CONTROL: u32 = 0xFFC0;
    const FOREIGN: u32 = DEFAULT | 0x8000 | 0x0040 | 0x6000;
    let saved = mxcsr::read();
    // SAFETY: no reserved bits are set; the code that runs until the register is restored tests which environment is active,
    // and does not depend on the answer.
    unsafe { mxcsr::write(FOREIGN) };
    let result = body();
    let kept = mxcsr::read() & CONTROL == FOREIGN;
    // SAFETY: restores what was read above.
    unsafe { mxcsr::write(saved) };
    (result, kept)
}

/// Whether this thread keeps denormals and rounds to nearest, tested by a computation.
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) fn is_default() -> bool {
    use std::hint::black_box;
    let half = black_box(f32::MIN_POSITIVE) * black_box(0.5);
    let nearest = black_box(1.0f32) + black_box(0.75 * f32::EPSILON);
    half.to_bits() == 0x0040_0000 && nearest.to_bits() == 0x3F80_0001
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn a_guard_sets_the_default_and_restores_the_previous_environment() {
        let (around, kept) = in_foreign(|| {
            let before = is_default();
            let guard = FloatEnvironment::set_default();
            let inside = is_default();
            drop(guard);
            [before, inside, is_default()]
        });
        assert_eq!((around, kept), ([false, true, false], true));
    }

    #[test]
    fn a_panic_restores_the_environment_too() {
        let (inside, kept) = in_foreign(|| {
            let panicked = std::panic::catch_unwind(|| {
                let _guard = FloatEnvironment::set_default();
                std::panic::resume_unwind(Box::new(is_default()));
            });
            panicked
                .unwrap_err()
                .downcast::<bool>()
                .is_ok_and(|inside| *inside)
        });
        assert!(inside && kept);
    }
}
