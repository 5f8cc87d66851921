//! Which sequence has which page: the tables of all sequences, and how many of them read each page.
//!
//! A page that several sequences read is never written. A sequence gets the pages for positions before a step writes
//! them; where a window's table wraps around, the page of positions that no query sees any more is reused.

use crate::kernels::call::Sequence;
use crate::plan::ModelPlan;

/// The entry of a block that has no page.
const NONE: u32 = u32::MAX;

/// The pages of an arena.
#[derive(Clone, Debug)]
pub struct Pages {
    /// Page numbers, [sequences][entries].
    tables: Vec<u32>,
    /// Entries of one sequence's table.
    entries: usize,
    /// For each page, how many table entries and kept prefixes name it.
    readers: Vec<u32>,
    /// Pages that nobody reads; the last one is taken next.
    free: Vec<u32>,
}

/// No page is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no page is free")]
pub struct NoPage;

impl Pages {
    /// Empty tables for `sequences` sequences of `plan`, and `pages` free pages.
    pub fn new(plan: &ModelPlan, sequences: usize, pages: usize) -> Pages {
        let entries = plan.regions().sequence_pages();
        Pages {
            tables: vec![NONE; sequences * entries],
            entries,
            readers: vec![0; pages],
            // The lowest page is taken first.
            free: (0..pages as u32).rev().collect(),
        }
    }

    /// The tables.
    #[inline]
    pub(super) fn tables(&self) -> &[u32] {
        &self.tables
    }

    /// Where the table of a sequence begins. Tables without entries, which nobody reads, are told apart too.
    #[inline]
    pub fn table(&self, sequence: usize) -> usize {
        sequence * self.entries.max(1)
    }

    /// The sequence whose table begins at `table`.
    pub(super) fn slot(&self, table: usize) -> usize {
        table / self.entries.max(1)
    }

    /// How many pages there are.
    pub fn count(&self) -> usize {
        self.readers.len()
    }

    /// How many pages nobody reads.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Bytes of the lists.
    pub fn bytes(&self) -> usize {
        let entries = self.tables.capacity() + self.readers.capacity() + self.free.capacity();
        entries * size_of::<u32>()
    }

    /// Give the sequence at `table` a page of its own for each block of the positions from `first` up to, but not
    /// including, `end`, in all caches of `plan`; a block that has a page keeps it. Where a table wraps around, the old
    /// block's page is reused.
    ///
    /// # Errors
    /// If no page is free. Pages that were given before the error stay.
    pub fn own(
        &mut self,
        plan: &ModelPlan,
        table: usize,
        first: usize,
        end: usize,
    ) -> Result<(), NoPage> {
        for cache in plan.caches() {
            for entry in cache.entries(first, end) {
                let page = self.tables[table + entry];
                let is_own = page != NONE && self.readers[page as usize] == 1;
                if !is_own {
                    let own = self.take()?;
                    self.put(table + entry, own);
                }
            }
        }
        Ok(())
    }

    /// Take every page from a sequence.
    pub fn release(&mut self, table: usize) {
        for entry in table..table + self.entries {
            let page = std::mem::replace(&mut self.tables[entry], NONE);
            self.leave(page);
        }
    }

    /// Let the sequence at `table` read `page` at an entry, in addition to the page's other readers.
    pub(super) fn share(&mut self, table: usize, entry: usize, page: u32) {
        self.join(page);
        self.put(table + entry, page);
    }

    /// The page at an entry of a table; `None` where the entry has none.
    pub(super) fn page(&self, table: usize, entry: usize) -> Option<u32> {
        let page = self.tables[table + entry];
        (page != NONE).then_some(page)
    }

    /// Count one more reader of the page.
    pub(super) fn join(&mut self, page: u32) {
        self.readers[page as usize] += 1;
    }

    /// Count one reader of the page fewer.
    pub(super) fn leave(&mut self, page: u32) {
        if page == NONE {
            return;
        }
        let readers = &mut self.readers[page as usize];
        *readers -= 1;
        if *readers == 0 {
            self.free.push(page);
        }
    }

    /// A free page, which has one reader from now on.
    fn take(&mut self) -> Result<u32, NoPage> {
        let page = self.free.pop().ok_or(NoPage)?;
        self.readers[page as usize] = 1;
        Ok(page)
    }

    /// Put a page, whose readers already include this one, at a place in the tables.
    fn put(&mut self, place: usize, page: u32) {
        let old = std::mem::replace(&mut self.tables[place], page);
        self.leave(old);
    }

    /// Whether a step of `sequences` finds a page wherever it reads, writes only to pages that nobody else reads, and
    /// has no two sequences with the same table.
    pub(super) fn serve(&self, plan: &ModelPlan, sequences: &[Sequence]) -> bool {
        let in_order = |(number, sequence): (usize, &Sequence)| {
            let others = sequences[..number].iter();
            sequence.table.is_multiple_of(self.entries)
                && sequence.table < self.tables.len()
                && others
                    .into_iter()
                    .all(|other| other.table != sequence.table)
        };
        let has_pages = |sequence: &Sequence| {
            plan.caches().iter().all(|cache| {
                let needed = cache.first_needed(sequence.past);
                let mut read = cache.entries(needed, sequence.past);
                let mut written = cache.entries(sequence.past, sequence.positions());
                let page = |entry: usize| self.page(sequence.table, entry);
                read.all(|entry| page(entry).is_some())
                    && written.all(|entry| {
                        page(entry).is_some_and(|page| self.readers[page as usize] == 1)
                    })
            })
        };
        plan.caches().is_empty()
            || sequences.iter().enumerate().all(in_order) && sequences.iter().all(has_pages)
    }
}

#[cfg(test)]
mod tests;
