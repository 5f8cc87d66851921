//! Are buffers placed correctly and closely?

use proptest::prelude::*;
use smallmind::plan::place::{Buffer, Overlap, Placement, place, verify};

const ALIGNMENT: usize = 64;

fn buffer(bytes: usize, first: usize, last: usize) -> Buffer {
    Buffer { bytes, first, last }
}

/// Buffers of random size and lifetime. Sizes are often equal and sometimes 0, as in models.
fn buffers(most: usize) -> impl Strategy<Value = Vec<Buffer>> {
    let size = prop_oneof![0usize..5000, Just(0), Just(4096), Just(16384)];
    let one = (size, 0usize..60, 0usize..20)
        .prop_map(|(bytes, first, more)| buffer(bytes, first, first + more));
    prop::collection::vec(one, 0..most)
}

/// The values of a pre-norm decoder with gated feed-forward, [tokens, …] f32, one step for each phase.
fn decoder(layers: usize, tokens: usize, width: usize, kv: usize, hidden: usize) -> Vec<Buffer> {
    let row = tokens * 4;
    let mut buffers = Vec::new();
    let mut residual = 0;
    for p in (0..layers).map(|layer| layer * 8) {
        buffers.extend([
            buffer(row * width, p + 1, p + 2),            // norm
            buffer(row * (width + 2 * kv), p + 2, p + 3), // q, k, v
            buffer(row * width, p + 3, p + 4),            // attention
            buffer(row * width, residual, p + 4),         // residual
            buffer(row * width, p + 5, p + 6),            // norm
            buffer(row * hidden, p + 6, p + 7),           // gate
            buffer(row * hidden, p + 6, p + 7),           // up
            buffer(row * hidden, p + 7, p + 8),           // product
            buffer(row * width, p + 4, p + 8),            // residual
        ]);
        residual = p + 8;
    }
    buffers.push(buffer(row * width, residual, residual + 1));
    buffers.push(buffer(4 * 32_000, residual + 1, residual + 2)); // logits
    buffers
}

/// A repeatable stream of numbers below the given bound.
fn numbers(mut state: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn buffers_alive_together_never_overlap(buffers in buffers(60)) {
        let placement = place(&buffers, ALIGNMENT);
        // Byte by byte, as in the definition, independently of `verify`.
        for (i, a) in buffers.iter().enumerate() {
            prop_assert_eq!(placement.offsets[i] % ALIGNMENT, 0);
            prop_assert!(placement.offsets[i] + a.bytes <= placement.bytes);
            for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                let together = (0..100).any(|p| (a.first..=a.last).contains(&p) && (b.first..=b.last).contains(&p));
                let (x, y) = (placement.offsets[i], placement.offsets[j]);
                prop_assert!(!together || x + a.bytes <= y || y + b.bytes <= x || a.bytes == 0 || b.bytes == 0);
            }
        }
        prop_assert_eq!(verify(&buffers, &placement, ALIGNMENT), Ok(()));
    }

    #[test]
    fn the_lower_bound_is_the_fullest_phase(buffers in buffers(60)) {
        let placement = place(&buffers, ALIGNMENT);
        let alive = |p: usize| -> usize {
            let here = buffers.iter().filter(|b| b.first <= p && p <= b.last);
            here.map(|b| b.bytes.next_multiple_of(ALIGNMENT)).sum()
        };
        prop_assert_eq!(placement.lower_bound, (0..100).map(alive).max().unwrap_or(0));
        prop_assert!(placement.lower_bound <= placement.bytes && placement.bytes <= placement.unshared);
    }
}

#[test]
fn decoders_need_no_more_than_lives_at_once() {
    for (layers, tokens, width, kv, hidden) in [
        (12, 1, 768, 768, 3072),
        (30, 64, 576, 192, 1536),
        (24, 512, 896, 128, 4864),
        (32, 512, 4096, 1024, 14336),
    ] {
        let buffers = decoder(layers, tokens, width, kv, hidden);
        let placement = place(&buffers, ALIGNMENT);
        assert_eq!(verify(&buffers, &placement, ALIGNMENT), Ok(()));
        assert_eq!(
            placement.bytes, placement.lower_bound,
            "{layers} layers of width {width}"
        );
    }
}

#[test]
fn random_lifetimes_come_within_two_percent() {
    let mut below = numbers(0x0123_4567_89AB_CDEF);
    for case in 0..12 {
        let buffers: Vec<Buffer> = (0..150)
            .map(|_| {
                let first = below(150);
                buffer(1 + below(100_000), first, first + below(12))
            })
            .collect();
        let placement = place(&buffers, ALIGNMENT);
        assert_eq!(verify(&buffers, &placement, ALIGNMENT), Ok(()));
        let (bytes, bound) = (placement.bytes, placement.lower_bound);
        assert!(
            bytes * 100 <= bound * 102,
            "case {case}: {bytes} bytes for a lower bound of {bound}"
        );
    }
}

#[test]
fn equal_input_gives_equal_offsets() {
    let mut below = numbers(99);
    let buffers: Vec<Buffer> = (0..100)
        .map(|_| {
            let first = below(100);
            buffer(1 + below(100_000), first, first + below(60))
        })
        .collect();
    assert_eq!(place(&buffers, ALIGNMENT), place(&buffers, ALIGNMENT));
}

#[test]
fn nothing_takes_nothing() {
    assert_eq!(
        place(&[], ALIGNMENT),
        Placement {
            offsets: vec![],
            bytes: 0,
            lower_bound: 0,
            unshared: 0
        }
    );
    assert_eq!(place(&[buffer(0, 3, 9)], ALIGNMENT).bytes, 0);
}

#[test]
fn sizes_beyond_the_address_space_are_reported_as_such() {
    let huge = usize::MAX / 3 * 2;
    let together = place(&[buffer(huge, 0, 1), buffer(huge, 1, 2)], ALIGNMENT);
    assert_eq!(
        (together.bytes, together.lower_bound),
        (usize::MAX, usize::MAX)
    );
}

#[test]
fn verify_names_both_buffers_that_overlap() {
    let buffers = [buffer(64, 9, 9), buffer(100, 0, 2), buffer(64, 2, 5)];
    let placement = Placement {
        offsets: vec![0, 0, 64],
        bytes: 128,
        lower_bound: 192,
        unshared: 256,
    };
    let error = verify(&buffers, &placement, ALIGNMENT).unwrap_err();
    assert_eq!(
        error.to_string(),
        "buffers 1 and 2 share bytes while both live: 1 holds bytes 0..100 in phases 0..=2, 2 holds bytes 64..128 in \
         phases 2..=5"
    );
}

#[test]
fn verify_refuses_bad_offsets() {
    let buffers = [buffer(100, 0, 0)];
    let check = |offsets: Vec<usize>, bytes| {
        verify(
            &buffers,
            &Placement {
                offsets,
                bytes,
                lower_bound: 128,
                unshared: 128,
            },
            ALIGNMENT,
        )
    };
    assert_eq!(
        check(vec![32], 256),
        Err(Overlap::Unaligned {
            buffer: 0,
            offset: 32,
            alignment: 64
        })
    );
    assert_eq!(
        check(vec![64], 128),
        Err(Overlap::Outside {
            buffer: 0,
            offset: 64,
            bytes: 100,
            end: 128
        })
    );
    assert_eq!(
        check(vec![], 128),
        Err(Overlap::Count {
            expected: 1,
            found: 0
        })
    );
    assert!(check(vec![usize::MAX - 63], 128).is_err());
}
