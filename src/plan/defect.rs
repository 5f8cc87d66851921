//! What the verifier can find wrong with a plan.

use super::place;

/// A defect of the planner.
#[derive(Debug, thiserror::Error)]
pub enum PlanDefect {
    /// Two buffers share bytes while both live.
    #[error("{0}")]
    Overlap(#[from] place::Overlap),
    /// A node's steps are not there, or not all of them, or in another order.
    #[error("step {phase} of the {phases} of \"{name}\" is missing where it should run")]
    Missing {
        /// The node's name.
        name: String,
        /// Which of the node's steps.
        phase: usize,
        /// How many the node has.
        phases: usize,
    },
    /// An operand is not what the graph says.
    #[error("step {step} (\"{name}\"): operand {operand} is not what the graph has there")]
    Operand {
        /// The step's number.
        step: usize,
        /// The node's name.
        name: String,
        /// The operand's place among those of the op, or the output's.
        operand: usize,
    },
    /// A step reads a value that no earlier step has finished.
    #[error("step {step} (\"{name}\") reads \"{value}\", which nothing has written by then")]
    Unwritten {
        /// The step's number; of the graph's outputs, how many steps there are.
        step: usize,
        /// The node's name.
        name: String,
        /// The value's name.
        value: String,
    },
    /// A step reads bytes that held a value once, and hold another now, or never held it.
    #[error(
        "step {step} (\"{name}\") reads \"{value}\" at byte {offset}, where it does not lie (any more)"
    )]
    Gone {
        /// The step's number; of the graph's outputs, how many steps there are.
        step: usize,
        /// The node's name.
        name: String,
        /// The value's name.
        value: String,
        /// Bytes from the beginning of the activations region.
        offset: usize,
    },
    /// A step writes an output over an operand, or another output, though the op can't.
    #[error("step {step} (\"{name}\") writes output {output} over what its threads still use")]
    Clash {
        /// The step's number.
        step: usize,
        /// The node's name.
        name: String,
        /// The output's place among those of the op.
        output: usize,
    },
    /// A step uses a buffer outside of the life on record.
    #[error("step {step} (\"{name}\") uses a buffer that lives from step {first} to {last}")]
    Dead {
        /// The step's number; of the graph's outputs, how many steps there are.
        step: usize,
        /// The node's name.
        name: String,
        /// First step of the buffer's life.
        first: usize,
        /// Last step of the buffer's life.
        last: usize,
    },
    /// A value does not lie within the activations, or not at a multiple of the alignment.
    #[error("\"{value}\" lies at bytes {start}..{end} of {activations} bytes of activations")]
    Outside {
        /// The value's name.
        value: String,
        /// Its first byte.
        start: usize,
        /// One past its last byte.
        end: usize,
        /// Bytes of the region.
        activations: usize,
    },
    /// A step needs more scratch than a thread has, or the threads' scratch is not there.
    #[error(
        "\"{name}\" needs {needed} bytes of scratch a thread; {threads} threads have {each} each, of {scratch} in all"
    )]
    Scratch {
        /// The node's name.
        name: String,
        /// Bytes it needs.
        needed: usize,
        /// Bytes a thread has.
        each: usize,
        /// Threads that run a step.
        threads: usize,
        /// Bytes of the region.
        scratch: usize,
    },
    /// A step runs on other threads than the plan has.
    #[error("steps run on {found} threads, and the plan has {threads}")]
    Threads {
        /// Threads of the steps.
        found: usize,
        /// Threads of the plan.
        threads: usize,
    },
    /// A node with state has no cache, or that of another.
    #[error("step {step} (\"{name}\") does not use the cache of its node")]
    Cache {
        /// The step's number.
        step: usize,
        /// The node's name.
        name: String,
    },
    /// A cache is for keys of another shape, or for another window.
    #[error("the cache of \"{name}\" is not for the keys that its node has")]
    Shape {
        /// The node's name.
        name: String,
    },
    /// A cache has no room for what a step sees and writes.
    #[error("the cache of \"{name}\" has room for {capacity} positions, and a step needs {needed}")]
    Room {
        /// The node's name.
        name: String,
        /// Positions there is room for.
        capacity: usize,
        /// Positions that a step may see or write.
        needed: usize,
    },
    /// A cache's table entries are not its own.
    #[error(
        "the cache of \"{name}\" takes entries {start}..{end} of a table of {pages}, of which those before {free} are taken"
    )]
    Entries {
        /// The node's name.
        name: String,
        /// Its first entry.
        start: usize,
        /// One past its last entry.
        end: usize,
        /// The end of the entries before.
        free: usize,
        /// Entries of a table.
        pages: usize,
    },
    /// A page that a layer's block does not fit, or whose size is not every page's.
    #[error(
        "a block of the cache of \"{name}\" takes {needed} bytes, its pages have {bytes}, and the plan's {page}"
    )]
    Page {
        /// The node's name.
        name: String,
        /// Bytes from one page to the next, for this layer.
        bytes: usize,
        /// Bytes of its blocks.
        needed: usize,
        /// Bytes of the plan's pages.
        page: usize,
    },
}
