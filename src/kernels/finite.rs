//! Whether numbers are finite: what everybody asks who chooses from logits or passes a vector on.

/// Elements that are looked at before the search stops at one that is not finite.
const BLOCK: usize = 4096;

/// The numbers of a row that are NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonFinite {
    /// The place of the first.
    pub first: usize,
    /// How many there are.
    pub count: usize,
}

/// What is not finite among `values`; `None` if all are finite.
pub fn non_finite(values: &[f32]) -> Option<NonFinite> {
    // Without an early end the loop over a block is one comparison and one `or` of vectors.
    let bad = |block: &[f32]| block.iter().fold(false, |bad, x| bad | !x.is_finite());
    let block = values.chunks(BLOCK).position(bad)? * BLOCK;
    let first = block + values[block..].iter().position(|x| !x.is_finite())?;
    let rest = values[first..].iter();
    Some(NonFinite {
        first,
        count: rest.filter(|x| !x.is_finite()).count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_wherever_it_lies_and_all_are_counted() {
        let extremes = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, -0.0];
        let mut values: Vec<f32> = extremes.into_iter().cycle().take(2 * BLOCK + 7).collect();
        assert_eq!(non_finite(&values), None);
        assert_eq!(non_finite(&[]), None);
        let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let places = [2 * BLOCK + 6, BLOCK, BLOCK - 1, 3, 0];
        for (i, first) in places.into_iter().enumerate() {
            values[first] = odd[i % odd.len()];
            let count = i + 1;
            assert_eq!(non_finite(&values), Some(NonFinite { first, count }));
        }
    }
}
