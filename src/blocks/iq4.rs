//! The formats whose four bits choose one of 16 uneven levels: IQ4_NL and IQ4_XS.
//!
//! IQ4_NL, 32 elements. An element is d · level.
//!
//! | bytes | |
//! | --- | --- |
//! | 0..2 | scale d |
//! | 2..18 | byte i: the four bits of elements i and 16 + i |
//!
//! IQ4_XS, 256 elements in 8 groups of 32. An element is (d · (s − 32)) · level.
//!
//! | bytes | |
//! | --- | --- |
//! | 0..2 | scale d |
//! | 2..4 | a u16 whose bits 2g, 2g + 1 are the upper two bits of group g's s |
//! | 4..8 | byte i: the lower four bits of the s of groups 2i and 2i + 1 |
//! | 8..136 | 16 bytes a group; byte i of a group: the four bits of its elements i and 16 + i |

use super::field::{field, scale};

/// What the four bits mean.
pub(crate) const LEVELS: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// `out[i]` = d · the level of element i of 32, whose four bits 16 bytes hold.
fn levels(d: f32, bytes: &[u8; 16], out: &mut [f32; 32]) {
    let (first, second) = out.split_at_mut(16);
    for ((first, second), &byte) in first.iter_mut().zip(second).zip(bytes) {
        *first = d * f32::from(LEVELS[usize::from(byte & 15)]);
        *second = d * f32::from(LEVELS[usize::from(byte >> 4)]);
    }
}

pub(super) fn read_iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    levels(scale::<0, _>(block), field::<2, 16, _>(block), out);
}

pub(super) fn read_iq4_xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let d = scale::<0, _>(block);
    let high = u16::from_le_bytes(*field::<2, 2, _>(block));
    let low = u32::from_le_bytes(*field::<4, 4, _>(block));
    let groups = field::<8, 128, _>(block).as_chunks().0;
    for (g, (bytes, out)) in groups.iter().zip(out.as_chunks_mut().0).enumerate() {
        let s = (low >> (4 * g) & 15) as i8 | ((high >> (2 * g) & 3) << 4) as i8;
        levels(d * f32::from(s - 32), bytes, out);
    }
}
