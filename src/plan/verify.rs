//! The plan's verifier: every step reads the values that the graph names, and everything lies where the plan has space
//! for it.
//!
//! The verifier does not trust what the planner found out about lives and buffers: it follows the graph's values
//! through the steps (`values`), and the planner's records must agree with what it finds.

#[cfg(test)]
mod tests;
mod values;

use super::defect::PlanDefect;
use super::model_plan::ModelPlan;
use super::place;
use super::regions::{Cache, Regions};
use crate::graph::Graph;
use crate::kernels::kv_cache::KEY_BLOCK;
use crate::types::{ALIGNMENT, Dim};

/// Check a plan for the graph it was made of.
pub(super) fn verify(graph: &Graph, plan: &ModelPlan) -> Result<(), PlanDefect> {
    let steps = &plan.step;
    place::verify(&steps.buffers, &steps.placement, ALIGNMENT)?;
    values::verify(graph, plan)?;
    verify_scratch(plan)?;
    verify_caches(graph, plan)
}

/// Each thread has scratch of its own, as large as any step needs.
fn verify_scratch(plan: &ModelPlan) -> Result<(), PlanDefect> {
    let steps = &plan.step;
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

/// The table entries of the caches follow each other, pages are large enough, and each cache has space for everything
/// that one step sees and writes, even if each block takes the place of another as a whole.
fn verify_caches(graph: &Graph, plan: &ModelPlan) -> Result<(), PlanDefect> {
    let (context, tokens) = (plan.options.context, plan.step.size.tokens.max(1));
    let Regions { pages, page, .. } = plan.regions;
    let mut free = 0;
    for cache in &plan.caches {
        let name = cache.name.to_string();
        if !is_for_keys(cache, graph) {
            return Err(PlanDefect::Shape { name });
        }
        let seen = cache.window.unwrap_or(context).saturating_add(tokens - 1);
        let kept = seen.saturating_add(KEY_BLOCK - 1);
        let (capacity, needed) = (cache.layout.capacity(), kept.min(context));
        if capacity < needed {
            return Err(PlanDefect::Room {
                name,
                capacity,
                needed,
            });
        }
        let layout = cache.layout;
        let (start, end) = (
            layout.first(),
            layout.first().saturating_add(layout.blocks()),
        );
        if start < free || end > pages {
            return Err(PlanDefect::Entries {
                name,
                start,
                end,
                free,
                pages,
            });
        }
        free = end;
        let (bytes, needed) = [layout.page_floats(), layout.block_floats()]
            .map(|floats| floats.saturating_mul(size_of::<f32>()))
            .into();
        if bytes != page || needed > page || !page.is_multiple_of(ALIGNMENT) {
            return Err(PlanDefect::Page {
                name,
                bytes,
                needed,
                page,
            });
        }
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
