//! SentencePiece's table of character replacements (`tokenizer.ggml.precompiled_charsmap`), checked before it is used,
//! because the library that walks it trusts every index in it.

use tokenizers::normalizers::Precompiled;

use super::memory;

/// The bits of a node that say which byte leads to the node; the highest bit is set if no byte does.
const LABEL: u32 = 1 << 31 | 0xFF;
/// Set in a node that ends a replaced string.
const LEAF: u32 = 1 << 8;
/// The bits of a leaf's value: the byte at which the replacement begins.
const VALUE: u32 = (1 << 31) - 1;

/// The offset of the children of a node: their indexes are relative to the exclusive or of this offset and the index of the
/// node.
fn offset(node: u32) -> usize {
    ((node >> 10) << ((node & 1 << 9) >> 6)) as usize
}

/// The replacements of a table: the length of a trie in bytes, its nodes of four bytes each, then replacements that each end
/// with a zero byte.
pub fn precompiled(table: &[u8]) -> Result<Precompiled, String> {
    memory::REPLACEMENTS.ensure(0, table.len())?;
    let cut_off = || "precompiled_charsmap is cut off".to_string();
    let (size, rest) = table.split_first_chunk().ok_or_else(cut_off)?;
    let size = u32::from_le_bytes(*size) as usize;
    let (trie, replacements) = rest.split_at_checked(size).ok_or_else(cut_off)?;
    let (nodes, odd) = trie.as_chunks::<4>();
    let nodes: Vec<u32> = nodes
        .iter()
        .map(|bytes| u32::from_le_bytes(*bytes))
        .collect();
    let replacements = std::str::from_utf8(replacements)
        .map_err(|_| "precompiled_charsmap replaces by what is not UTF-8".to_string())?;
    if !odd.is_empty() || !stays_inside(&nodes, replacements) {
        return Err("precompiled_charsmap points outside of itself".to_string());
    }
    Precompiled::from(table).map_err(|e| format!("precompiled_charsmap: {e}"))
}

/// Whether no string leads a walk through the trie outside the nodes, and no leaf leads to a byte where no replacement
/// begins.
fn stays_inside(nodes: &[u32], replacements: &str) -> bool {
    let Some(&root) = nodes.first() else {
        return false;
    };
    let mut seen = vec![false; nodes.len()];
    let mut waiting = vec![offset(root)];
    while let Some(base) = waiting.pop() {
        // The index of a child is the exclusive or of the base and a byte.
        if base | 0xFF >= nodes.len() {
            return false;
        }
        if std::mem::replace(&mut seen[base], true) {
            continue;
        }
        for byte in 1..=255 {
            let place = base ^ byte;
            let node = nodes[place];
            if node & LABEL != byte as u32 {
                continue;
            }
            let base = place ^ offset(node);
            if node & LEAF != 0 {
                let value = nodes.get(base).map(|leaf| (leaf & VALUE) as usize);
                if !value.is_some_and(|start| replacements.is_char_boundary(start)) {
                    return false;
                }
            }
            waiting.push(base);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that replaces "a" with "bé".
    fn table() -> Vec<u8> {
        let mut nodes = [0u32; 512];
        // The children of the root are at 0 ^ byte; the node of "a" has its children at 256 ^ byte, and its value at 256.
        nodes[usize::from(b'a')] = u32::from(b'a') | LEAF | (256 ^ u32::from(b'a')) << 10;
        nodes[256] = 1 << 31;
        let bytes: Vec<u8> = nodes.iter().flat_map(|node| node.to_le_bytes()).collect();
        let size = bytes.len() as u32;
        [&size.to_le_bytes(), bytes.as_slice(), "bé\0".as_bytes()].concat()
    }

    #[test]
    fn a_sound_table_replaces() {
        assert_eq!(
            precompiled(&table()).unwrap().normalize_string("cat"),
            "cbét"
        );
    }

    #[test]
    fn indices_that_lead_outside_are_refused() {
        let at = |node: usize| 4 + node * 4;
        let set = |node: usize, value: u32| {
            let mut table = table();
            table[at(node)..][..4].copy_from_slice(&value.to_le_bytes());
            precompiled(&table).err()
        };
        let outside = Some("precompiled_charsmap points outside of itself".to_string());
        // Into the middle of a character, beyond the end, and to nodes that do not exist.
        assert_eq!(set(256, 2), outside);
        assert_eq!(set(256, 100), outside);
        assert_eq!(set(0, 4096 << 10), outside);
        assert_eq!(set(usize::from(b'a'), u32::from(b'a') | 1 << 20), outside);
        assert_eq!(set(256, 1), None);
    }

    #[test]
    fn a_table_that_is_cut_off_is_refused() {
        let table = table();
        for len in [0, 3, 4, 100, 2051] {
            assert!(precompiled(&table[..len]).is_err(), "{len}");
        }
    }
}
