//! How far apart outputs are, and a fingerprint of their bits.

use smallmind::files::digest::Digest;

/// The distance between two tensors, in standard deviations of the expected tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The largest of all elements; NaN if any can't be compared.
    pub largest: f64,
    /// The mean over all elements.
    pub mean: f64,
}

impl Difference {
    /// Compare tensors of the same shape. Elements with equal bits are equal, whatever they are; if all expected elements
    /// are the same, the unit is 1.
    pub fn new(found: &[f32], expected: &[f32]) -> Difference {
        let unit = Difference::unit(expected);
        let (mut largest, mut sum) = (0.0f64, 0.0);
        for (found, expected) in found.iter().zip(expected) {
            let distance = match found.to_bits() == expected.to_bits() {
                true => 0.0,
                false => (f64::from(*found) - f64::from(*expected)).abs() / unit,
            };
            sum += distance;
            if distance.is_nan() || distance > largest {
                largest = distance;
            }
        }
        let mean = sum / found.len().max(1) as f64;
        if mean.is_nan() {
            largest = mean;
        }
        Difference { largest, mean }
    }

    /// The unit of distances: the standard deviation of the expected elements, or 1 if all of them are the same.
    pub fn unit(expected: &[f32]) -> f64 {
        match deviation(expected) {
            unit if unit > 0.0 => unit,
            _ => 1.0,
        }
    }
}

/// The standard deviation of all elements.
fn deviation(x: &[f32]) -> f64 {
    let count = x.len().max(1) as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let squares = x
        .iter()
        .map(|&x| (f64::from(x) - mean) * (f64::from(x) - mean));
    (squares.sum::<f64>() / count).sqrt()
}

/// The most probable token: the largest logit, and the lowest id among equals. No logit is NaN: a session refuses NaN.
pub fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (id, &logit) in logits.iter().enumerate() {
        if logits.get(best).is_some_and(|&best| logit > best) {
            best = id;
        }
    }
    best
}

/// The mean of rows of `width` elements, divided by its length (the square root of the sum of squares).
pub fn mean_pooled(rows: &[f32], width: usize) -> Vec<f32> {
    let mut mean = vec![0.0f64; width];
    let count = (rows.len() / width.max(1)).max(1) as f64;
    for row in rows.chunks_exact(width.max(1)) {
        for (mean, &x) in mean.iter_mut().zip(row) {
            *mean += f64::from(x) / count;
        }
    }
    let length = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
    // The smallest length that PyTorch's normalize allows.
    let length = length.max(1e-12);
    mean.iter().map(|x| (x / length) as f32).collect()
}

/// A fingerprint of bits: FNV-1a of 64 bits over the elements' little-endian bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(Digest);

impl Fingerprint {
    /// The fingerprint of no elements.
    pub fn new() -> Fingerprint {
        Fingerprint::default()
    }

    /// Adds elements after the elements that were already added.
    pub fn add(&mut self, elements: &[f32]) {
        for x in elements {
            self.0.add(&x.to_le_bytes());
        }
    }

    /// As 16 hexadecimal digits.
    pub fn hex(self) -> String {
        format!("{:016x}", self.0.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_standard_deviation_of_what_is_expected() {
        let difference = Difference::new(&[1.0, 3.0, 4.0, 3.0], &[1.0, 3.0, 1.0, 3.0]);
        assert_eq!(
            difference,
            Difference {
                largest: 3.0,
                mean: 0.75
            }
        );
    }

    #[test]
    fn what_is_not_finite_is_equal_to_itself_and_to_nothing_else() {
        let inf = f32::INFINITY;
        assert_eq!(
            Difference::new(&[inf, f32::NAN], &[inf, f32::NAN]).largest,
            0.0
        );
        assert!(
            Difference::new(&[f32::NAN, 1.0], &[1.0, 1.0])
                .largest
                .is_nan()
        );
        assert!(
            Difference::new(&[1.0, f32::NAN, 9.0], &[1.0, 2.0, 3.0])
                .largest
                .is_nan()
        );
        assert_eq!(
            Difference::new(&[inf, 1.0], &[2.0, 1.0]).largest,
            f64::INFINITY
        );
    }

    #[test]
    fn the_lowest_id_wins_among_equals() {
        assert_eq!(argmax(&[-1.0, 2.0, 2.0, 1.0]), 1);
        assert_eq!(argmax(&[]), 0);
    }

    #[test]
    fn pooling_takes_the_mean_and_divides_by_its_length() {
        assert_eq!(mean_pooled(&[1.0, 0.0, 5.0, 8.0], 2), [0.6, 0.8]);
        assert_eq!(mean_pooled(&[0.0, 0.0], 2), [0.0, 0.0]);
    }

    #[test]
    fn the_fingerprint_is_fnv_1a() {
        // "foobar" and two zero bytes: FNV-1a of "foobar" is 85944171f73967e8.
        let mut whole = Fingerprint::new();
        whole.add(&[f32::from_le_bytes(*b"foob"), f32::from_le_bytes(*b"ar\0\0")]);
        let zeros = (0..2).fold(0x8594_4171_f739_67e8u64, |hash, _| {
            hash.wrapping_mul(0x0000_0100_0000_01b3)
        });
        assert_eq!(whole.hex(), format!("{zeros:016x}"));
        assert_eq!(Fingerprint::new().hex(), "cbf29ce484222325");
    }
}
