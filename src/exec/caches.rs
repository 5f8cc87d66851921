//! Where the caches of a plan lie in an arena.

use super::arena::Arena;
use crate::kernels::kv_cache::KvCache;
use crate::plan::Cache;

/// A layer's keys and values in an arena of the plan that `cache` is of.
///
/// # Safety
/// As [`Arena::cells`].
pub(super) unsafe fn kv_cache<'a>(cache: &Cache, arena: &'a Arena) -> KvCache<'a> {
    let floats = cache.layout().floats();
    let values = cache.offset() + floats * size_of::<f32>();
    // SAFETY: the caller's promise is passed on.
    let (keys, values) = unsafe {
        (
            arena.cells(cache.offset(), floats),
            arena.cells(values, floats),
        )
    };
    KvCache {
        keys,
        values,
        layout: cache.layout(),
    }
}
