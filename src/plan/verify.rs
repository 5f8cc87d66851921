//! The plan's verifier: every step reads the values that the graph says, and everything lies where the plan has room.
//!
//! It believes nothing that the planner found out about lives and buffers: it follows the graph's values through the steps
//! (`values`), and the records must agree with what it finds.

#[cfg(test)]
mod tests;
mod values;

use super::layout::ModelPlan;
use super::place;
use super::regions::Cache;
use super::step::StepPlan;
use crate::graph::Graph;
use crate::types::{ALIGNMENT, Dim};

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
    /// A cache's bytes are not its own.
    #[error(
        "the cache of \"{name}\" takes bytes {start}..{end} of the arena, which are not free from {free} to {total}"
    )]
    Region {
        /// The node's name.
        name: String,
        /// Its first byte.
        start: usize,
        /// One past its last byte.
        end: usize,
        /// The end of what comes before it.
        free: usize,
        /// The arena's end.
        total: usize,
    },
}

/// Check both step sizes of a plan for the graphs it was made of.
pub(super) fn verify(decode: &Graph, prefill: &Graph, plan: &ModelPlan) -> Result<(), PlanDefect> {
    for (graph, steps) in [(decode, &plan.decode), (prefill, &plan.prefill)] {
        place::verify(&steps.buffers, &steps.placement, ALIGNMENT)?;
        values::verify(graph, plan, steps)?;
        verify_scratch(plan, steps)?;
    }
    verify_caches(prefill, plan)
}

/// Each thread has scratch of its own, as much as any step needs.
fn verify_scratch(plan: &ModelPlan, steps: &StepPlan) -> Result<(), PlanDefect> {
    let (threads, found) = (plan.options.threads, steps.threads);
    if found == 0 || found > threads {
        return Err(PlanDefect::Threads { found, threads });
    }
    let (each, scratch) = (plan.regions.scratch_per_thread, plan.regions.scratch);
    let room = each.checked_mul(threads).is_some_and(|all| all <= scratch);
    let aligned = plan.regions.scratch_of(0).is_multiple_of(ALIGNMENT);
    for step in &steps.steps {
        let needed = step.scratch.saturating_mul(size_of::<f32>());
        if needed > each || !(room && aligned && each.is_multiple_of(ALIGNMENT)) {
            return Err(PlanDefect::Scratch {
                name: step.name.to_string(),
                needed,
                each,
                threads,
                scratch,
            });
        }
    }
    Ok(())
}

/// Caches lie behind one another and behind all else, each with room for what one step sees and writes.
fn verify_caches(graph: &Graph, plan: &ModelPlan) -> Result<(), PlanDefect> {
    let (context, tokens) = (plan.options.context, plan.prefill.tokens.max(1));
    let mut free = plan.regions.activations + plan.regions.scratch;
    let total = plan.regions.total();
    for cache in &plan.caches {
        let name = cache.name.to_string();
        if !is_for_keys(cache, graph) {
            return Err(PlanDefect::Shape { name });
        }
        let seen = cache.window.unwrap_or(context).saturating_add(tokens - 1);
        let (capacity, needed) = (cache.layout.capacity(), seen.min(context));
        if capacity < needed {
            return Err(PlanDefect::Room {
                name,
                capacity,
                needed,
            });
        }
        let (start, end) = (cache.offset, cache.offset.saturating_add(cache.bytes()));
        if start < free || end > total || start % ALIGNMENT != 0 {
            return Err(PlanDefect::Region {
                name,
                start,
                end,
                free,
                total,
            });
        }
        free = end;
    }
    Ok(())
}

/// Whether a cache has the heads, the width and the window of its node's keys.
fn is_for_keys(cache: &Cache, graph: &Graph) -> bool {
    let op = graph.node(cache.node).op();
    let state = op.and_then(|op| Some((op, op.def().state.as_ref()?)));
    state.is_some_and(|(op, state)| {
        let keys = graph.inputs(cache.node).get(state.keys).copied().flatten();
        let layout = cache.layout;
        let row = [layout.kv_heads(), layout.head_dim()].map(Dim::Fixed);
        cache.window == (state.window)(op)
            && keys.is_some_and(|keys| graph.ty(keys).shape.get(1..) == Some(&row[..]))
    })
}
