//! The order of a block's bits in a panel.
//!
//! A file's block is some f16 scales, before or after the rest, and the rest. A lane of a panel holds the same bits: the
//! scales as u16, and the rest as 32-bit words in the file's order. Within them only quants are regrouped, so that each
//! 32 elements' bits can be taken out with a shift and a mask: byte `c` of the `i`-th of eight words of quants is then
//! element 4i + c.
//!
//! | format | words | regrouped |
//! | --- | --- | --- |
//! | `Q4_0`, `Q4_1`, `IQ4_NL` | 4 of quants | |
//! | `Q5_0`, `Q5_1` | 1 of high bits, 4 of quants | bit 4i + c of the high bits goes to 8c + i |
//! | `Q8_0` | 8 of quants | |
//! | `Q2_K` | 4 of scales, 16 of quants | quants by [`pairs`] |
//! | `Q3_K` | 8 of high bits, 16 of quants, 3 of scales | high bits by [`bits`], quants by [`pairs`] |
//! | `Q4_K` | 3 of scales, 32 of quants | quants by [`nibbles`] |
//! | `Q5_K` | 3 of scales, 8 of high bits, 32 of quants | high bits by [`bits`], quants by [`nibbles`] |
//! | `Q6_K` | 32 of low bits, 16 of high bits, 4 of scales | low bits by [`nibbles`], high bits by [`pairs`] |
//! | `IQ4_XS` | 1 of scales, 32 of quants | |
//!
//! Each of the three is its own inverse.

use crate::blocks::BlockFormat;

/// The largest block's words.
pub(super) const MOST_WORDS: usize = 52;
/// The most f16 scales of a block.
pub(super) const MOST_HALVES: usize = 2;

/// f16 scales (and the u16 of `IQ4_XS`) of a block.
pub(super) const fn halves(format: BlockFormat) -> usize {
    match format {
        BlockFormat::Q4_0
        | BlockFormat::Q5_0
        | BlockFormat::Q8_0
        | BlockFormat::Q3K
        | BlockFormat::Q6K
        | BlockFormat::Iq4Nl => 1,
        BlockFormat::Q4_1
        | BlockFormat::Q5_1
        | BlockFormat::Q2K
        | BlockFormat::Q4K
        | BlockFormat::Q5K
        | BlockFormat::Iq4Xs => 2,
    }
}

/// 32-bit words of a block, without its f16 scales.
pub(super) const fn words(format: BlockFormat) -> usize {
    (format.bytes() - 2 * halves(format)) / 4
}

/// Where the f16 scales of a file's block begin.
fn halves_at(format: BlockFormat) -> usize {
    match format {
        BlockFormat::Q2K | BlockFormat::Q3K | BlockFormat::Q6K => 4 * words(format),
        _ => 0,
    }
}

/// Where the words of a file's block begin.
fn words_at(format: BlockFormat) -> usize {
    match halves_at(format) {
        0 => 2 * halves(format),
        _ => 0,
    }
}

/// One lane of a panel's block.
pub(super) struct Lane {
    /// The first [`words`] of them.
    pub(super) words: [u32; MOST_WORDS],
    /// The first [`halves`] of them.
    pub(super) halves: [u16; MOST_HALVES],
}

impl Lane {
    /// Zeros.
    pub(super) const ZERO: Lane = Lane {
        words: [0; MOST_WORDS],
        halves: [0; MOST_HALVES],
    };

    /// The lane of a file's block.
    pub(super) fn of(format: BlockFormat, block: &[u8]) -> Lane {
        let mut lane = Lane::ZERO;
        let bytes = block[words_at(format)..].as_chunks().0;
        for (word, bytes) in lane.words[..words(format)].iter_mut().zip(bytes) {
            *word = u32::from_le_bytes(*bytes);
        }
        let bytes = block[halves_at(format)..].as_chunks().0;
        for (half, bytes) in lane.halves[..halves(format)].iter_mut().zip(bytes) {
            *half = u16::from_le_bytes(*bytes);
        }
        if let BlockFormat::Q5_0 | BlockFormat::Q5_1 = format {
            lane.words[0] = spread_bits(lane.words[0]);
        }
        lane.regroup(format);
        lane
    }

    /// The file's block of a lane: the reverse of [`Lane::of`].
    pub(super) fn write(mut self, format: BlockFormat, block: &mut [u8]) {
        self.regroup(format);
        if let BlockFormat::Q5_0 | BlockFormat::Q5_1 = format {
            self.words[0] = gather_bits(self.words[0]);
        }
        let bytes = block[words_at(format)..].as_chunks_mut().0;
        for (word, bytes) in self.words[..words(format)].iter().zip(bytes) {
            *bytes = word.to_le_bytes();
        }
        let bytes = block[halves_at(format)..].as_chunks_mut().0;
        for (half, bytes) in self.halves[..halves(format)].iter().zip(bytes) {
            *bytes = half.to_le_bytes();
        }
    }

    fn regroup(&mut self, format: BlockFormat) {
        let words = &mut self.words;
        match format {
            BlockFormat::Q2K => pairs(&mut words[4..20]),
            BlockFormat::Q3K => {
                bits(&mut words[..8]);
                pairs(&mut words[8..24]);
            }
            BlockFormat::Q4K => nibbles(&mut words[3..35]),
            BlockFormat::Q5K => {
                bits(&mut words[3..11]);
                nibbles(&mut words[11..43]);
            }
            BlockFormat::Q6K => {
                nibbles(&mut words[..32]);
                pairs(&mut words[32..48]);
            }
            BlockFormat::Q4_0
            | BlockFormat::Q4_1
            | BlockFormat::Q5_0
            | BlockFormat::Q5_1
            | BlockFormat::Q8_0
            | BlockFormat::Iq4Nl
            | BlockFormat::Iq4Xs => {}
        }
    }
}

/// Bit 4i + c goes to 8c + i.
fn spread_bits(bits: u32) -> u32 {
    (0..8).fold(0, |spread, i| {
        let four = bits >> (4 * i) & 0xf;
        spread | (four.wrapping_mul(0x0020_4081) & 0x0101_0101) << i
    })
}

/// Bit 8c + i goes to 4i + c.
fn gather_bits(bits: u32) -> u32 {
    (0..8).fold(0, |gathered, i| {
        let apart = bits >> i & 0x0101_0101;
        let four = (apart | apart >> 7 | apart >> 14 | apart >> 21) & 0xf;
        gathered | four << (4 * i)
    })
}

/// Eight words hold 32 elements of one 32-block in their low nibbles and of another in their high nibbles: the first four
/// words get the one, the last four the other, elements 0..16 in low and 16..32 in high nibbles.
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

/// Four words hold 16 elements of each of four 32-blocks, two bits a byte: word f gets those of the f-th, bits 2i of byte
/// c being element 4i + c.
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

/// Eight words hold 32 elements of each of eight 32-blocks, one bit a byte: word b gets those of the b-th, bit i of byte c
/// being element 4i + c.
fn bits(words: &mut [u32]) {
    for eight in words.as_chunks_mut::<8>().0 {
        let old = *eight;
        for (b, new) in eight.iter_mut().enumerate() {
            *new = (0..8).fold(0, |new, i| new | (old[i] >> b & 0x0101_0101) << i);
        }
    }
}
