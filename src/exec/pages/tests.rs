//! Whatever sequences do, does each find the rows of its own tokens in its pages, and is every reader counted?

use std::collections::HashMap;

use proptest::prelude::*;

use super::{NONE, Pages};
use crate::exec::beginnings::Beginnings;
use crate::kernels::call::Sequence;
use crate::{Model, Options};

const CONTEXT: usize = 400;
const SEQUENCES: usize = 4;

/// Something that happens to one of the sequences, chosen by its number among those that it can happen to.
#[derive(Clone, Debug)]
enum Event {
    /// A sequence of this many tokens is opened, the first `common` of which all sequences have.
    Open {
        common: usize,
        own: usize,
        turn: u32,
    },
    /// A sequence reads so many tokens.
    Read {
        which: usize,
        tokens: usize,
    },
    Close(usize),
    Clear,
}

fn event(chunk: usize) -> impl Strategy<Value = Event> {
    let open = (0..250usize, 1..150usize, 1..3u32);
    prop_oneof![
        3 => open.prop_map(|(common, own, turn)| Event::Open { common, own, turn }),
        12 => (any::<usize>(), 1..=chunk).prop_map(|(which, tokens)| Event::Read { which, tokens }),
        1 => any::<usize>().prop_map(Event::Close),
        1 => Just(Event::Clear),
    ]
}

/// A sequence: its table, its tokens, of which the first `common` are common to all, and how many of them were read.
struct Open {
    table: usize,
    tokens: Vec<u32>,
    common: usize,
    turn: u32,
    read: usize,
    promised: usize,
}

/// What a step wrote last into each row of each page: the cache's number, the position, and what tells the tokens up to
/// there from all others: how many of them are common to all sequences, and which the others are.
type Rows = HashMap<(u32, usize), Row>;
type Row = (usize, usize, usize, u32);

struct World {
    model: Model,
    pages: Pages,
    beginnings: Beginnings,
    rows: Rows,
    open: Vec<Open>,
}

impl World {
    fn happen(&mut self, event: &Event) {
        let model = self.model.clone();
        let plan = &model.compiled().plan;
        match *event {
            Event::Open { common, own, turn } => {
                let token = |at: usize, turn: u32| at as u32 * 7 + turn;
                let tokens: Vec<u32> = (0..common + own)
                    .map(|at| token(at, if at < common { 0 } else { turn }))
                    .collect();
                let blocks = tokens.len().div_ceil(64);
                let caches = plan.caches().iter();
                let promised = caches
                    .map(|cache| blocks.min(cache.layout().blocks()))
                    .sum();
                let all: usize = self.open.iter().map(|open| open.promised).sum();
                let tables = (0..SEQUENCES).map(|number| self.pages.table(number));
                let mut free = tables.filter(|table| self.open.iter().all(|o| o.table != *table));
                let Some(table) = free.next().filter(|_| all + promised <= self.pages.count())
                else {
                    return;
                };
                let read = self
                    .beginnings
                    .restore(plan, &mut self.pages, table, &tokens);
                assert!(read < tokens.len());
                self.open.push(Open {
                    table,
                    tokens,
                    common,
                    turn,
                    read,
                    promised,
                });
            }
            Event::Read { which, tokens } => {
                let count = self.open.len();
                if let Some(number) = which.checked_rem(count) {
                    self.read(number, tokens);
                }
            }
            Event::Close(which) => {
                if let Some(number) = which.checked_rem(self.open.len()) {
                    let open = self.open.swap_remove(number);
                    self.pages.release(open.table);
                }
            }
            Event::Clear => while self.beginnings.make_room(&mut self.pages) {},
        }
    }

    /// As [`Batcher::step`](crate::exec::batcher::Batcher::step) does.
    fn read(&mut self, number: usize, tokens: usize) {
        let model = self.model.clone();
        let plan = &model.compiled().plan;
        let Open {
            table,
            tokens: all,
            common,
            turn,
            read: past,
            ..
        } = &self.open[number];
        let row = |cache: usize, at: usize| match at < *common {
            true => (cache, at, at, 0),
            false => (cache, at, *common, *turn),
        };
        let (table, past, end) = (*table, *past, all.len().min(*past + tokens));
        if past == end {
            return;
        }
        while self.pages.own(plan, table, past, end).is_err() {
            assert!(self.beginnings.make_room(&mut self.pages), "no page");
        }
        let sequence = Sequence {
            table,
            ..Sequence::alone(end - past, past)
        };
        assert!(self.pages.serve(plan, &[sequence]));
        for (cache, state) in plan.caches().iter().enumerate() {
            let layout = state.layout();
            let page = |pages: &Pages, at: usize| pages.page(table, layout.entry(at)).unwrap();
            for at in past..end {
                let place = (page(&self.pages, at), at % 64);
                self.rows.insert(place, row(cache, at));
            }
            // Each token finds the rows that it sees.
            for at in state.first_needed(past)..end {
                let place = (page(&self.pages, at), at % 64);
                let expected = Some(row(cache, at));
                assert!(
                    self.rows.get(&place).copied() == expected,
                    "cache {cache}, position {at}"
                );
            }
        }
        let read = &all[..end];
        self.beginnings
            .keep(plan, &mut self.pages, table, read, past);
        self.open[number].read = end;
    }

    /// The readers of each page are the entries that name it, and a page without readers is free.
    fn check(&self) {
        let pages = &self.pages;
        let mut readers = vec![0; pages.count()];
        let named = pages.tables.iter().chain(self.beginnings.pages());
        for &page in named.filter(|page| **page != NONE) {
            readers[page as usize] += 1;
        }
        assert_eq!(readers, pages.readers);
        let mut free = pages.free.clone();
        free.sort_unstable();
        let unread = (0..pages.count() as u32).filter(|&page| readers[page as usize] == 0);
        assert_eq!(free, unread.collect::<Vec<_>>());
        let promised: usize = self.open.iter().map(|open| open.promised).sum();
        assert!(promised <= pages.count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, max_shrink_time: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_sequence_finds_its_rows_and_every_reader_is_counted(
        name in prop::sample::select(vec!["mistral-long", "gemma3-long", "llama-long"]),
        (chunk, events) in prop::sample::select(vec![1usize, 24, 65, 130]).prop_flat_map(|chunk| {
            (Just(chunk), prop::collection::vec(event(chunk), 1..150))
        }),
        pages in 8..120usize,
    ) {
        let folder = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
        let options = Options::new().context(CONTEXT).chunk(chunk).sequences(SEQUENCES);
        let model = Model::open(folder.as_str(), &options).unwrap();
        let plan = &model.compiled().plan;
        let mut world = World {
            pages: Pages::new(plan, SEQUENCES, pages),
            beginnings: Beginnings::new(plan, pages),
            rows: Rows::new(),
            open: Vec::new(),
            model: model.clone(),
        };
        for event in &events {
            world.happen(event);
            world.check();
        }
        let rest = (0..world.open.len()).map(|_| Event::Close(0)).chain([Event::Clear]);
        rest.for_each(|event| world.happen(&event));
        world.check();
        prop_assert_eq!(world.pages.free(), pages);
    }
}

#[test]
fn pages_that_others_read_are_not_written() {
    let folder = format!("{}/tests/data/llama", env!("CARGO_MANIFEST_DIR"));
    let options = Options::new().sequences(2);
    let model = Model::open(folder.as_str(), &options).unwrap();
    let plan = &model.compiled().plan;
    let mut pages = Pages::new(plan, 2, 2 * plan.regions().sequence_pages());
    let (one, other) = (pages.table(0), pages.table(1));
    let step = |table: usize, past: usize| Sequence {
        table,
        ..Sequence::alone(1, past)
    };
    pages.own(plan, one, 0, 65).unwrap();
    assert!(pages.serve(plan, &[step(one, 64)]));
    for cache in plan.caches() {
        let entry = cache.layout().entry(0);
        let page = pages.page(one, entry).unwrap();
        pages.share(other, entry, page);
    }
    pages.own(plan, other, 64, 65).unwrap();
    // Both read the first block and write to the second one, of their own.
    assert!(pages.serve(plan, &[step(one, 64), step(other, 64)]));
    for table in [one, other] {
        assert!(!pages.serve(plan, &[step(table, 63)]));
    }
    // One page for two blocks of a sequence.
    let cache = plan.caches()[0].layout();
    let page = pages.page(one, cache.entry(64)).unwrap();
    pages.share(one, cache.entry(128), page);
    assert!(!pages.serve(plan, &[step(one, 64)]));
    // The block of its own again.
    pages.own(plan, one, 128, 129).unwrap();
    assert!(pages.serve(plan, &[step(one, 64)]));
}
