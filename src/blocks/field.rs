//! Fields of a block, by their byte offset.

use half::f16;

/// The `N` bytes of a block that start at byte `AT`. The compiler checks that they lie within the block.
pub(super) fn field<const AT: usize, const N: usize, const BYTES: usize>(
    block: &[u8; BYTES],
) -> &[u8; N] {
    const { assert!(AT + N <= BYTES) };
    match block[AT..].first_chunk() {
        Some(field) => field,
        None => unreachable!("the field ends within the block"),
    }
}

/// The binary16 at byte `AT` of a block, as an f32.
pub(super) fn scale<const AT: usize, const BYTES: usize>(block: &[u8; BYTES]) -> f32 {
    f16::from_le_bytes(*field::<AT, 2, BYTES>(block)).to_f32()
}

/// The `N` bytes of a block that start at byte `AT`, for writing.
pub(super) fn field_mut<const AT: usize, const N: usize, const BYTES: usize>(
    block: &mut [u8; BYTES],
) -> &mut [u8; N] {
    const { assert!(AT + N <= BYTES) };
    match block[AT..].first_chunk_mut() {
        Some(field) => field,
        None => unreachable!("the field ends within the block"),
    }
}

/// Writes a scale at byte `AT` of a block as the nearest binary16, with ties to even.
pub(super) fn put_scale<const AT: usize, const BYTES: usize>(block: &mut [u8; BYTES], scale: f32) {
    *field_mut::<AT, 2, BYTES>(block) = f16::from_f32(scale).to_le_bytes();
}
