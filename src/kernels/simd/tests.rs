//! Do the instruction sets agree, method by method?

use std::array::from_fn;

use std::cell::Cell;

use super::*;

/// The results of all arithmetic on three vectors, as bits. All NaNs count as one value: their payload is unspecified.
fn arithmetic<S: Simd>(simd: S, x: [&[f32; LANES]; 3]) -> Vec<[u32; LANES]> {
    let [a, b, c] = x.map(|x| simd.load(x));
    let (a_bits, b_bits) = (simd.bits(a), simd.bits(b));
    let small = simd.round(simd.min(simd.max(a, simd.splat(-1e6)), simd.splat(1e6)));
    let results = [
        simd.add(a, b),
        simd.sub(a, b),
        simd.mul(a, b),
        simd.div(a, b),
        simd.sqrt(a),
        simd.mul_add(a, b, c),
        simd.neg_mul_add(a, b, c),
        simd.max(a, b),
        simd.min(a, b),
        simd.neg(a),
        simd.abs(a),
        simd.round(a),
        simd.select(simd.gt(a, b), a, c),
        simd.select(simd.eq_i32(a_bits, b_bits), b, c),
        simd.from_bits(simd.to_i32(small)),
        simd.from_bits(simd.add_i32(a_bits, b_bits)),
        simd.from_bits(simd.and_i32(a_bits, b_bits)),
        simd.from_bits(simd.xor_i32(a_bits, b_bits)),
        simd.from_bits(simd.shift_left::<7>(a_bits)),
        simd.from_bits(simd.splat_i32(-5)),
        simd.splat(simd.sum(a)),
        simd.splat(simd.largest(a)),
        simd.zero(),
    ];
    let nan = |x: f32| if x.is_nan() { u32::MAX } else { x.to_bits() };
    results.map(|x| simd.to_array(x).map(nan)).to_vec()
}

fn on<T>(isa: Isa, work: impl Work<T>) -> T {
    match isa {
        Isa::Scalar(simd) => work.run(simd),
        Isa::Avx2(simd) => work.run(simd),
        Isa::Avx512(simd) => work.run(simd),
    }
}

trait Work<T> {
    fn run<S: Simd>(self, simd: S) -> T;
}

#[test]
fn arithmetic_returns_the_same_bits() {
    struct Arithmetic<'a>([&'a [f32; LANES]; 3]);
    impl Work<Vec<[u32; LANES]>> for Arithmetic<'_> {
        fn run<S: Simd>(self, simd: S) -> Vec<[u32; LANES]> {
            arithmetic(simd, self.0)
        }
    }
    let edges = [
        0.0,
        -0.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        1e-45,
        -1e-39,
        f32::MAX,
    ];
    let halves = [0.5, 1.5, 2.5, -0.5, -1.5, 1.0, -1.0, 8_388_607.5];
    let mut state = 1u32;
    for round in 0..2000 {
        let mut next = |lane: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let pick = (state >> 20) as usize;
            match (round % 4, lane % 2) {
                (0, _) => edges[pick % 8],
                (1, 0) => halves[pick % 8],
                (2, 0) => edges[pick % 8],
                (3, _) => f32::from_bits(state ^ state >> 13),
                _ => (state >> 8) as f32 / 65_536.0 - 128.0,
            }
        };
        let x: [[f32; LANES]; 3] = from_fn(|_| from_fn(&mut next));
        let want = on(Isa::Scalar(Scalar), Arithmetic(x.each_ref()));
        for isa in Isa::available() {
            assert_eq!(on(isa, Arithmetic(x.each_ref())), want, "{isa:?} {x:?}");
        }
    }
}

#[test]
fn parts_of_memory_are_read_and_written_alone() {
    struct Memory;
    impl Work<()> for Memory {
        fn run<S: Simd>(self, simd: S) {
            let values: [f32; 40] = from_fn(|i| i as f32 + 1.0);
            for (start, count) in
                (0..20).flat_map(|start| (0..=20).map(move |count| (start, count)))
            {
                let part = &values[start..start + count];
                let lane = |i: usize| if i < count { part[i] } else { 0.0 };
                let want: [f32; LANES] = from_fn(lane);
                let cells = values.map(Cell::new);
                let part_cells = &cells[start..start + count];
                assert_eq!(simd.to_array(simd.load_slice_at(part, 0)), want);
                assert_eq!(simd.to_array(simd.load_at(part_cells, 0)), want);
                let first = count.min(LANES);
                assert_eq!(simd.to_array(simd.load_partial(&part_cells[..first])), want);
                assert_eq!(simd.to_array(simd.load_slice_partial(&part[..first])), want);

                let written = |cells: &[Cell<f32>; 40]| {
                    for (i, cell) in cells.iter().enumerate() {
                        let inside = (start..start + first).contains(&i);
                        assert_eq!(cell.get(), if inside { -7.0 } else { values[i] }, "{i}");
                    }
                };
                simd.store_at(part_cells, 0, simd.splat(-7.0));
                written(&cells);
                let cells = values.map(Cell::new);
                simd.store_partial(&cells[start..start + first], simd.splat(-7.0));
                written(&cells);
            }
        }
    }
    for isa in Isa::available() {
        on(isa, Memory);
    }
}

#[test]
fn lanes_between_selects_the_range() {
    struct Between(usize, usize);
    impl Work<[f32; LANES]> for Between {
        fn run<S: Simd>(self, simd: S) -> [f32; LANES] {
            let mask = simd.lanes_between(self.0, self.1);
            simd.to_array(simd.select(mask, simd.splat(1.0), simd.zero()))
        }
    }
    let ends = (0..20).chain([1 << 31, 1 << 32, usize::MAX]);
    for (from, to) in ends
        .clone()
        .flat_map(|from| ends.clone().map(move |to| (from, to)))
    {
        let want = from_fn(|i| if (from..to).contains(&i) { 1.0 } else { 0.0 });
        for isa in Isa::available() {
            assert_eq!(on(isa, Between(from, to)), want, "{from}..{to} {isa:?}");
        }
    }
}

#[test]
fn every_half_float_converts_exactly() {
    struct Halves([u16; LANES]);
    impl Work<[[f32; LANES]; 2]> for Halves {
        fn run<S: Simd>(self, simd: S) -> [[f32; LANES]; 2] {
            [simd.load_f16(&self.0), simd.load_bf16(&self.0)].map(|x| simd.to_array(x))
        }
    }
    let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    for first in (0..=u16::MAX).step_by(LANES) {
        let bits: [u16; LANES] = from_fn(|i| first + i as u16);
        for isa in Isa::available() {
            let [f16, bf16] = on(isa, Halves(bits));
            for i in 0..LANES {
                assert!(
                    same(f16[i], half::f16::from_bits(bits[i]).to_f32()),
                    "{:x} {isa:?}",
                    bits[i]
                );
                assert!(
                    same(bf16[i], half::bf16::from_bits(bits[i]).to_f32()),
                    "{:x} {isa:?}",
                    bits[i]
                );
            }
        }
    }
}

/// The results of all operations on integer lanes, as bits. `a` and `b` are any bytes; no byte of `x` is −128.
fn integers<S: Simd>(simd: S, [a, b, x]: [&[u32; LANES]; 3]) -> Vec<[u32; LANES]> {
    let [a, b, x] = [a, b, x].map(|x| simd.load_u32(x));
    let masked = |mask: [u8; 4]| simd.and_i32(a, simd.splat_i32(i32::from_ne_bytes(mask)));
    let stored = [const { Cell::new(0) }; 4];
    simd.store_bytes(&stored, simd.shift_right_signed(a, 24));
    // The offset of the weights of both words is removed with the sum of the activations.
    let ones = simd.splat_i32(i32::from_ne_bytes([1; 4]));
    let sum = simd.dot_unsigned::<4, 1>(simd.splat_i32(0), [ones], [x]);
    let correction = simd.mul_i32(sum, simd.splat_i32(-2 * S::SIGNED_OFFSET));
    let signed = [simd.signed_bytes(a), simd.signed_bytes(b)];
    let (four, five) = (masked([15; 4]), masked([31; 4]));
    let start = simd.shift_right_signed(b, 8);
    let results = [
        simd.bits(simd.to_f32(a)),
        simd.or_i32(a, b),
        simd.mul_i32(a, b),
        simd.shift_left_by(a, 5),
        simd.shift_right_by(a, 9),
        simd.shift_right_signed(a, 9),
        simd.splat_i32(simd.sum_i32(a)),
        simd.dot_i16(a, x),
        simd.lookup(from_fn(|i| (i as i8) * 7 - 60), four),
        simd.dot_unsigned::<4, 9>(start, [four; 9], [x; 9]),
        simd.dot_unsigned::<5, 5>(start, [five; 5], [x; 5]),
        simd.dot_unsigned::<6, 3>(start, [masked([63; 4]); 3], [x; 3]),
        simd.dot_signed(correction, signed, [x; 2]),
        simd.splat_i32(stored[0].get()),
        simd.splat_i32(stored[3].get()),
    ];
    let lanes = |x| simd.to_array(simd.from_bits(x)).map(f32::to_bits);
    results.map(lanes).to_vec()
}

#[test]
fn integer_lanes_return_the_same_bits_even_at_the_ends_of_their_ranges() {
    struct Integers<'a>([&'a [u32; LANES]; 3]);
    impl Work<Vec<[u32; LANES]>> for Integers<'_> {
        fn run<S: Simd>(self, simd: S) -> Vec<[u32; LANES]> {
            integers(simd, self.0)
        }
    }
    let ends = [0, 0x7f, 0x80, 0x81, 0xff, 1, 0xc1, 0x3f];
    let mut state = 1u32;
    for round in 0..2000 {
        let mut byte = |no_lowest: bool| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let byte = match round % 2 {
                0 => ends[state as usize >> 20 & 7],
                _ => (state >> 21) as u8,
            };
            if no_lowest && byte == 0x80 {
                0x7f
            } else {
                byte
            }
        };
        let x: [[u32; LANES]; 3] =
            from_fn(|i| from_fn(|_| u32::from_le_bytes(from_fn(|_| byte(i == 2)))));
        let want = integers(Scalar, x.each_ref());
        for isa in Isa::available() {
            assert_eq!(on(isa, Integers(x.each_ref())), want, "{isa:?} {x:x?}");
            if let Isa::Avx512(simd) = isa
                && let Some(simd) = simd.vnni()
            {
                assert_eq!(integers(simd, x.each_ref()), want, "VNNI {x:x?}");
            }
        }
    }
}

#[test]
fn products_of_signed_bytes_are_sums_of_products() {
    let w = from_fn(|i| u32::from_le_bytes([128 + i as u8, 127, 255 - i as u8, i as u8]));
    let x = from_fn(|i| u32::from_le_bytes([129 + i as u8, 127, 3, 200]));
    let lane = |i: usize| {
        let products = w[i].to_le_bytes().into_iter().zip(x[i].to_le_bytes());
        products
            .map(|(w, x)| i32::from(w as i8) * i32::from(x as i8))
            .sum::<i32>()
    };
    let got = Scalar.dot_signed([0; LANES], [Scalar.load_u32(&w)], [Scalar.load_u32(&x)]);
    assert_eq!(got, from_fn(lane));
}
