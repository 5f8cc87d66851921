//! The graph files that the library carries: all of `graphs/`, which holds nothing else.

use include_dir::{Dir, include_dir};

static GRAPHS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/graphs");

/// The built-in graph files, by name: path and text.
pub fn builtin_graphs() -> impl Iterator<Item = (String, &'static str)> {
    GRAPHS.files().filter_map(|file| {
        let path = format!("graphs/{}", file.path().display());
        Some((path, file.contents_utf8()?))
    })
}

/// The embedded demo: its folder in this repository, and its files.
pub(super) mod demo {
    pub const NAME: &str = "demo";
    pub const CONFIG: &str = include_str!("../../demo/config.json");
    pub const WEIGHTS: &[u8] = include_bytes!("../../demo/model.safetensors");
    #[cfg(feature = "tokenizer")]
    pub const TOKENIZER: &[u8] = include_bytes!("../../demo/tokenizer.json");
}
