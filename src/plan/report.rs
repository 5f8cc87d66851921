//! What a plan says about memory, in numbers that people and programs read.

use std::fmt;

use serde::Serialize;
use smallvec::SmallVec;

use super::model_plan::ModelPlan;
use super::step::{StepPlan, WeightNeed};
use crate::kernels::kv_cache::KEY_BLOCK;
use crate::kernels::packed::{PackedMatrix, packed_type};
use crate::kernels::quantized::QuantizedMatrix;
use crate::ops::WeightForm;
use crate::types::StepSize;

/// All memory of a plan, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryReport {
    /// Positions that the caches hold.
    pub context: usize,
    /// The most tokens of a prompt step.
    pub chunk: usize,
    /// The most texts that a step reads side by side.
    pub texts: usize,
    /// The most sequences that a step of an engine reads side by side.
    pub sequences: usize,
    /// Threads.
    pub threads: usize,
    /// Bytes of the tensors in the weight file that the model reads.
    pub weights: usize,
    /// Bytes of weights packed into panels.
    pub packed_weights: usize,
    /// Bytes of weights held as dense f32 (gains, biases).
    pub dense_weights: usize,
    /// Bytes of tables read where the file has them.
    pub mapped_weights: usize,
    /// What every step runs.
    pub step: StepReport,
    /// Bytes of the activations region.
    pub activations: usize,
    /// Bytes of scratch, all threads together.
    pub scratch: usize,
    /// Bytes of keys and values.
    pub kv_cache: usize,
    /// Layers that keep keys and values.
    pub caches: usize,
    /// Bytes of a page: the keys and values of 64 positions of one layer.
    pub page: usize,
    /// Bytes that an engine needs for each page besides the page itself.
    pub page_lists: usize,
    /// Pages of a sequence that fills the context.
    pub sequence_pages: usize,
    /// Bytes of an engine's lists for each sequence.
    pub sequence_lists: usize,
    /// Layers that keep only the rows their windows see, not those of the whole context.
    pub windowed_layers: usize,
    /// Bytes that keys and values would take if those layers kept all rows.
    pub kv_cache_without_windows: usize,
    /// Bytes of the arena: activations, scratch and caches.
    pub arena: usize,
    /// Bytes of a session's lists beside the arena: its tokens, its table of pages, and where texts begin.
    pub session_lists: usize,
    /// An estimate of the tokenizer's bytes: its tables are made by another library.
    pub tokenizer_estimate: usize,
    /// Bytes of everything that the model and one session keep in memory: weights as they are read, tables, arena,
    /// lists and tokenizer. The program itself is not counted.
    pub total: usize,
}

/// The steps of a plan, and their activations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StepReport {
    /// The most tokens of a step.
    pub tokens: usize,
    /// Threads that run a step of one token: one where more would slow it down.
    pub decode_threads: usize,
    /// Threads that run a step of the most tokens.
    pub prefill_threads: usize,
    /// How many kernels run in a step, one after the other.
    pub steps: usize,
    /// Bytes used.
    pub bytes: usize,
    /// The most bytes that live at once: no plan needs less.
    pub lower_bound: usize,
    /// Bytes that would be needed if each value had a buffer of its own.
    pub without_reuse: usize,
}

impl StepReport {
    fn new(plan: &StepPlan) -> Self {
        StepReport {
            tokens: plan.size.tokens,
            decode_threads: plan.threads(1),
            prefill_threads: plan.threads(plan.size.tokens),
            steps: plan.steps.len(),
            bytes: plan.placement.bytes,
            lower_bound: plan.placement.lower_bound,
            without_reuse: plan.unshared,
        }
    }

    /// How far the plan is above the lower bound, in percent.
    pub fn distance(&self) -> f64 {
        if self.lower_bound == 0 {
            0.0
        } else {
            (self.bytes as f64 / self.lower_bound as f64 - 1.0) * 100.0
        }
    }
}

impl MemoryReport {
    /// The memory of `plan`, for a model whose tensors in use take `weights` bytes in their file.
    pub fn new(plan: &ModelPlan, weights: usize) -> Self {
        let sum = |forms: &[WeightForm]| {
            let weights = plan.weights.iter();
            let weights = weights.filter(|need| forms.contains(&need.form));
            let weights = weights.filter(|need| !need.is_shared(&plan.weights));
            weights.map(WeightNeed::bytes).sum()
        };
        let context = plan.options.context;
        let caches = plan.caches.iter();
        let rings = caches
            .clone()
            .filter(|cache| cache.layout.capacity() < context);
        let whole = caches.fold(0usize, |sum, cache| {
            let rows = context
                .next_multiple_of(KEY_BLOCK)
                .max(cache.layout.capacity());
            sum.saturating_add(cache.layout.row_bytes().saturating_mul(rows))
        });
        let report = MemoryReport {
            context,
            chunk: plan.options.chunk,
            texts: plan.texts(),
            sequences: plan.sequences(),
            threads: plan.options.threads,
            weights,
            packed_weights: sum(&[WeightForm::Packed, WeightForm::Quantized]),
            dense_weights: sum(&[WeightForm::Constant]),
            mapped_weights: sum(&[WeightForm::Table]),
            step: StepReport::new(&plan.step),
            activations: plan.regions.activations,
            scratch: plan.regions.scratch,
            kv_cache: plan.regions.kv_cache(),
            caches: plan.caches.len(),
            page: plan.regions.page(),
            page_lists: plan.engine_lists().page,
            sequence_pages: plan.regions.sequence_pages(),
            sequence_lists: plan.engine_lists().sequence,
            windowed_layers: rings.count(),
            kv_cache_without_windows: whole,
            arena: plan.regions.total(),
            session_lists: plan.session_lists().bytes(),
            tokenizer_estimate: 0,
            total: 0,
        };
        report.with_tokenizer(0)
    }

    /// The same report with a tokenizer that takes about `tokenizer_estimate` bytes.
    #[must_use]
    pub fn with_tokenizer(self, tokenizer_estimate: usize) -> Self {
        let parts = [
            self.packed_weights,
            self.dense_weights,
            self.mapped_weights,
            self.arena,
            self.session_lists,
            tokenizer_estimate,
        ];
        MemoryReport {
            tokenizer_estimate,
            total: parts.into_iter().fold(0, usize::saturating_add),
            ..self
        }
    }
}

impl WeightNeed {
    /// Bytes of the weight in the form in which it is read.
    pub fn bytes(&self) -> usize {
        let ty = &self.ty;
        let dims: SmallVec<[usize; 4]> =
            ty.shape.iter().map(|d| d.resolve(StepSize::ONE)).collect();
        match (self.form, &dims[..], ty.dtype.blocks()) {
            (WeightForm::Constant, ..) => ty.elements(StepSize::ONE) * size_of::<f32>(),
            (WeightForm::Table, ..) => ty.bytes(StepSize::ONE),
            (WeightForm::Quantized, &[rows, cols], Some(format)) => {
                QuantizedMatrix::bytes_for(rows, cols, format)
            }
            (_, &[rows, cols], _) => PackedMatrix::bytes_for(rows, cols, packed_type(ty.dtype)),
            _ => 0,
        }
    }
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, what: &str, bytes: usize| {
            writeln!(f, "{what:<34}{bytes:>16}  {:>11}", human(bytes))
        };
        writeln!(
            f,
            "context {}, prompt chunk {}, threads {}\n",
            self.context, self.chunk, self.threads
        )?;
        writeln!(f, "{:<34}{:>16}", "", "bytes")?;
        line(f, "weights in the file", self.weights)?;
        line(f, "  packed into panels", self.packed_weights)?;
        line(f, "  dense f32", self.dense_weights)?;
        line(f, "  tables read from the file", self.mapped_weights)?;
        line(f, "arena", self.arena)?;
        line(f, "  activations", self.activations)?;
        line(f, "  scratch", self.scratch)?;
        line(f, "  KV cache", self.kv_cache)?;
        if self.windowed_layers > 0 {
            let what = format!("    without windows ({} layers)", self.windowed_layers);
            line(f, &what, self.kv_cache_without_windows)?;
        }
        line(f, "lists of a session", self.session_lists)?;
        if self.tokenizer_estimate > 0 {
            line(f, "tokenizer (an estimate)", self.tokenizer_estimate)?;
        }
        line(f, "total in memory", self.total)?;
        let step = &self.step;
        writeln!(
            f,
            "\n{} steps for up to {} tokens; {} for one token, {} for the most",
            step.steps,
            step.tokens,
            threads(step.decode_threads),
            threads(step.prefill_threads)
        )?;
        line(f, "  activations", step.bytes)?;
        line(f, "  lower bound (most live at once)", step.lower_bound)?;
        writeln!(f, "  distance to it {:>34.2} %", step.distance())?;
        line(f, "  without any reuse", step.without_reuse)
    }
}

/// A number of threads in words.
fn threads(count: usize) -> String {
    match count {
        1 => "1 thread".to_string(),
        count => format!("{count} threads"),
    }
}

/// Bytes in the unit that suits them.
pub(crate) fn human(bytes: usize) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{size:.1} {}", units[unit])
    }
}
