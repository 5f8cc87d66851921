//! Unpacking a 32-block of 16 rows in registers, format by format. The layouts are in `regroup`, the formulas in `mod.rs`.

use std::marker::PhantomData;

use super::chain::{Block, Kind, WORDS};
use crate::blocks::{BlockFormat, IQ4_LEVELS, MXFP4_LEVELS};
use crate::kernels::simd::{LANES, Simd, Work};

/// A block format as the kernels read it.
pub(super) trait Format: Send + Sync + 'static {
    /// The format.
    const FORMAT: BlockFormat;
    /// The kind of multiplication for its 32-blocks.
    type Kind: Kind;

    /// The 32-block number `block` of a file block, whose words and halves are given for all lanes.
    fn unpack<S: Simd>(
        simd: S,
        words: &[[u32; LANES]],
        halves: &[[u16; LANES]],
        block: usize,
    ) -> Block<S>;
}

/// An operation on a panel of any format.
pub(super) trait FormatWork: Sized {
    /// Runs the operation for the format `F`.
    fn run<S: Simd, F: Format>(self, simd: S);
}

/// An operation on unpacked blocks of any kind.
pub(super) trait KindWork: Sized {
    /// Runs the operation for the kind `K`.
    fn run<S: Simd, K: Kind>(self, simd: S);
}

/// The operation `W` for the format `F`, as work that is compiled in a function of its own.
struct OfFormat<W, F>(W, PhantomData<F>);

impl<W: FormatWork, F: Format> Work for OfFormat<W, F> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.0.run::<S, F>(simd);
    }
}

/// The operation `W` for the kind `K`, as work that is compiled in a function of its own.
struct OfKind<W, K>(W, PhantomData<K>);

impl<W: KindWork, K: Kind> Work for OfKind<W, K> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.0.run::<S, K>(simd);
    }
}

/// Declares kinds: bits, zero point, whether there are halves, whether there is a minimum.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($bits:literal, $zero:literal, $halves:literal, $minimum:literal);)*) => {
        $($(#[$doc])*
        pub(super) struct $kind;

        impl Kind for $kind {
            const BITS: u32 = $bits;
            const ZERO: i32 = $zero;
            const HALVES: bool = $halves;
            const MINIMUM: bool = $minimum;
        })*
    };
}

kinds! {
    /// `Q4_0`.
    Four(4, 8, false, false);
    /// `Q4_1` and `Q4_K`.
    FourAndMinimum(4, 0, false, true);
    /// `Q5_0` and `MXFP4`.
    Five(5, 16, false, false);
    /// `Q5_1` and `Q5_K`.
    FiveAndMinimum(5, 0, false, true);
    /// `Q8_0`, `IQ4_NL` and `IQ4_XS`.
    Eight(8, 0, false, false);
    /// `Q2_K`.
    TwoByHalves(2, 0, true, true);
    /// `Q3_K`.
    ThreeByHalves(3, 4, true, false);
    /// `Q6_K`.
    SixByHalves(6, 32, true, false);
}

/// Declares all formats: each type has the name of its format.
macro_rules! formats {
    ($($name:ident, $kind:ident, |$simd:ident, $words:ident, $halves:ident, $block:ident| $body:block)*) => {
        $(
        /// See [`BlockFormat`].
        pub(super) struct $name;

        impl Format for $name {
            const FORMAT: BlockFormat = BlockFormat::$name;
            type Kind = $kind;

            #[inline(always)]
            fn unpack<S: Simd>(
                $simd: S,
                $words: &[[u32; LANES]],
                $halves: &[[u16; LANES]],
                $block: usize,
            ) -> Block<S> {
                $body
            }
        })*

        /// Runs `work` for `format`.
        #[inline(always)]
        pub(super) fn for_format<S: Simd, W: FormatWork>(simd: S, format: BlockFormat, work: W) {
            match format {
                $(BlockFormat::$name => simd.run(OfFormat(work, PhantomData::<$name>)),)*
            }
        }

        /// Runs `work` for the kind of `format`.
        #[inline(always)]
        pub(super) fn for_kind<S: Simd, W: KindWork>(simd: S, format: BlockFormat, work: W) {
            match format {
                $(BlockFormat::$name => simd.run(OfKind(work, PhantomData::<$kind>)),)*
            }
        }
    };
}

formats! {
    Q4_0, Four, |simd, words, halves, _block| {
        Block::new(simd, nibbles(simd, words), simd.load_f16(&halves[0]))
    }

    Q4_1, FourAndMinimum, |simd, words, halves, _block| {
        let block = Block::new(simd, nibbles(simd, words), simd.load_f16(&halves[0]));
        // The M of the file is added, not subtracted.
        let minimum = simd.neg(simd.load_f16(&halves[1]));
        Block { minimum, ..block }
    }

    Q5_0, Five, |simd, words, halves, _block| {
        let weights = with_fifth_bits(simd, nibbles(simd, &words[1..]), simd.load_u32(&words[0]));
        Block::new(simd, weights, simd.load_f16(&halves[0]))
    }

    Q5_1, FiveAndMinimum, |simd, words, halves, _block| {
        let weights = with_fifth_bits(simd, nibbles(simd, &words[1..]), simd.load_u32(&words[0]));
        let block = Block::new(simd, weights, simd.load_f16(&halves[0]));
        let minimum = simd.neg(simd.load_f16(&halves[1]));
        Block { minimum, ..block }
    }

    Q8_0, Eight, |simd, words, halves, _block| {
        let mut weights = [simd.splat_i32(0); WORDS];
        for (weight, word) in weights.iter_mut().zip(words) {
            *weight = simd.signed_bytes(simd.load_u32(word));
        }
        Block::new(simd, weights, simd.load_f16(&halves[0]))
    }

    Q2K, TwoByHalves, |simd, words, halves, block| {
        let weights = two_bits(simd, &words[4..], block);
        // Two bytes, each with a scale and a minimum of four bits.
        let scales = simd.shift_right_by(simd.load_u32(&words[block / 2]), 16 * (block % 2));
        let minimums = [field(simd, scales, 4, 0xf), field(simd, scales, 12, 0xf)];
        Block {
            minimum: simd.load_f16(&halves[1]),
            factors: [field(simd, scales, 0, 0xf), field(simd, scales, 8, 0xf)],
            minimums: simd.or_i32(minimums[0], simd.shift_left_by(minimums[1], 16)),
            ..Block::new(simd, weights, simd.load_f16(&halves[0]))
        }
    }

    Q3K, ThreeByHalves, |simd, words, halves, block| {
        let mut weights = two_bits(simd, &words[8..], block);
        let high = simd.load_u32(&words[block]);
        for (i, weight) in weights.iter_mut().enumerate() {
            let third = if i < 2 {
                simd.shift_left_by(high, 2 - i)
            } else {
                simd.shift_right_by(high, i - 2)
            };
            *weight = simd.or_i32(*weight, masked(simd, third, 0x0404_0404));
        }
        // The low four bits of scale j are in byte j % 8, in the low nibble if j < 8; its high two bits are bits 2 · (j / 4)
        // of byte 8 + j % 4.
        let quarter = block / 2;
        let low = simd.load_u32(&words[24 + quarter % 2]);
        let high = simd.load_u32(&words[26]);
        let mut factors = [low; 2];
        for (i, factor) in factors.iter_mut().enumerate() {
            let byte = 8 * (2 * (block % 2) + i);
            let low = field(simd, low, byte + 4 * (quarter / 2), 0xf);
            let high = field(simd, high, byte + 2 * quarter, 0x3);
            let scale = simd.or_i32(low, simd.shift_left_by(high, 4));
            *factor = simd.add_i32(scale, simd.splat_i32(-32));
        }
        Block {
            factors,
            ..Block::new(simd, weights, simd.load_f16(&halves[0]))
        }
    }

    Q4K, FourAndMinimum, |simd, words, halves, block| {
        let weights = nibbles(simd, &words[3 + 4 * block..]);
        with_six_bit_scales(simd, weights, words, halves, block)
    }

    Q5K, FiveAndMinimum, |simd, words, halves, block| {
        let low = nibbles(simd, &words[11 + 4 * block..]);
        let weights = with_fifth_bits(simd, low, simd.load_u32(&words[3 + block]));
        with_six_bit_scales(simd, weights, words, halves, block)
    }

    Q6K, SixByHalves, |simd, words, halves, block| {
        // The low bits of the four 32-blocks of a half are stored in the order 0, 2, 1, 3.
        let (half, place) = (block / 4, block % 4);
        let place = place / 2 + place % 2 * 2;
        let mut weights = nibbles(simd, &words[16 * half + 4 * place..]);
        let high = &words[32 + 8 * half + block % 4..];
        for (i, weight) in weights.iter_mut().enumerate() {
            let bits = simd.load_u32(&high[i / 4 * 4]);
            let bits = match i % 4 {
                0 => simd.shift_left_by(bits, 4),
                1 => simd.shift_left_by(bits, 2),
                2 => bits,
                _ => simd.shift_right_by(bits, 2),
            };
            *weight = simd.or_i32(*weight, masked(simd, bits, 0x3030_3030));
        }
        // Two signed bytes.
        let factors = simd.load_u32(&words[48 + block / 2]);
        let byte = 16 * (block % 2);
        let first = simd.shift_right_signed(simd.shift_left_by(factors, 24 - byte), 24);
        let last = simd.shift_right_signed(simd.shift_left_by(factors, 16 - byte), 24);
        Block {
            factors: [first, last],
            ..Block::new(simd, weights, simd.load_f16(&halves[0]))
        }
    }

    Iq4Nl, Eight, |simd, words, halves, _block| {
        Block::new(simd, levels(simd, words, IQ4_LEVELS), simd.load_f16(&halves[0]))
    }

    Iq4Xs, Eight, |simd, words, halves, block| {
        let weights = levels(simd, &words[1 + 4 * block..], IQ4_LEVELS);
        // The second half is a 16-bit integer: loading it as bfloat16 moves it to the high half of the lane.
        let high = simd.bits(simd.load_bf16(&halves[1]));
        let high = field(simd, high, 16 + 2 * block, 0x3);
        let low = field(simd, simd.load_u32(&words[0]), 4 * block, 0xf);
        let scale = simd.or_i32(low, simd.shift_left_by(high, 4));
        let scale = simd.to_f32(simd.add_i32(scale, simd.splat_i32(-32)));
        Block::new(simd, weights, simd.mul(simd.load_f16(&halves[0]), scale))
    }

    Mxfp4, Five, |simd, words, halves, _block| {
        let mut weights = nibbles(simd, words);
        for weight in &mut weights {
            *weight = simd.lookup(MXFP4_ABOVE_ZERO, *weight);
        }
        Block::new(simd, weights, simd.load_bf16(&halves[0]))
    }
}

/// The levels of `MXFP4` plus the zero point of its kind.
const MXFP4_ABOVE_ZERO: [i8; 16] = {
    let mut levels = MXFP4_LEVELS;
    let mut i = 0;
    while i < levels.len() {
        levels[i] += Five::ZERO as i8;
        i += 1;
    }
    levels
};

/// The bits in `mask` of each lane, after a shift right by `shift`.
#[inline(always)]
fn field<S: Simd>(simd: S, x: S::I32, shift: usize, mask: i32) -> S::I32 {
    masked(simd, simd.shift_right_by(x, shift), mask)
}

/// The bits in `mask` of each lane.
#[inline(always)]
fn masked<S: Simd>(simd: S, x: S::I32, mask: i32) -> S::I32 {
    simd.and_i32(x, simd.splat_i32(mask))
}

/// Four words of nibbles: the low nibbles are the weights of the first four words, the high nibbles those of the last four.
#[inline(always)]
fn nibbles<S: Simd>(simd: S, words: &[[u32; LANES]]) -> [S::I32; WORDS] {
    let mut weights = [simd.splat_i32(0); WORDS];
    for i in 0..4 {
        let word = simd.load_u32(&words[i]);
        weights[i] = masked(simd, word, 0x0f0f_0f0f);
        weights[i + 4] = field(simd, word, 4, 0x0f0f_0f0f);
    }
    weights
}

/// Adds the fifth bits to weights of four bits: bit `i` of byte c belongs to byte c of word `i`.
#[inline(always)]
fn with_fifth_bits<S: Simd>(
    simd: S,
    mut weights: [S::I32; WORDS],
    bits: S::I32,
) -> [S::I32; WORDS] {
    for (i, weight) in weights.iter_mut().enumerate() {
        let fifth = if i < 4 {
            simd.shift_left_by(bits, 4 - i)
        } else {
            simd.shift_right_by(bits, i - 4)
        };
        *weight = simd.or_i32(*weight, masked(simd, fifth, 0x1010_1010));
    }
    weights
}

/// Weights of two bits: each 32-block has two words. Four 32-blocks have eight words, in which the first words of all four
/// come before the second words.
#[inline(always)]
fn two_bits<S: Simd>(simd: S, words: &[[u32; LANES]], block: usize) -> [S::I32; WORDS] {
    let words = &words[8 * (block / 4) + block % 4..];
    let mut weights = [simd.splat_i32(0); WORDS];
    for (i, weight) in weights.iter_mut().enumerate() {
        let word = simd.load_u32(&words[i / 4 * 4]);
        *weight = field(simd, word, 2 * (i % 4), 0x0303_0303);
    }
    weights
}

/// Weights that are levels, as the signed bytes that products expect.
#[inline(always)]
fn levels<S: Simd>(simd: S, words: &[[u32; LANES]], levels: [i8; 16]) -> [S::I32; WORDS] {
    let mut weights = nibbles(simd, words);
    for weight in &mut weights {
        *weight = simd.signed_bytes(simd.lookup(levels, *weight));
    }
    weights
}

/// A 32-block of `Q4_K` or `Q5_K`. The first three words of the file block are twelve bytes with the scales and minimums of
/// six bits: bytes 0..4 and 4..8 contain those of the first four 32-blocks. For the last four, the low four bits are in the
/// nibbles of bytes 8..12, and the high two in the top bits of the other bytes.
#[inline(always)]
fn with_six_bit_scales<S: Simd>(
    simd: S,
    weights: [S::I32; WORDS],
    words: &[[u32; LANES]],
    halves: &[[u16; LANES]],
    block: usize,
) -> Block<S> {
    let (scales, minimums) = (simd.load_u32(&words[0]), simd.load_u32(&words[1]));
    let byte = 8 * (block % 4);
    let (scale, minimum) = if block < 4 {
        (
            field(simd, scales, byte, 0x3f),
            field(simd, minimums, byte, 0x3f),
        )
    } else {
        let low = simd.load_u32(&words[2]);
        let (scale, minimum) = (field(simd, low, byte, 0xf), field(simd, low, byte + 4, 0xf));
        (
            simd.or_i32(scale, field(simd, scales, byte + 2, 0x30)),
            simd.or_i32(minimum, field(simd, minimums, byte + 2, 0x30)),
        )
    };
    let d = simd.mul(simd.load_f16(&halves[0]), simd.to_f32(scale));
    Block {
        minimum: simd.mul(simd.load_f16(&halves[1]), simd.to_f32(minimum)),
        ..Block::new(simd, weights, d)
    }
}
