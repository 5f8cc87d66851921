//! From dot products of queries and keys to scores.

use std::ops::Range;

use super::math;
use super::simd::Simd;

/// How dot products become scores, and which keys are visible.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scoring {
    pub scale: f32,
    pub causal: bool,
    pub window: Option<usize>,
    pub softcap: Option<f32>,
}

impl Scoring {
    /// The keys below `context` that the query at `position` sees.
    #[inline(always)]
    pub fn visible(&self, position: usize, context: usize) -> Range<usize> {
        if !self.causal {
            return 0..context;
        }
        let end = context.min(position + 1);
        let start = self
            .window
            .map_or(0, |window| (position + 1).saturating_sub(window));
        start.min(end)..end
    }

    /// The scores for the dot products `dot`.
    #[inline(always)]
    pub fn apply<S: Simd>(&self, simd: S, dot: S::F32) -> S::F32 {
        let score = simd.mul(dot, simd.splat(self.scale));
        match self.softcap {
            Some(softcap) => {
                let softcap = simd.splat(softcap);
                simd.mul(softcap, math::tanh(simd, simd.div(score, softcap)))
            }
            None => score,
        }
    }
}
