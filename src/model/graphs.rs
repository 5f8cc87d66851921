//! The graph files that the library carries.

/// The built-in graph files: file name and text.
pub fn builtin_graphs() -> &'static [(&'static str, &'static str)] {
    &[
        ("graphs/gpt2.ron", include_str!("../../graphs/gpt2.ron")),
        ("graphs/llama.ron", include_str!("../../graphs/llama.ron")),
    ]
}

/// The embedded demo: its folder in this repository, and its files.
pub(super) mod demo {
    pub const NAME: &str = "graphs/demo";
    pub const CONFIG: &str = include_str!("../../graphs/demo/config.json");
    pub const WEIGHTS: &[u8] = include_bytes!("../../graphs/demo/model.safetensors");
    #[cfg(feature = "tokenizer")]
    pub const TOKENIZER: &[u8] = include_bytes!("../../graphs/demo/tokenizer.json");
}
