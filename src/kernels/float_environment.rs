//! The floating-point environment in which every kernel runs, whatever the caller's thread was set to.

use std::marker::PhantomData;

/// MXCSR after reset: round to nearest even, denormals kept, all exceptions masked, no sticky flag set.
#[cfg(target_arch = "x86_64")]
const DEFAULT: u32 = 0x1F80;

/// While it lives, this thread computes in the default environment: round to nearest even, denormals neither read nor
/// written as zero, no traps. Dropping it restores what was set before. Does nothing on CPUs other than x86-64.
#[must_use = "the environment is restored as soon as this is dropped"]
pub struct FloatEnvironment {
    #[cfg(target_arch = "x86_64")]
    saved: u32,
    /// The register belongs to one thread: a guard must be dropped on the thread that made it.
    thread_bound: PhantomData<*const ()>,
}

impl FloatEnvironment {
    /// Save this thread's environment and set the default.
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
        // SAFETY: the value was read from this register on this thread, whose owner chose it.
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

    /// Set the MXCSR register.
    ///
    /// # Safety
    /// `value` has no reserved bit set. Code that runs until the register is set to its default again must not depend
    /// on the default environment, as compiled Rust may.
    #[inline]
    pub unsafe fn write(value: u32) {
        // SAFETY: ldmxcsr reads four bytes from a live local; the caller vouches for their meaning.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags))
        };
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use std::hint::black_box;

    /// Flush to zero, denormals are zero, round toward zero.
    const FOREIGN: u32 = DEFAULT | 0x8000 | 0x0040 | 0x6000;
    /// The control bits, without the sticky exception flags.
    const CONTROL: u32 = 0xFFC0;

    fn with_mxcsr<R>(value: u32, body: impl FnOnce() -> R) -> R {
        let saved = mxcsr::read();
        // SAFETY: no reserved bits; the bodies below do no arithmetic of which a test depends on the default.
        unsafe { mxcsr::write(value) };
        let result = body();
        // SAFETY: restores what was read above.
        unsafe { mxcsr::write(saved) };
        result
    }

    fn half_of_smallest_normal() -> f32 {
        black_box(black_box(f32::MIN_POSITIVE) * black_box(0.5))
    }

    #[test]
    fn a_guard_keeps_denormals_where_the_caller_flushes_them() {
        let (before, inside, after) = with_mxcsr(FOREIGN, || {
            let before = half_of_smallest_normal();
            let guard = FloatEnvironment::set_default();
            let inside = half_of_smallest_normal();
            drop(guard);
            (before, inside, half_of_smallest_normal())
        });
        assert_eq!((before.to_bits(), after.to_bits()), (0, 0));
        assert_eq!(inside.to_bits(), 0x0040_0000);
    }

    #[test]
    fn a_panic_restores_the_callers_environment() {
        let after = with_mxcsr(FOREIGN, || {
            let panicked = std::panic::catch_unwind(|| {
                let _guard = FloatEnvironment::set_default();
                std::panic::resume_unwind(Box::new(mxcsr::read() & CONTROL));
            });
            let inside = panicked.unwrap_err().downcast::<u32>().unwrap();
            (*inside, mxcsr::read() & CONTROL)
        });
        assert_eq!(after, (DEFAULT, FOREIGN));
    }
}
