//! Which tokens the next step reads.

/// A sequence with tokens to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Its slot.
    pub slot: usize,
    /// When it was opened: a lower number is older.
    pub age: u64,
    /// Tokens that are not yet read, at least 1.
    pub unread: usize,
}

/// How many tokens of which slots the next step reads: at most `room` (at least 1) in all. Sorts `waiting`.
///
/// First comes one token of every sequence that has just one, which means that it generates; then prompts, the oldest
/// first, until `room` is used up. So a sequence that generates never waits for a prompt longer than one step, and a
/// prompt waits only for older prompts.
pub(super) fn schedule(waiting: &mut [Waiting], room: usize, mut each: impl FnMut(usize, usize)) {
    waiting.sort_unstable_by_key(|sequence| (sequence.unread > 1, sequence.age));
    let mut left = room;
    for sequence in waiting {
        let count = sequence.unread.min(left);
        if count > 0 {
            each(sequence.slot, count);
        }
        left -= count;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scheduled(waiting: &[(u64, usize)], room: usize) -> Vec<(usize, usize)> {
        let sequences = waiting.iter().enumerate();
        let mut waiting: Vec<Waiting> = sequences
            .map(|(slot, &(age, unread))| Waiting { slot, age, unread })
            .collect();
        let mut found = Vec::new();
        schedule(&mut waiting, room, |slot, count| found.push((slot, count)));
        found
    }

    #[test]
    fn whoever_generates_comes_first_and_prompts_fill_the_room_by_age() {
        let waiting = [(4, 100), (3, 1), (1, 30), (2, 1)];
        assert_eq!(scheduled(&waiting, 64), [(3, 1), (1, 1), (2, 30), (0, 32)]);
        assert_eq!(scheduled(&waiting, 1), [(3, 1)]);
        assert_eq!(scheduled(&waiting, 10), [(3, 1), (1, 1), (2, 8)]);
    }

    proptest! {
        #[test]
        fn the_room_is_used_and_never_exceeded(
            unread in prop::collection::vec(1..200usize, 1..20),
            room in 1..300usize,
        ) {
            let waiting: Vec<(u64, usize)> = unread.iter().zip(0..).map(|(&n, age)| (age, n)).collect();
            let found = scheduled(&waiting, room);
            let read: usize = found.iter().map(|(_, count)| count).sum();
            prop_assert_eq!(read, room.min(unread.iter().sum()));
            for &(slot, count) in &found {
                prop_assert!(count <= unread[slot]);
            }
            let mut slots: Vec<usize> = found.iter().map(|(slot, _)| *slot).collect();
            slots.sort_unstable();
            slots.dedup();
            prop_assert_eq!(slots.len(), found.len());
        }
    }
}
