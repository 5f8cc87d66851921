//! The tensors of a weight file by name.

use std::collections::BTreeMap;

use crate::files::weight_file::TensorHeader;
use crate::files::weight_files::WeightFiles;

/// What a weight file says about its tensors, without their data.
pub type Headers = BTreeMap<String, TensorHeader>;

/// The headers of all tensors.
pub fn headers(files: &WeightFiles) -> Headers {
    let header = |name: &str| Some((name.to_string(), files.header(name)?));
    files.names().filter_map(header).collect()
}

/// The full name of the tensor `name`, which may have one of the prefixes.
pub fn find_tensor<'h>(headers: &'h Headers, prefixes: &[String], name: &str) -> Option<&'h str> {
    let full = prefixes.iter().map(|prefix| format!("{prefix}{name}"));
    full.filter_map(|full| headers.get_key_value(&full))
        .map(|(name, _)| name.as_str())
        .next()
}

/// Whether `name` fits a pattern in which `*` stands for any text.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("*.attn.bias", "h.0.attn.bias"));
        assert!(matches("h.*.attn.*", "h.11.attn.masked_bias"));
        assert!(matches("exact", "exact"));
        assert!(!matches("*.attn.bias", "h.0.attn.c_attn.bias"));
        assert!(!matches("exact", "exactly"));
        assert!(!matches("a*b*c", "acb"));
    }
}
