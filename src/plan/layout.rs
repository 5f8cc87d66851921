//! The whole plan: the steps, and the regions of the one arena that all sizes of steps share.

use super::defect::PlanDefect;
use super::draft::Scheduler;
use super::model_plan::ModelPlan;
use super::options::PlanOptions;
use super::regions::{Cache, Regions};
use super::verify::verify;
use crate::graph::{Graph, is_bidirectional, keeps_sequences_apart};
use crate::kernels::kv_cache::{KEY_BLOCK, KvLayout};
use crate::types::{ALIGNMENT, Dim, Type};

/// Bytes between the scratch of two threads, so that they share neither a cache line nor a pair of lines that is
/// fetched together.
const THREAD_ALIGNMENT: usize = 128;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A node that no kernel can run.
    #[error("{0}")]
    Node(String),
    /// More memory than can be addressed.
    #[error(
        "the plan needs more memory than this machine can address (context {context}, chunk {chunk})"
    )]
    TooLarge {
        /// The context asked for.
        context: usize,
        /// The chunk asked for.
        chunk: usize,
    },
    /// A defect of the planner.
    #[error("the plan is wrong: {0}")]
    Defect(#[from] PlanDefect),
}

impl ModelPlan {
    /// Plan a model's graph, and verify the plan.
    pub fn new(graph: &Graph, options: PlanOptions) -> Result<ModelPlan, PlanError> {
        let too_large = || PlanError::TooLarge {
            context: options.context,
            chunk: options.chunk,
        };
        let bidirectional = is_bidirectional(graph);
        let sequences = match (keeps_sequences_apart(graph), bidirectional) {
            (true, true) => options.chunk.max(1),
            (true, false) => options.sequences.clamp(1, options.chunk.max(1)),
            (false, _) => 1,
        };
        let mut scheduler = Scheduler::new(graph);
        let step = scheduler.plan(&options).map_err(PlanError::Node)?;
        let activations = step.placement.bytes;
        if activations >= isize::MAX as usize / 2 {
            return Err(too_large());
        }
        let activations = activations.next_multiple_of(THREAD_ALIGNMENT);
        let scratch_floats = step.steps.iter().map(|s| s.scratch).max().unwrap_or(0);
        let scratch_per_thread = scratch_floats
            .checked_mul(size_of::<f32>())
            .and_then(|bytes| bytes.checked_next_multiple_of(THREAD_ALIGNMENT))
            .ok_or_else(too_large)?;
        let scratch = scratch_per_thread
            .checked_mul(options.threads)
            .filter(|&bytes| bytes < isize::MAX as usize / 4);
        let scratch = scratch.ok_or_else(too_large)?;
        let mut caches: Vec<Cache> = Vec::new();
        let mut pages = 0usize;
        for &node in &scheduler.stateful {
            let op = graph.node(node).op();
            let Some((op, state)) = op.and_then(|op| Some((op, op.def().state.as_ref()?))) else {
                continue;
            };
            let window = (state.window)(op);
            let keys = graph.inputs(node).get(state.keys).copied().flatten();
            let layout = keys.and_then(|keys| cache_layout(graph.ty(keys), window, &options));
            let layout = layout.ok_or_else(too_large)?;
            caches.push(Cache {
                node,
                name: graph.node(node).name().clone(),
                layout: layout.placed(pages, layout.block_floats()),
                window,
            });
            pages = pages.checked_add(layout.blocks()).ok_or_else(too_large)?;
        }
        // All pages have one size, so that each page can serve any layer.
        let floats = caches.iter().map(|cache| cache.layout.block_floats()).max();
        let floats = floats
            .unwrap_or(0)
            .next_multiple_of(ALIGNMENT / size_of::<f32>());
        for cache in &mut caches {
            cache.layout = cache.layout.placed(cache.layout.first(), floats);
        }
        let page = floats.checked_mul(size_of::<f32>()).ok_or_else(too_large)?;
        let kv_cache = pages.checked_mul(page).ok_or_else(too_large)?;
        if kv_cache > isize::MAX as usize / 2 || u32::try_from(pages).is_err() {
            return Err(too_large());
        }
        let regions = Regions {
            activations,
            scratch,
            pages,
            page,
            scratch_per_thread,
        };
        let plan = ModelPlan {
            step,
            regions,
            caches,
            weights: scheduler.weights,
            bidirectional,
            sequences,
            options,
        };
        verify(graph, &plan)?;
        Ok(plan)
    }
}

/// Positions that a cache keeps: all of the context, or, where queries see a window, the positions that a step of
/// `chunk` tokens sees and writes, and a block without one. A block takes the place of another as a whole where their
/// page is shared, so the other must be out of sight of the step's first token when the step writes the block's first
/// row. Then a whole block also still exists when the step that writes its last row is done.
fn cache_positions(window: Option<usize>, options: &PlanOptions) -> usize {
    let kept = window.map(|window| {
        window
            .saturating_add(options.chunk.max(1) - 1)
            .saturating_add(KEY_BLOCK - 1)
    });
    kept.map_or(options.context, |kept| kept.min(options.context))
}

/// The layout of a cache for `keys`, [T, kv_heads, head_dim].
fn cache_layout(keys: &Type, window: Option<usize>, options: &PlanOptions) -> Option<KvLayout> {
    let [_, Dim::Fixed(kv_heads), Dim::Fixed(head_dim)] = keys.shape[..] else {
        return None;
    };
    let positions = cache_positions(window, options);
    positions
        .checked_mul(kv_heads)?
        .checked_mul(head_dim)?
        .checked_mul(16)?;
    Some(KvLayout::new(kv_heads, head_dim, positions))
}
