//! Lists of operands for the steps that have many: allocated with the session, so that no step allocates.

use std::mem::ManuallyDrop;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::kernels::call::{Operand, View};
use crate::plan::FrameSizes;

/// Memory for one operand.
type InputRoom = [usize; size_of::<Operand<'static>>() / size_of::<usize>()];
/// Memory for one output.
type OutputRoom = [usize; size_of::<View<'static>>() / size_of::<usize>()];

/// Two lists for each thread.
pub struct Frames {
    threads: Vec<Mutex<Frame>>,
}

/// The memory of two lists, empty between steps.
struct Frame {
    inputs: Vec<InputRoom>,
    outputs: Vec<OutputRoom>,
}

impl Frames {
    /// Lists as long as the plan states.
    pub fn new(sizes: FrameSizes) -> Frames {
        let frame = |_| {
            Mutex::new(Frame {
                inputs: Vec::with_capacity(sizes.inputs()),
                outputs: Vec::with_capacity(sizes.outputs()),
            })
        };
        let threads = (0..sizes.threads()).map(frame).collect();
        Frames { threads }
    }

    /// Bytes that the lists can hold.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let frames = self.threads.iter().map(lock).map(|frame| {
            let inputs = frame.inputs.capacity() * size_of::<InputRoom>();
            inputs + frame.outputs.capacity() * size_of::<OutputRoom>()
        });
        frames.sum()
    }

    /// Calls `work` with the lists of `thread`, empty. A thread without lists gets new ones that grow.
    pub(super) fn with<'a>(
        &self,
        thread: usize,
        work: impl FnOnce(&mut Vec<Operand<'a>>, &mut Vec<View<'a>>),
    ) {
        let Some(frame) = self.threads.get(thread) else {
            return work(&mut Vec::new(), &mut Vec::new());
        };
        let mut frame = lock(frame);
        let mut inputs = emptied(std::mem::take(&mut frame.inputs));
        let mut outputs = emptied(std::mem::take(&mut frame.outputs));
        work(&mut inputs, &mut outputs);
        frame.inputs = emptied(inputs);
        frame.outputs = emptied(outputs);
    }
}

fn lock(frame: &Mutex<Frame>) -> MutexGuard<'_, Frame> {
    frame.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The memory of `list` as an empty list of items of the same size.
fn emptied<A: Copy, B: Copy>(list: Vec<A>) -> Vec<B> {
    const { assert!(size_of::<A>() == size_of::<B>() && align_of::<A>() == align_of::<B>()) };
    let mut list = ManuallyDrop::new(list);
    // SAFETY: this is the memory of a list that nobody else has, with capacity for as many items of the same size and
    // alignment. The new list has none of them, and the old items had nothing to drop.
    unsafe { Vec::from_raw_parts(list.as_mut_ptr().cast(), 0, list.capacity()) }
}
