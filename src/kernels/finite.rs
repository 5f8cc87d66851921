//! Whether numbers are finite: a check before choosing from logits or returning a vector.

/// How many elements are checked before the search may stop at one that is not finite.
const BLOCK: usize = 4096;

/// The numbers of a row that are NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonFinite {
    /// The index of the first one.
    pub first: usize,
    /// How many there are.
    pub count: usize,
}

/// The elements of `values` that are not finite; `None` if all are finite.
pub fn non_finite(values: &[f32]) -> Option<NonFinite> {
    // Without an early exit, the loop over a block is one comparison and one `or` of vectors.
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
    fn the_first_is_found_at_any_index_and_all_are_counted() {
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
