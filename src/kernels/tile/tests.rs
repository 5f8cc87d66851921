//! Is there enough scratch for every step?

use super::*;

#[test]
fn scratch_for_many_rows_is_enough_for_fewer() {
    for cols in [8, BLOCK_COLS, BLOCK_COLS + 1] {
        let needed = |rows: usize, pairs: usize| {
            let block = block_rows(rows, pairs, 2);
            let copies = if rows > 1 {
                cols.div_ceil(BLOCK_COLS) * block * STRIDE
            } else {
                0
            };
            sum_floats(block) + copies
        };
        let mut most = 0;
        for rows in 1..=5 * BLOCK_TOKENS {
            most = most.max(needed(rows, 1).max(needed(rows, usize::MAX)));
            assert!(scratch_floats(cols, rows) >= most, "{rows} rows of {cols}");
        }
    }
}
