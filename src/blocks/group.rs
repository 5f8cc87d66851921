//! The meaning of a block: groups of 32 elements as small integers with scales.
//!
//! The reader of every format returns this form. Floats are computed from it here, and products with int8 activations
//! multiply its integers (`kernels/quantized` has the formulas), so both follow from one reading of the bytes.

/// Elements of a group.
pub(crate) const GROUP: usize = 32;

/// 32 consecutive elements of a block. Element i is (d · factor) · int\[i\] − minimum, where each product and the difference
/// is rounded to f32; the first 16 elements have the first factor, the last 16 the second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// The scale.
    pub d: f32,
    /// The integers.
    pub ints: [i8; GROUP],
    /// The integer factors of the first and of the last 16 elements.
    pub factors: [i8; 2],
    /// What is subtracted from each element.
    pub minimum: Minimum,
}

/// What is subtracted from each of 32 elements.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Minimum {
    /// Nothing.
    None,
    /// The same amount from every element.
    Whole(f32),
    /// A multiple of the float: one multiple for the first 16 elements and one for the last 16.
    Halves(f32, [u8; 2]),
}

impl Group {
    /// Elements d · int.
    #[inline(always)]
    pub fn new(d: f32, ints: [i8; GROUP]) -> Group {
        Group {
            d,
            ints,
            factors: [1; 2],
            minimum: Minimum::None,
        }
    }

    /// Elements d · int − minimum.
    #[inline(always)]
    pub fn with_minimum(d: f32, minimum: f32, ints: [i8; GROUP]) -> Group {
        Group {
            minimum: Minimum::Whole(minimum),
            ..Group::new(d, ints)
        }
    }

    /// The elements as floats.
    #[inline(always)]
    pub fn write(&self, out: &mut [f32; GROUP]) {
        let halves = out.as_chunks_mut::<{ GROUP / 2 }>().0.iter_mut();
        let ints = self.ints.as_chunks::<{ GROUP / 2 }>().0;
        for (half, (out, ints)) in halves.zip(ints).enumerate() {
            let scale = self.d * f32::from(self.factors[half]);
            let minimum = match self.minimum {
                Minimum::None => {
                    for (out, &int) in out.iter_mut().zip(ints) {
                        *out = scale * f32::from(int);
                    }
                    continue;
                }
                Minimum::Whole(minimum) => minimum,
                Minimum::Halves(minimum, factors) => minimum * f32::from(factors[half]),
            };
            for (out, &int) in out.iter_mut().zip(ints) {
                *out = scale * f32::from(int) - minimum;
            }
        }
    }
}
