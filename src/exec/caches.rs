//! Where the caches of a plan lie in an arena.

use super::arena::Arena;
use super::pages::Pages;
use crate::kernels::kv_cache::KvCache;
use crate::plan::{Cache, ModelPlan};

/// A layer's keys and values in an arena of `plan`, whose pages are `pages`.
///
/// # Safety
/// See [`Arena::cells`].
pub(super) unsafe fn kv_cache<'a>(
    plan: &ModelPlan,
    cache: &Cache,
    arena: &'a Arena,
    pages: &'a Pages,
) -> KvCache<'a> {
    let regions = plan.regions();
    let floats = pages.count() * cache.layout().page_floats();
    // SAFETY: the caller's promise is passed on.
    let pool = unsafe { arena.cells(regions.first_page(), floats) };
    KvCache {
        pool,
        tables: pages.tables(),
        layout: cache.layout(),
    }
}
