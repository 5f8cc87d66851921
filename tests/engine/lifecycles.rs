//! Does a batcher admit, read, refuse and free exactly what a simple model of it says?

use std::collections::HashMap;

use proptest::prelude::*;
use smallmind::exec::batcher::{Batcher, SequenceId, pages_of};
use smallmind::exec::refused::Refused;
use smallmind::exec::session::StepError;
use smallmind::{Model, Options, Session};

use crate::common::{bits, open};

const SEQUENCES: usize = 3;
const CHUNK: usize = 24;

#[derive(Clone, Debug)]
enum Event {
    /// A sequence of at most this many positions is opened.
    Open(usize),
    /// A sequence gets tokens: the first `common` are the same in all sequences.
    Push {
        which: usize,
        tokens: usize,
        common: usize,
    },
    /// A step with this room.
    Step(usize),
    Close(usize),
    Clear,
}

fn event() -> impl Strategy<Value = Event> {
    let tokens = prop_oneof![Just(1usize), 0..150usize];
    let common = prop_oneof![Just(150usize), 0..150usize];
    let push = (any::<usize>(), tokens, common);
    prop_oneof![
        3 => (1..220usize).prop_map(Event::Open),
        4 => push.prop_map(|(which, tokens, common)| Event::Push { which, tokens, common }),
        12 => (1..40usize).prop_map(Event::Step),
        1 => any::<usize>().prop_map(Event::Close),
        1 => Just(Event::Clear),
    ]
}

/// A sequence as the model sees it; the oldest comes first in the model's list.
struct Expected {
    id: SequenceId,
    limit: usize,
    tokens: Vec<u32>,
    read: usize,
}

struct World<'m> {
    batcher: Batcher,
    model: &'m Model,
    all: usize,
    open: Vec<Expected>,
    alone: Session,
    /// The logits after tokens, computed in a session.
    known: HashMap<Vec<u32>, Vec<u32>>,
}

impl World<'_> {
    fn needed(&self, positions: usize) -> usize {
        pages_of(&self.model.compiled().plan, positions)
    }

    fn promised(&self) -> usize {
        self.open.iter().map(|open| self.needed(open.limit)).sum()
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Open(positions) => self.admit(positions),
            Event::Push {
                which,
                tokens,
                common,
            } => {
                let Some(number) = which.checked_rem(self.open.len()) else {
                    return;
                };
                let expected = &mut self.open[number];
                let position = expected.tokens.len();
                let token = |at: usize| match at < common {
                    true => (at * 37 % 250) as u32,
                    false => ((at * 91 + which % 5) % 250) as u32,
                };
                let new: Vec<u32> = (position..position + tokens).map(token).collect();
                let found = self.batcher.push(expected.id, &new);
                if tokens == 0 {
                    assert_eq!(found, Err(StepError::Empty));
                } else if position + tokens > expected.limit {
                    let context = expected.limit;
                    let full = StepError::ContextFull {
                        position,
                        context,
                        tokens,
                    };
                    assert_eq!(found, Err(full));
                } else {
                    assert_eq!(found, Ok(()));
                    if position == 0 {
                        expected.read = self.batcher.reused(expected.id);
                        assert!(expected.read < tokens && expected.read.is_multiple_of(64));
                    }
                    expected.tokens.extend(new);
                }
            }
            Event::Step(room) => self.step(room),
            Event::Close(which) => {
                if let Some(number) = which.checked_rem(self.open.len()) {
                    let id = self.open.remove(number).id;
                    self.batcher.close(id);
                    self.batcher.close(id);
                    assert_eq!(self.batcher.logits(id), Err(StepError::Gone));
                }
            }
            Event::Clear => {
                self.batcher.clear();
                // What is left are the pages of the open sequences, some of them shared.
                let (_, _, free) = self.batcher.pages();
                let read = self.open.iter().map(|open| self.needed(open.read));
                assert!(self.all - free <= read.sum());
            }
        }
    }

    fn admit(&mut self, positions: usize) {
        let (needed, free) = (self.needed(positions), self.all - self.promised());
        let all = self.all;
        let page = self.model.compiled().plan.regions().page();
        let refused = if needed > all {
            Some(Refused::TooLong {
                positions,
                needed,
                all,
                page,
            })
        } else if self.open.len() == SEQUENCES {
            Some(Refused::NoSlot { slots: SEQUENCES })
        } else if needed > free {
            Some(Refused::NoPages {
                positions,
                needed,
                free,
                all,
            })
        } else {
            None
        };
        match (self.batcher.open(positions), refused) {
            (Ok(id), None) => self.open.push(Expected {
                id,
                limit: positions,
                tokens: Vec::new(),
                read: 0,
            }),
            (found, refused) => assert_eq!(found.err(), refused),
        }
    }

    fn step(&mut self, room: usize) {
        // Those with one token first, then the oldest.
        let unread = |open: &Expected| open.tokens.len() - open.read;
        let mut order: Vec<usize> = (0..self.open.len()).collect();
        order.sort_by_key(|&number| unread(&self.open[number]) > 1);
        let mut left = room.min(CHUNK);
        for number in order {
            let open = &mut self.open[number];
            let count = unread(open).min(left);
            left -= count;
            open.read += count;
        }
        assert_eq!(self.batcher.step(room), Ok(room.min(CHUNK) - left));
        for (number, open) in self.open.iter().enumerate() {
            let found = self.batcher.logits(open.id).unwrap().map(bits);
            // They stay until more tokens are added.
            let is_read = open.read > 0 && open.read == open.tokens.len();
            let expected = is_read.then(|| {
                let known = self.known.entry(open.tokens.clone());
                known.or_insert_with(|| {
                    self.alone.truncate(0).unwrap();
                    bits(self.alone.prefill(&open.tokens).unwrap())
                })
            });
            assert!(found.as_ref() == expected.as_deref(), "sequence {number}");
        }
    }

    fn check(&self) {
        let (all, promised, free) = self.batcher.pages();
        assert_eq!((all, promised), (self.all, self.promised()));
        assert!(promised <= all && free <= all);
        for open in &self.open {
            assert_eq!(self.batcher.tokens(open.id), open.tokens);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, max_shrink_time: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_batcher_does_what_a_simple_model_of_it_says(
        name in prop::sample::select(vec!["llama", "mistral", "gemma3-long"]),
        pages in 12..60usize,
        events in prop::collection::vec(event(), 1..100),
    ) {
        let model = open(name, &Options::new().chunk(CHUNK).sequences(SEQUENCES).threads(1));
        let mut world = World {
            batcher: model.batcher(pages).unwrap(),
            alone: model.session().unwrap(),
            model: &model,
            all: pages,
            open: Vec::new(),
            known: HashMap::new(),
        };
        for event in &events {
            world.happen(event);
            world.check();
        }
        while !world.open.is_empty() {
            world.happen(&Event::Close(0));
        }
        world.happen(&Event::Clear);
        prop_assert_eq!(world.batcher.pages(), (pages, 0, pages));
    }
}
