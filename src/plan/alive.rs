//! Which buffers of a set live together with a given one, found without looking at the others.

/// A set of buffers, by index.
///
/// Two buffers live together if one lives when the other begins. Buffers that begin during a given life are consecutive
/// when all buffers are sorted by their first phases. Buffers that live when it begins are found in a segment tree over
/// the first phases, in which each buffer is stored at the few nodes that together cover its life.
pub(super) struct Alive {
    /// All buffers, sorted by their first phases.
    by_first: Vec<usize>,
    /// For each buffer, two places in `by_first`: the first buffer that begins when it does, and one past the last
    /// buffer that begins during its life.
    spans: Vec<(usize, usize)>,
    /// Whether a buffer is in the set.
    is_in: Vec<bool>,
    /// The tree's nodes: the buffers of the set that live through all first phases below the node. Node 1 is the root;
    /// the leaf of place `i` is `by_first.len() + i`.
    nodes: Vec<Vec<usize>>,
    /// Nodes that have buffers, some of them listed several times.
    used: Vec<usize>,
}

impl Alive {
    /// The empty set. `lives` are the buffers' first and last phases.
    pub fn new(lives: &[(usize, usize)]) -> Alive {
        let mut by_first: Vec<usize> = (0..lives.len()).collect();
        by_first.sort_by_key(|&i| lives[i].0);
        let spans = lives.iter().map(|&(first, last)| {
            let begin = by_first.partition_point(|&i| lives[i].0 < first);
            let end = by_first.partition_point(|&i| lives[i].0 <= last);
            (begin, end)
        });
        Alive {
            spans: spans.collect(),
            is_in: vec![false; lives.len()],
            nodes: vec![Vec::new(); 2 * lives.len()],
            used: Vec::new(),
            by_first,
        }
    }

    /// Empty the set.
    pub fn clear(&mut self) {
        for node in self.used.drain(..) {
            self.nodes[node].clear();
        }
        self.is_in.fill(false);
    }

    /// Put a buffer into the set.
    pub fn add(&mut self, index: usize) {
        self.is_in[index] = true;
        let (begin, end) = self.spans[index];
        let (mut left, mut right) = (begin + self.by_first.len(), end + self.by_first.len());
        while left < right {
            for (at, is_whole) in [(left, left % 2 == 1), (right - 1, right % 2 == 1)] {
                if is_whole {
                    self.nodes[at].push(index);
                    self.used.push(at);
                }
            }
            left = left.div_ceil(2);
            right /= 2;
        }
    }

    /// Call `each` with the buffers of the set that live together with the buffer `index`, each once.
    pub fn with(&self, index: usize, mut each: impl FnMut(usize)) {
        let (begin, end) = self.spans[index];
        let mut node = begin + self.by_first.len();
        while node > 0 {
            self.nodes[node].iter().copied().for_each(&mut each);
            node /= 2;
        }
        let later = self.by_first[begin..end].iter().copied();
        let later = later.filter(|&other| self.is_in[other] && self.spans[other].0 > begin);
        later.for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_live_together_are_found_once() {
        let lives = [
            (0, 9),
            (3, 3),
            (3, 5),
            (4, 8),
            (6, 6),
            (9, 9),
            (2, 3),
            (7, 7),
        ];
        for count in 0..=lives.len() {
            let mut alive = Alive::new(&lives);
            alive.add(0);
            alive.clear();
            (0..count).for_each(|i| alive.add(i));
            for (index, (first, last)) in lives.into_iter().enumerate() {
                let mut found = Vec::new();
                alive.with(index, |other| found.push(other));
                found.sort_unstable();
                let together = |&i: &usize| lives[i].0 <= last && first <= lives[i].1;
                let expected: Vec<usize> = (0..count).filter(together).collect();
                assert_eq!(found, expected, "{index} of {count}");
            }
        }
    }
}
