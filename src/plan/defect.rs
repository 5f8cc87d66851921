//! What the verifier can find wrong with a plan.

use super::place;

/// A defect of the planner.
#[derive(Debug, thiserror::Error)]
pub enum PlanDefect {
    /// Two buffers share bytes while both live.
    #[error("{0}")]
    Overlap(#[from] place::Overlap),
    /// Steps of a node are missing or in the wrong order.
    #[error("step {phase} of the {phases} of \"{name}\" is missing where it should run")]
    Missing {
        /// The node's name.
        name: String,
        /// Which of the node's steps.
        phase: usize,
        /// How many steps the node has.
        phases: usize,
    },
    /// An operand is not what the graph says.
    #[error("step {step} (\"{name}\"): operand {operand} is not the one that the graph names")]
    Operand {
        /// The step's number.
        step: usize,
        /// The node's name.
        name: String,
        /// The operand's place among the op's operands, or the output's place.
        operand: usize,
    },
    /// A step reads a value that no earlier step has finished.
    #[error("step {step} (\"{name}\") reads \"{value}\", which no earlier step has written")]
    Unwritten {
        /// The step's number; for the graph's outputs, the number of steps.
        step: usize,
        /// The node's name.
        name: String,
        /// The value's name.
        value: String,
    },
    /// A step reads bytes that never held the value, or hold another value now.
    #[error(
        "step {step} (\"{name}\") reads \"{value}\" at byte {offset}, but those bytes do not hold it"
    )]
    Gone {
        /// The step's number; for the graph's outputs, the number of steps.
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
        /// The output's place among the op's outputs.
        output: usize,
    },
    /// A step uses a buffer outside its recorded life.
    #[error("step {step} (\"{name}\") uses a buffer that lives from step {first} to {last}")]
    Dead {
        /// The step's number; for the graph's outputs, the number of steps.
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
    /// A step needs more scratch than a thread has, or the region is too small for the threads' scratch.
    #[error(
        "\"{name}\" needs {needed} bytes of scratch per thread; {threads} threads have {each} bytes each, and the region has {scratch} in all"
    )]
    Scratch {
        /// The node's name.
        name: String,
        /// Bytes that the node needs.
        needed: usize,
        /// Bytes a thread has.
        each: usize,
        /// Threads that run a step.
        threads: usize,
        /// Bytes of the region.
        scratch: usize,
    },
    /// A step runs on a different number of threads than the plan has.
    #[error("steps run on {found} threads, but the plan has {threads}")]
    Threads {
        /// Threads of the steps.
        found: usize,
        /// Threads of the plan.
        threads: usize,
    },
    /// A node with state has no cache, or another node's cache.
    #[error("step {step} (\"{name}\") does not use the cache of its node")]
    Cache {
        /// The step's number.
        step: usize,
        /// The node's name.
        name: String,
    },
    /// A cache is for keys of another shape, or for another window.
    #[error("the cache of \"{name}\" does not fit the keys of its node")]
    Shape {
        /// The node's name.
        name: String,
    },
    /// A cache has too few positions for what a step sees and writes.
    #[error("the cache of \"{name}\" has {capacity} positions, but a step needs {needed}")]
    Room {
        /// The node's name.
        name: String,
        /// Positions that the cache holds.
        capacity: usize,
        /// Positions that a step may see or write.
        needed: usize,
    },
    /// A cache's table entries belong to another cache.
    #[error(
        "the cache of \"{name}\" takes entries {start}..{end} of a table of {pages}, but the entries before {free} are taken"
    )]
    Entries {
        /// The node's name.
        name: String,
        /// Its first entry.
        start: usize,
        /// One past its last entry.
        end: usize,
        /// The end of the entries of the caches before it.
        free: usize,
        /// Entries of the table.
        pages: usize,
    },
    /// A layer's block does not fit its page, or the page differs in size from the plan's pages.
    #[error(
        "a block of the cache of \"{name}\" takes {needed} bytes, its pages have {bytes}, and the plan's pages have {page}"
    )]
    Page {
        /// The node's name.
        name: String,
        /// Bytes from one page to the next, for this layer.
        bytes: usize,
        /// Bytes of the layer's blocks.
        needed: usize,
        /// Bytes of the plan's pages.
        page: usize,
    },
}
