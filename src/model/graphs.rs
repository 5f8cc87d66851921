//! The graph files that the library carries.

/// The built-in graph files: file name and text.
pub fn builtin_graphs() -> &'static [(&'static str, &'static str)] {
    &[
        ("graphs/bert.ron", include_str!("../../graphs/bert.ron")),
        ("graphs/gemma.ron", include_str!("../../graphs/gemma.ron")),
        ("graphs/gemma3.ron", include_str!("../../graphs/gemma3.ron")),
        ("graphs/gpt2.ron", include_str!("../../graphs/gpt2.ron")),
        ("graphs/llama.ron", include_str!("../../graphs/llama.ron")),
        (
            "graphs/mistral.ron",
            include_str!("../../graphs/mistral.ron"),
        ),
        ("graphs/olmo.ron", include_str!("../../graphs/olmo.ron")),
        ("graphs/phi.ron", include_str!("../../graphs/phi.ron")),
        ("graphs/qwen2.ron", include_str!("../../graphs/qwen2.ron")),
        ("graphs/qwen3.ron", include_str!("../../graphs/qwen3.ron")),
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
