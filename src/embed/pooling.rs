//! Pooling the rows of a text's tokens into one row, and normalising the row to length 1.
//!
//! ```text
//! mean[j]  = ((+0 + row[0][j]) + row[1][j] + ...) / tokens
//! max[j]   = the largest row[t][j], the first tokens first: row > max ? row : max
//! cls      = row[0]                    last = row[tokens - 1]
//! normalize(x): lane[0..16] = +0; for j: lane[j % 16] = lane[j % 16] + x[j] · x[j]
//!               y[j] = x[j] / max(sqrt(tree(lane)), 1e-12), or NaN where tree(lane) is infinite
//! ```

use crate::exec::shared_texts::Rows;
use crate::kernels::float_environment::FloatEnvironment;
use crate::kernels::simd::{LANES, tree};

/// How the hidden states of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The mean over the text's tokens, special ones included.
    Mean,
    /// The first token's hidden state: BERT's `[CLS]`.
    Cls,
    /// The last token's hidden state.
    Last,
    /// The largest element of each column.
    Max,
}

impl Pooling {
    /// All poolings.
    pub const ALL: [Pooling; 4] = [Pooling::Mean, Pooling::Cls, Pooling::Last, Pooling::Max];

    /// Its name: `mean`, `cls`, `last` or `max`.
    pub fn name(self) -> &'static str {
        match self {
            Pooling::Mean => "mean",
            Pooling::Cls => "cls",
            Pooling::Last => "last",
            Pooling::Max => "max",
        }
    }

    /// The pooling with this name.
    pub fn named(name: &str) -> Option<Pooling> {
        Pooling::ALL
            .into_iter()
            .find(|pooling| pooling.name() == name)
    }

    /// The pooled row of a text whose tokens' rows are `rows`, [tokens, width].
    pub fn pool(self, rows: &[f32], width: usize) -> Vec<f32> {
        let _environment = FloatEnvironment::set_default();
        let mut pooler = Pooler::new(self, width);
        pooler.add(rows);
        pooler.finish()
    }
}

/// Pools a text whose rows arrive part by part.
pub(super) struct Pooler {
    pooling: Pooling,
    row: Vec<f32>,
    tokens: usize,
}

impl Pooler {
    /// A pooler that has seen no token, for rows of `width` elements.
    pub fn new(pooling: Pooling, width: usize) -> Pooler {
        Pooler {
            pooling,
            row: vec![0.0; width],
            tokens: 0,
        }
    }

    /// How many tokens it has seen.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The pooled row.
    pub fn finish(mut self) -> Vec<f32> {
        if self.pooling == Pooling::Mean {
            let tokens = self.tokens.max(1) as f32;
            self.row.iter_mut().for_each(|sum| *sum /= tokens);
        }
        self.row
    }
}

impl Rows for Pooler {
    fn add(&mut self, rows: &[f32]) {
        for row in rows.chunks_exact(self.row.len().max(1)) {
            let pooled = self.row.iter_mut().zip(row);
            match self.pooling {
                Pooling::Mean => pooled.for_each(|(sum, x)| *sum += x),
                Pooling::Max if self.tokens > 0 => {
                    pooled.for_each(|(max, x)| *max = if *x > *max { *x } else { *max });
                }
                Pooling::Cls if self.tokens > 0 => {}
                Pooling::Max | Pooling::Cls | Pooling::Last => self.row.copy_from_slice(row),
            }
            self.tokens += 1;
        }
    }
}

/// Normalises a row to Euclidean length 1; a row shorter than 1e-12 is divided by 1e-12. A row whose squares are too large
/// to be added up becomes NaN: divided by infinity, it would look like a row of zeros.
pub fn normalize(row: &mut [f32]) {
    let _environment = FloatEnvironment::set_default();
    let mut lanes = [0f32; LANES];
    for (j, x) in row.iter().enumerate() {
        lanes[j % LANES] += x * x;
    }
    let squares = tree(lanes, |a, b| a + b);
    if squares == f32::INFINITY {
        row.fill(f32::NAN);
        return;
    }
    let length = squares.sqrt().max(1e-12);
    row.iter_mut().for_each(|x| *x /= length);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [f32; 6] = [1.0, -2.0, 5.0, -4.0, 3.0, 9.0];

    #[test]
    fn each_pooling_is_what_its_name_says() {
        assert_eq!(Pooling::Mean.pool(&ROWS, 2), [3.0, 1.0]);
        assert_eq!(Pooling::Cls.pool(&ROWS, 2), [1.0, -2.0]);
        assert_eq!(Pooling::Last.pool(&ROWS, 2), [3.0, 9.0]);
        assert_eq!(Pooling::Max.pool(&ROWS, 2), [5.0, 9.0]);
        assert_eq!(Pooling::Max.pool(&[-1.0, -2.0], 2), [-1.0, -2.0]);
    }

    #[test]
    fn rows_may_come_part_by_part() {
        let rows: Vec<f32> = (0..60).map(|i| (i as f32 * 0.7).fract() - 0.3).collect();
        for pooling in Pooling::ALL {
            let mut pooler = Pooler::new(pooling, 3);
            for part in rows.chunks(21) {
                pooler.add(part);
            }
            assert_eq!(pooler.tokens(), 20);
            assert_eq!(pooler.finish(), pooling.pool(&rows, 3), "{pooling:?}");
        }
    }

    #[test]
    fn a_row_gets_length_1_and_a_row_of_zeros_stays() {
        let mut row = [3.0, 0.0, -4.0];
        normalize(&mut row);
        assert_eq!(row, [0.6, 0.0, -0.8]);
        let mut zeros = [0.0; 20];
        normalize(&mut zeros);
        assert_eq!(zeros, [0.0; 20]);
        let mut huge = [1e20, 1.0];
        normalize(&mut huge);
        assert!(huge.iter().all(|x| x.is_nan()));
    }
}
