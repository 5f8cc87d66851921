//! One 32-block of 16 rows, and how its product with the block of a token is added to the chain: see `mod.rs`.

use std::cell::Cell;

use super::activations::{INT8_BLOCK_WORDS, pair};
use crate::kernels::simd::{LANES, Simd};

/// Words of quants in a 32-block.
pub(super) const WORDS: usize = 8;

/// How the blocks of a format are multiplied: the fields of [`Block`], and the formula.
pub(super) trait Kind: Send + Sync + 'static {
    /// At most 6: weights are bytes below 2^BITS. Or 8: weights are any signed byte, as returned by `signed_bytes`.
    const BITS: u32;
    /// The zero point that is subtracted from each weight.
    const ZERO: i32;
    /// Whether each half of 16 elements has an integer factor of its own.
    const HALVES: bool;
    /// Whether a minimum is subtracted from each element.
    const MINIMUM: bool;
    /// The number of 16-lane vectors in a stored block.
    const STORED: usize =
        WORDS + 1 + if Self::HALVES { 2 } else { 0 } + if Self::MINIMUM { 1 } else { 0 } + {
            if Self::HALVES && Self::MINIMUM { 1 } else { 0 }
        };
}

/// The most vectors in a stored block of any kind, on any instruction set.
pub(super) const MOST_STORED: usize = 2 * WORDS + 1;

/// Whether weights of kind `K` are widened to i16 for several tokens.
const fn widens<S: Simd, K: Kind>() -> bool {
    K::BITS == 8 && S::WIDENS_SIGNED
}

/// The number of 16-lane vectors in a block of kind `K` as [`Block::store`] writes it.
pub(super) const fn stored<S: Simd, K: Kind>() -> usize {
    K::STORED + if widens::<S, K>() { WORDS } else { 0 }
}

/// A 32-block of a panel, unpacked. Fields that a kind does not have are zero and are not read.
#[derive(Clone, Copy)]
pub(super) struct Block<S: Simd> {
    /// Byte c of word i: the weight of element 4i + c.
    pub(super) weights: [S::I32; WORDS],
    /// d in the formulas.
    pub(super) scale: S::F32,
    /// m in the formulas; M for a kind with halves.
    pub(super) minimum: S::F32,
    /// The integer factors of the first and of the last 16 elements.
    pub(super) factors: [S::I32; 2],
    /// The integer minimums of both halves of 16 elements, as two i16.
    pub(super) minimums: S::I32,
}

impl<S: Simd> Block<S> {
    /// A block with these weights and scales; everything else is zero.
    #[inline(always)]
    pub(super) fn new(simd: S, weights: [S::I32; WORDS], scale: S::F32) -> Self {
        let zero = simd.splat_i32(0);
        Block {
            weights,
            scale,
            minimum: simd.zero(),
            factors: [zero; 2],
            minimums: zero,
        }
    }

    /// Writes the fields of kind `K` to `to`, [`stored`] vectors; integers keep their bits. Weights that are widened come in
    /// two parts, the second one after all other fields.
    #[inline(always)]
    pub(super) fn store<K: Kind>(mut self, simd: S, to: &[[Cell<f32>; LANES]]) {
        let (to, odd) = to.split_at(K::STORED);
        if widens::<S, K>() {
            for (weights, odd) in self.weights.iter_mut().zip(odd) {
                let widened = simd.widened(*weights);
                *weights = widened[0];
                simd.store(odd, simd.from_bits(widened[1]));
            }
        }
        for (to, weights) in to.iter().zip(self.weights) {
            simd.store(to, simd.from_bits(weights));
        }
        simd.store(&to[WORDS], self.scale);
        if K::MINIMUM {
            simd.store(&to[WORDS + 1], self.minimum);
        }
        if K::HALVES {
            let to = &to[WORDS + 1 + usize::from(K::MINIMUM)..];
            simd.store(&to[0], simd.from_bits(self.factors[0]));
            simd.store(&to[1], simd.from_bits(self.factors[1]));
            if K::MINIMUM {
                simd.store(&to[2], simd.from_bits(self.minimums));
            }
        }
    }

    /// The block that [`Block::store`] wrote, of a kind that is not widened.
    #[inline(always)]
    pub(super) fn load<K: Kind>(simd: S, from: &[[Cell<f32>; LANES]]) -> Self {
        let from = &from[..K::STORED];
        let mut block = Block::new(
            simd,
            [simd.splat_i32(0); WORDS],
            simd.load_cells(&from[WORDS]),
        );
        for (weights, from) in block.weights.iter_mut().zip(from) {
            *weights = simd.bits(simd.load_cells(from));
        }
        if K::MINIMUM {
            block.minimum = simd.load_cells(&from[WORDS + 1]);
        }
        if K::HALVES {
            let from = &from[WORDS + 1 + usize::from(K::MINIMUM)..];
            block.factors[0] = simd.bits(simd.load_cells(&from[0]));
            block.factors[1] = simd.bits(simd.load_cells(&from[1]));
            if K::MINIMUM {
                block.minimums = simd.bits(simd.load_cells(&from[2]));
            }
        }
        block
    }

    /// `sums` plus the products of a block that [`Block::store`] wrote with the blocks `x` of tokens.
    #[inline(always)]
    pub(super) fn add_stored<K: Kind, const T: usize>(
        simd: S,
        stored: &[[Cell<f32>; LANES]],
        x: [&[Cell<i32>; INT8_BLOCK_WORDS]; T],
        sums: &mut [S::F32; T],
    ) {
        const { assert!(!widens::<S, K>() || !K::HALVES && !K::MINIMUM && K::ZERO == 0) };
        let (block, odd) = stored.split_at(K::STORED);
        let (Some((even, _)), Some((odd, _))) = (
            block.split_first_chunk::<WORDS>(),
            odd.split_first_chunk::<WORDS>(),
        ) else {
            // There is no second part: the weights are not widened.
            let block = Block::load::<K>(simd, stored);
            for (x, sum) in x.into_iter().zip(sums) {
                *sum = block.add::<K>(simd, x, *sum);
            }
            return;
        };
        let scale = simd.load_cells(&block[WORDS]);
        let dots = simd.dot_widened(even, odd, x.map(quants));
        for ((x, dot), sum) in x.into_iter().zip(dots).zip(sums) {
            let scale = simd.mul(scale, float(simd, &x[0]));
            *sum = simd.mul_add(scale, simd.to_f32(dot), *sum);
        }
    }

    /// `sum` plus the product of this block with the block `x` of a token.
    #[inline(always)]
    pub(super) fn add<K: Kind>(
        &self,
        simd: S,
        x: &[Cell<i32>; INT8_BLOCK_WORDS],
        sum: S::F32,
    ) -> S::F32 {
        let scale = float(simd, &x[0]);
        let mut quants = [simd.splat_i32(0); WORDS];
        for (quants, word) in quants.iter_mut().zip(self::quants(x)) {
            *quants = simd.splat_i32(word.get());
        }
        let [w0, w1, w2, w3, w4, w5, w6, w7] = self.weights;
        let [q0, q1, q2, q3, q4, q5, q6, q7] = quants;
        let dot = if K::HALVES {
            let first = start::<S, K>(simd, &x[2], 1, 0);
            let first = dot::<S, K, 4>(simd, first, [w0, w1, w2, w3], [q0, q1, q2, q3]);
            let last = start::<S, K>(simd, &x[2], 0, 1);
            let last = dot::<S, K, 4>(simd, last, [w4, w5, w6, w7], [q4, q5, q6, q7]);
            simd.add_i32(
                simd.mul_i32(first, self.factors[0]),
                simd.mul_i32(last, self.factors[1]),
            )
        } else {
            let start = start::<S, K>(simd, &x[2], 1, 1);
            dot::<S, K, WORDS>(simd, start, self.weights, quants)
        };
        let mut sum = simd.mul_add(simd.mul(self.scale, scale), simd.to_f32(dot), sum);
        if K::MINIMUM && K::HALVES {
            let minimums = simd.dot_i16(simd.splat_i32(x[2].get()), self.minimums);
            let minimum = simd.mul(self.minimum, scale);
            sum = simd.neg_mul_add(minimum, simd.to_f32(minimums), sum);
        } else if K::MINIMUM {
            sum = simd.neg_mul_add(self.minimum, float(simd, &x[1]), sum);
        }
        sum
    }
}

/// The words with the quants of a token's block.
#[inline(always)]
fn quants(x: &[Cell<i32>; INT8_BLOCK_WORDS]) -> &[Cell<i32>; WORDS] {
    let [_, _, _, quants @ ..] = x;
    quants
}

/// A word read as an f32, in every lane.
#[inline(always)]
fn float<S: Simd>(simd: S, word: &Cell<i32>) -> S::F32 {
    simd.splat(f32::from_bits(word.get().cast_unsigned()))
}

/// The initial value of a dot product, which removes the zero point of the weights and the offset added by `signed_bytes`:
/// −zero times the sums of the first and of the last 16 quants, which are further multiplied by `first` and `last`.
#[inline(always)]
fn start<S: Simd, K: Kind>(simd: S, sums: &Cell<i32>, first: i32, last: i32) -> S::I32 {
    let zero = K::ZERO + if K::BITS == 8 { S::SIGNED_OFFSET } else { 0 };
    if zero == 0 {
        return simd.splat_i32(0);
    }
    let zeros = simd.splat_i32(pair(-zero * first, -zero * last));
    simd.dot_i16(simd.splat_i32(sums.get()), zeros)
}

/// `start` plus the products of the weights of kind `K` with quants.
#[inline(always)]
fn dot<S: Simd, K: Kind, const N: usize>(
    simd: S,
    start: S::I32,
    w: [S::I32; N],
    x: [S::I32; N],
) -> S::I32 {
    match K::BITS {
        8 => simd.dot_signed(start, w, x),
        6 => simd.dot_unsigned::<6, N>(start, w, x),
        5 => simd.dot_unsigned::<5, N>(start, w, x),
        _ => simd.dot_unsigned::<4, N>(start, w, x),
    }
}
