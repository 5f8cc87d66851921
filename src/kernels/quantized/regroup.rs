//! The order of a block's bits in a panel.
//!
//! A block in a file consists of a few 16-bit halves (its scales) and the rest, in either order. A lane of a panel contains
//! the same bits: the halves as u16 (powers of two as bfloat16, which represents each of them exactly), and the rest as
//! 32-bit words in the order of the file. Of these words only the quants are regrouped, so that the bits of each 32 elements
//! can be extracted with a shift and a mask: byte `c` of the `i`-th of eight words of quants is then element 4i + c. The row
//! of each format says which words are regrouped, and how ([`Panel`](crate::blocks::Panel)).

use crate::blocks::{BlockFormat, MOST_BYTES, Regroup, exponent, power};

/// A bound on the number of words in any block.
const MOST_WORDS: usize = MOST_BYTES / 4;
/// The most halves in a block.
const MOST_HALVES: usize = 2;

/// The number of 16-bit halves in a block.
pub(super) const fn halves(format: BlockFormat) -> usize {
    let panel = format.panel();
    panel.scales + panel.integers + panel.powers
}

/// The size in bytes of the halves in a file's block.
const fn halves_bytes(format: BlockFormat) -> usize {
    let panel = format.panel();
    2 * (panel.scales + panel.integers) + panel.powers
}

/// The number of 32-bit words in a block, without its halves.
pub(super) const fn words(format: BlockFormat) -> usize {
    (format.bytes() - halves_bytes(format)) / 4
}

/// The size in bytes of a block in one lane of a panel.
pub(super) const fn lane_bytes(format: BlockFormat) -> usize {
    4 * words(format) + 2 * halves(format)
}

/// The byte at which the words of a file's block begin.
fn words_at(format: BlockFormat) -> usize {
    match format.panel().halves_at {
        0 => halves_bytes(format),
        _ => 0,
    }
}

/// One lane of a block in a panel.
pub(super) struct Lane {
    /// The words; the first [`words`] of them are used.
    pub(super) words: [u32; MOST_WORDS],
    /// The halves; the first [`halves`] of them are used.
    pub(super) halves: [u16; MOST_HALVES],
}

impl Lane {
    /// All zeros.
    pub(super) const ZERO: Lane = Lane {
        words: [0; MOST_WORDS],
        halves: [0; MOST_HALVES],
    };

    /// The lane that corresponds to a file's block.
    #[inline]
    pub(super) fn of(format: BlockFormat, block: &[u8]) -> Lane {
        let mut lane = Lane::ZERO;
        let bytes = block[words_at(format)..].as_chunks().0;
        for (word, bytes) in lane.words[..words(format)].iter_mut().zip(bytes) {
            *word = u32::from_le_bytes(*bytes);
        }
        let (panel, lane_halves) = (format.panel(), &mut lane.halves[..halves(format)]);
        let bytes = &block[panel.halves_at..];
        if panel.powers > 0 {
            for (half, &byte) in lane_halves.iter_mut().zip(bytes) {
                *half = (power(byte).to_bits() >> 16) as u16;
            }
        } else {
            for (half, bytes) in lane_halves.iter_mut().zip(bytes.as_chunks().0) {
                *half = u16::from_le_bytes(*bytes);
            }
        }
        lane.regroup(format, spread_bits);
        lane
    }

    /// Writes the file's block that corresponds to the lane: the inverse of [`Lane::of`].
    pub(super) fn write(mut self, format: BlockFormat, block: &mut [u8]) {
        self.regroup(format, gather_bits);
        let bytes = block[words_at(format)..].as_chunks_mut().0;
        for (word, bytes) in self.words[..words(format)].iter().zip(bytes) {
            *bytes = word.to_le_bytes();
        }
        let (panel, lane_halves) = (format.panel(), &self.halves[..halves(format)]);
        let bytes = &mut block[panel.halves_at..];
        if panel.powers > 0 {
            for (half, byte) in lane_halves.iter().zip(bytes) {
                *byte = exponent(f32::from_bits(u32::from(*half) << 16));
            }
        } else {
            for (half, bytes) in lane_halves.iter().zip(bytes.as_chunks_mut().0) {
                *bytes = half.to_le_bytes();
            }
        }
    }

    /// Regroups the words, or returns them to the order of the file: each regrouping is its own inverse, except
    /// `SpreadBits`, for which `spread` decides the direction.
    #[inline]
    fn regroup(&mut self, format: BlockFormat, spread: impl Fn(u32) -> u32) {
        for &(regroup, first, end) in format.panel().regrouped {
            let words = &mut self.words[first..end];
            match regroup {
                Regroup::Nibbles => nibbles(words),
                Regroup::Pairs => pairs(words),
                Regroup::Bits => bits(words),
                Regroup::SpreadBits => {
                    for word in words {
                        *word = spread(*word);
                    }
                }
            }
        }
    }
}

/// Moves bit 4i + c to bit 8c + i.
fn spread_bits(bits: u32) -> u32 {
    (0..8).fold(0, |spread, i| {
        let four = bits >> (4 * i) & 0xf;
        spread | (four.wrapping_mul(0x0020_4081) & 0x0101_0101) << i
    })
}

/// Moves bit 8c + i to bit 4i + c.
fn gather_bits(bits: u32) -> u32 {
    (0..8).fold(0, |gathered, i| {
        let apart = bits >> i & 0x0101_0101;
        let four = (apart | apart >> 7 | apart >> 14 | apart >> 21) & 0xf;
        gathered | four << (4 * i)
    })
}

/// See [`Regroup::Nibbles`].
fn nibbles(words: &mut [u32]) {
    const LOW: u32 = 0x0f0f_0f0f;
    for eight in words.as_chunks_mut::<8>().0 {
        for i in 0..4 {
            let (a, b) = (eight[i], eight[i + 4]);
            eight[i] = a & LOW | (b & LOW) << 4;
            eight[i + 4] = a >> 4 & LOW | b & !LOW;
        }
    }
}

/// See [`Regroup::Pairs`].
fn pairs(words: &mut [u32]) {
    for four in words.as_chunks_mut::<4>().0 {
        let old = *four;
        for (f, new) in four.iter_mut().enumerate() {
            *new = (0..4).fold(0, |new, i| {
                new | (old[i] >> (2 * f) & 0x0303_0303) << (2 * i)
            });
        }
    }
}

/// See [`Regroup::Bits`].
fn bits(words: &mut [u32]) {
    for eight in words.as_chunks_mut::<8>().0 {
        let old = *eight;
        for (b, new) in eight.iter_mut().enumerate() {
            *new = (0..8).fold(0, |new, i| new | (old[i] >> b & 0x0101_0101) << i);
        }
    }
}
