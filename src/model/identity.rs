//! What makes two models the same to a saved session.

use std::sync::Arc;

use super::Compiled;
use crate::exec::saved::{Identity, LazyIdentity};
use crate::files::digest::Digest;
use crate::files::weight_files::{WeightFiles, WeightFilesError};
use crate::graph::{Kind, print};

/// Tensors of up to this many bytes are read whole.
const WHOLE: usize = 4096;
/// Size in bytes of each part that is read from a larger tensor.
const PART: usize = 256;
/// How many parts of a larger tensor are read: the first begins at its beginning, the last ends at its end.
const PARTS: usize = 4;

/// The identity of a compiled model, computed when it is first asked for. The model's files stay open until it is dropped.
pub(super) fn identity(compiled: Arc<Compiled>, files: WeightFiles) -> LazyIdentity {
    LazyIdentity::new(move || find(&compiled, &files))
}

/// The properties that tell two models apart:
///
/// - `graph`: the text of the graph that steps of one token run, after the passes: its ops, attributes, names and shapes,
///   and the names, shapes and types of its weights.
/// - `weights`: for each tensor that this graph reads, its name, its type and shape in the file, its size, and its
///   bytes: all bytes of a tensor of up to 4096 bytes, otherwise four parts of 256 bytes, spread evenly. Files that
///   differ only elsewhere count as the same.
///
/// - `caches`: for each layer's cache its name, heads, head_dim, window and type of elements.
fn find(compiled: &Compiled, files: &WeightFiles) -> Result<Identity, WeightFilesError> {
    let graph = &compiled.decode;
    let mut text = Digest::default();
    text.add(print(graph, compiled.source.name()).as_bytes());
    let mut weights = Digest::default();
    for id in graph.ids() {
        let Kind::Weight(source) = &graph.node(id).kind else {
            continue;
        };
        let name: &str = &source.tensor;
        weights.add_field(name.as_bytes());
        if let Some(header) = files.header(name) {
            weights.add_field(header.written.as_bytes());
            weights.add_field(format!("{:?}", header.shape).as_bytes());
        }
        let file = files.file(name)?;
        let size = file.size(name)?;
        weights.add(&(size as u64).to_le_bytes());
        if size <= WHOLE {
            weights.add(&file.copy(name, 0..size)?);
        } else {
            for part in 0..PARTS {
                let last = size - PART;
                let start = match part + 1 {
                    PARTS => last,
                    _ => last / (PARTS - 1) * part,
                };
                weights.add(&file.copy(name, start..start + PART)?);
            }
        }
    }
    let mut caches = Digest::default();
    for cache in compiled.plan.caches() {
        let (heads, dim) = (cache.layout().kv_heads(), cache.layout().head_dim());
        caches.add_field(cache.name().as_bytes());
        caches.add_field(format!("{heads} {dim} {:?} f32", cache.window()).as_bytes());
    }
    Ok(Identity {
        graph: text.value(),
        caches: caches.value(),
        weights: weights.value(),
    })
}
