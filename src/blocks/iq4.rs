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
//! | 8..136 | 16 bytes per group; byte i of a group: the four bits of its elements i and 16 + i |

use super::field::{field, scale};
use super::group::Group;
use super::legacy::nibbles;

/// What the four bits mean.
pub(crate) const LEVELS: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// The levels of 32 elements, whose four-bit numbers are in 16 bytes.
#[inline(always)]
fn levels(bytes: &[u8; 16]) -> [i8; 32] {
    nibbles(bytes).map(|number| LEVELS[usize::from(number)])
}

#[inline(always)]
pub(super) fn read_iq4_nl(block: &[u8; 18], _: usize) -> Group {
    Group::new(scale::<0, _>(block), levels(field::<2, 16, _>(block)))
}

#[inline(always)]
pub(super) fn read_iq4_xs(block: &[u8; 136], number: usize) -> Group {
    let high = u16::from_le_bytes(*field::<2, 2, _>(block));
    let low = u32::from_le_bytes(*field::<4, 4, _>(block));
    let s = (low >> (4 * number) & 15) as i8 | ((high >> (2 * number) & 3) << 4) as i8;
    let bytes = &field::<8, 128, _>(block).as_chunks().0[number];
    Group::new(scale::<0, _>(block) * f32::from(s - 32), levels(bytes))
}
