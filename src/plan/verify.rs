//! The plan's verifier: buffers that live together never overlap, and every read was written.

use std::collections::{HashMap, HashSet};

use super::layout::ModelPlan;
use super::place;
use super::schedule::{Source, StepPlan};
use crate::graph::{Graph, Kind, Value};
use crate::types::ALIGNMENT;

/// A defect of the planner.
#[derive(Debug, thiserror::Error)]
pub enum PlanDefect {
    /// Two buffers share bytes while both live.
    #[error("{0}")]
    Overlap(#[from] place::Overlap),
    /// A step reads bytes that no earlier step wrote.
    #[error("step {step} (\"{name}\") reads bytes {offset} that nothing has written")]
    Unwritten {
        /// The step's number.
        step: usize,
        /// The node's name.
        name: String,
        /// Bytes from the beginning of the activations region.
        offset: usize,
    },
    /// A step uses a buffer outside of the life on record.
    #[error("step {step} (\"{name}\") uses a buffer that lives from step {first} to {last}")]
    Dead {
        /// The step's number.
        step: usize,
        /// The node's name.
        name: String,
        /// First step of the buffer's life.
        first: usize,
        /// Last step of the buffer's life.
        last: usize,
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
pub fn verify(decode: &Graph, prefill: &Graph, plan: &ModelPlan) -> Result<(), PlanDefect> {
    verify_steps(decode, &plan.decode)?;
    verify_steps(prefill, &plan.prefill)?;
    verify_caches(plan)
}

/// Caches lie behind one another and behind all else, each with room for what one step sees and writes.
fn verify_caches(plan: &ModelPlan) -> Result<(), PlanDefect> {
    let (context, tokens) = (plan.options.context, plan.prefill.tokens.max(1));
    let mut free = plan.regions.activations + plan.regions.scratch;
    let total = plan.regions.total();
    for cache in &plan.caches {
        let name = cache.name.to_string();
        let seen = cache.window.unwrap_or(context).saturating_add(tokens - 1);
        let (capacity, needed) = (cache.layout.capacity(), seen.min(context));
        if capacity < needed {
            return Err(PlanDefect::Room {
                name,
                capacity,
                needed,
            });
        }
        let (start, end) = (cache.offset, cache.offset + cache.bytes());
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

fn verify_steps(graph: &Graph, plan: &StepPlan) -> Result<(), PlanDefect> {
    place::verify(&plan.buffers, &plan.placement, ALIGNMENT)?;
    // Values whose bytes hold what they should, by the memory they lie in.
    let mut written: HashSet<usize> = HashSet::new();
    for id in graph.ids().filter(|&id| graph.node(id).kind == Kind::Input) {
        written.extend(plan.buffer_of.get(&Value::from(id)));
    }
    // The buffers at an offset by their first steps. At most one with bytes lives at a time.
    let mut buffers_at: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut by_first: Vec<usize> = (0..plan.buffers.len()).collect();
    by_first.sort_by_key(|&i| plan.buffers[i].first);
    for index in by_first {
        let offset = plan.placement.offsets[index];
        buffers_at.entry(offset).or_default().push(index);
    }
    let buffer_at = |offset: usize, step: usize| {
        let buffers = buffers_at.get(&offset)?;
        let begun = buffers.partition_point(|&i| plan.buffers[i].first <= step);
        let mut begun = buffers.iter().take(begun).rev().copied();
        begun.find(|&i| plan.buffers[i].last >= step)
    };
    for (number, step) in plan.steps.iter().enumerate() {
        let reads = step.inputs.iter().filter_map(|source| match source {
            Source::Arena(slot) => Some(slot.offset),
            _ => None,
        });
        for offset in reads {
            if !buffer_at(offset, number).is_some_and(|buffer| written.contains(&buffer)) {
                return Err(PlanDefect::Unwritten {
                    step: number,
                    name: step.name.to_string(),
                    offset,
                });
            }
        }
        for output in 0..step.outputs.len() {
            let value = Value {
                node: step.node,
                output,
            };
            let Some(&buffer) = plan.buffer_of.get(&value) else {
                continue;
            };
            let life = &plan.buffers[buffer];
            if !(life.first..=life.last).contains(&number) {
                let (first, last) = (life.first, life.last);
                return Err(PlanDefect::Dead {
                    step: number,
                    name: step.name.to_string(),
                    first,
                    last,
                });
            }
            written.insert(buffer);
        }
    }
    Ok(())
}
