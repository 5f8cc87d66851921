//! The search for the scales that lose the least when groups of elements are rounded to small integers.
//!
//! Groups are stored side by side: element i of group g is `[i][g]`. Groups do not mix, and within a group every sum runs
//! over the elements in order, so the groups can be computed in the lanes of vectors without changing any bit.
//!
//! Each search is the search of llama.cpp: it tries a series of scales a little smaller and a little larger than the obvious
//! one, rounds the elements under each, and solves for the scale (and minimum) that fits the rounded numbers best in the
//! weighted sum of squares.

/// `ELEMENTS` elements of each of `GROUPS` groups.
pub(super) type Groups<const GROUPS: usize, const ELEMENTS: usize> = [[f32; GROUPS]; ELEMENTS];

/// A group whose largest magnitude is below this counts as all zeros.
pub(super) const NEGLIGIBLE: f32 = 1e-15;

/// The nearest integer, with ties to even, for magnitudes up to 2^22. For larger magnitudes, a float near `x`.
pub(super) fn nearest(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 · 2^23: the sum has no bits below 1.
    (x + SHIFT) - SHIFT
}

/// `x` limited to `first..=last`. NaN stays NaN.
pub(super) fn between(x: f32, first: f32, last: f32) -> f32 {
    let x = if x < first { first } else { x };
    if x > last { last } else { x }
}

/// Elements as `scale · number − minimum`.
pub(super) struct WithMinimum<const GROUPS: usize, const ELEMENTS: usize> {
    /// The scale of each group; not negative.
    pub scale: [f32; GROUPS],
    /// The minimum of each group; not negative.
    pub minimum: [f32; GROUPS],
    /// Integers from 0 to `last`.
    pub numbers: Groups<GROUPS, ELEMENTS>,
}

/// Scales and minimums for numbers from 0 to `last`. The scales tried are (greatest − least) / (last + first + 0.1 · i) for
/// i in 0..=`steps`; errors are weighted by `weights`.
pub(super) fn with_minimum<const GROUPS: usize, const ELEMENTS: usize>(
    x: &Groups<GROUPS, ELEMENTS>,
    weights: &Groups<GROUPS, ELEMENTS>,
    last: f32,
    first: f32,
    steps: u16,
) -> WithMinimum<GROUPS, ELEMENTS> {
    let zeros = [0.0f32; GROUPS];
    let (mut least, mut greatest) = (x[0], x[0]);
    let (mut sum_w, mut sum_x) = (zeros, zeros);
    for (x, w) in x.iter().zip(weights) {
        for g in 0..GROUPS {
            least[g] = if x[g] < least[g] { x[g] } else { least[g] };
            greatest[g] = if x[g] > greatest[g] {
                x[g]
            } else {
                greatest[g]
            };
            sum_w[g] += w[g];
            sum_x[g] += w[g] * x[g];
        }
    }
    // An element that is 0 must stay exact.
    let mut minimum = least.map(|least| if least > 0.0 { 0.0 } else { least });
    let flat: [bool; GROUPS] = std::array::from_fn(|g| greatest[g] == minimum[g]);
    let inverse: [f32; GROUPS] = std::array::from_fn(|g| last / (greatest[g] - minimum[g]));
    let mut scale = inverse.map(|inverse| 1.0 / inverse);
    let mut numbers = rounded(x, &inverse, &minimum, last);
    let mut best = errors(x, weights, &numbers, &scale, &minimum);

    for step in 0..=steps {
        let divisions = first + 0.1 * f32::from(step) + last;
        let inverse = std::array::from_fn(|g| divisions / (greatest[g] - minimum[g]));
        let tried = rounded(x, &inverse, &minimum, last);
        let (mut sum_l, mut sum_l2, mut sum_xl) = (zeros, zeros, zeros);
        for ((x, w), l) in x.iter().zip(weights).zip(&tried) {
            for g in 0..GROUPS {
                let wl = w[g] * l[g];
                sum_l[g] += wl;
                sum_l2[g] += wl * l[g];
                sum_xl[g] += wl * x[g];
            }
        }
        let (mut new_scale, mut new_minimum, mut solvable) = (zeros, zeros, [false; GROUPS]);
        for g in 0..GROUPS {
            let determinant = sum_w[g] * sum_l2[g] - sum_l[g] * sum_l[g];
            solvable[g] = determinant > 0.0;
            new_scale[g] = (sum_w[g] * sum_xl[g] - sum_x[g] * sum_l[g]) / determinant;
            new_minimum[g] = (sum_l2[g] * sum_x[g] - sum_l[g] * sum_xl[g]) / determinant;
            if new_minimum[g] > 0.0 {
                new_minimum[g] = 0.0;
                new_scale[g] = sum_xl[g] / sum_l2[g];
            }
        }
        let error = errors(x, weights, &tried, &new_scale, &new_minimum);
        let better: [bool; GROUPS] = std::array::from_fn(|g| solvable[g] && error[g] < best[g]);
        for g in 0..GROUPS {
            best[g] = if better[g] { error[g] } else { best[g] };
            scale[g] = if better[g] { new_scale[g] } else { scale[g] };
            minimum[g] = if better[g] {
                new_minimum[g]
            } else {
                minimum[g]
            };
        }
        choose(&mut numbers, &tried, &better);
    }
    choose(&mut numbers, &[zeros; ELEMENTS], &flat);
    WithMinimum {
        scale: std::array::from_fn(|g| if flat[g] { 0.0 } else { scale[g] }),
        minimum: minimum.map(|minimum| -minimum),
        numbers,
    }
}

/// For each element, the number from 0 to `last` that is nearest to `(x − minimum) · inverse`.
fn rounded<const GROUPS: usize, const ELEMENTS: usize>(
    x: &Groups<GROUPS, ELEMENTS>,
    inverse: &[f32; GROUPS],
    minimum: &[f32; GROUPS],
    last: f32,
) -> Groups<GROUPS, ELEMENTS> {
    let mut numbers = [[0.0; GROUPS]; ELEMENTS];
    for (numbers, x) in numbers.iter_mut().zip(x) {
        for g in 0..GROUPS {
            numbers[g] = between(nearest(inverse[g] * (x[g] - minimum[g])), 0.0, last);
        }
    }
    numbers
}

/// For each group, the weighted sum of the squares of `scale · number + minimum − x`.
fn errors<const GROUPS: usize, const ELEMENTS: usize>(
    x: &Groups<GROUPS, ELEMENTS>,
    weights: &Groups<GROUPS, ELEMENTS>,
    numbers: &Groups<GROUPS, ELEMENTS>,
    scale: &[f32; GROUPS],
    minimum: &[f32; GROUPS],
) -> [f32; GROUPS] {
    let mut errors = [0.0; GROUPS];
    for ((x, w), l) in x.iter().zip(weights).zip(numbers) {
        for g in 0..GROUPS {
            let difference = scale[g] * l[g] + minimum[g] - x[g];
            errors[g] += w[g] * (difference * difference);
        }
    }
    errors
}

/// Copies the numbers of the chosen groups from `other`.
fn choose<const GROUPS: usize, const ELEMENTS: usize>(
    numbers: &mut Groups<GROUPS, ELEMENTS>,
    other: &Groups<GROUPS, ELEMENTS>,
    chosen: &[bool; GROUPS],
) {
    if chosen.contains(&true) {
        for (numbers, other) in numbers.iter_mut().zip(other) {
            for g in 0..GROUPS {
                numbers[g] = if chosen[g] { other[g] } else { numbers[g] };
            }
        }
    }
}

/// Elements as `scale · number`.
pub(super) struct Centred<const GROUPS: usize, const ELEMENTS: usize> {
    /// The scale of each group; of either sign.
    pub scale: [f32; GROUPS],
    /// Integers from −`most` to `most` − 1.
    pub numbers: Groups<GROUPS, ELEMENTS>,
}

/// Scales for numbers from −`most` to `most` − 1, with errors weighted by the squares of the elements. The scales tried are
/// those under which the first element of the largest magnitude becomes −(most + 0.1 · i) for i from −9 to 9.
pub(super) fn centred<const GROUPS: usize, const ELEMENTS: usize>(
    x: &Groups<GROUPS, ELEMENTS>,
    most: f32,
) -> Centred<GROUPS, ELEMENTS> {
    let mut farthest = [0.0f32; GROUPS];
    for x in x {
        for g in 0..GROUPS {
            farthest[g] = if x[g].abs() > farthest[g].abs() {
                x[g]
            } else {
                farthest[g]
            };
        }
    }
    let mut fit = Centred {
        scale: [0.0; GROUPS],
        numbers: [[0.0; GROUPS]; ELEMENTS],
    };
    let mut best = [0.0; GROUPS];
    // The obvious scale first: it is kept unless another is better.
    for step in [0i8].into_iter().chain(-9..=-1).chain(1..=9) {
        let divisions = most + 0.1 * f32::from(step);
        let inverse = farthest.map(|farthest| -divisions / farthest);
        let (mut sum_xl, mut sum_l2) = ([0.0; GROUPS], [0.0; GROUPS]);
        let mut tried = [[0.0; GROUPS]; ELEMENTS];
        for (l, x) in tried.iter_mut().zip(x) {
            for g in 0..GROUPS {
                let w = x[g] * x[g];
                l[g] = between(nearest(inverse[g] * x[g]), -most, most - 1.0);
                sum_xl[g] += w * x[g] * l[g];
                sum_l2[g] += w * l[g] * l[g];
            }
        }
        let mut better = [false; GROUPS];
        for g in 0..GROUPS {
            better[g] = sum_l2[g] > 0.0 && sum_xl[g] * sum_xl[g] > best[g] * sum_l2[g];
            better[g] |= step == 0;
            let scale = if sum_l2[g] == 0.0 {
                0.0
            } else {
                sum_xl[g] / sum_l2[g]
            };
            fit.scale[g] = if better[g] { scale } else { fit.scale[g] };
            best[g] = if better[g] {
                scale * sum_xl[g]
            } else {
                best[g]
            };
        }
        choose(&mut fit.numbers, &tried, &better);
    }
    let negligible = farthest.map(|farthest| farthest.abs() < NEGLIGIBLE);
    for (scale, &negligible) in fit.scale.iter_mut().zip(&negligible) {
        *scale = if negligible { 0.0 } else { *scale };
    }
    // Where the scale is 0 the numbers are meaningless; llama.cpp writes the least number there.
    choose(&mut fit.numbers, &[[-most; GROUPS]; ELEMENTS], &negligible);
    fit
}
