//! Chat templates by name, for models whose files contain none.
//!
//! Each begins with `bos_token`, which must be the token that the tokenizer puts before a text, or undefined.

/// A chat template that needs no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownTemplate {
    /// The name of the template.
    pub name: &'static str,
    /// The models that were trained with the template.
    pub models: &'static str,
    /// The text of the template.
    pub text: &'static str,
}

macro_rules! known {
    ($($name:literal: $models:literal,)*) => {
        /// All known templates.
        pub const KNOWN_TEMPLATES: &[KnownTemplate] = &[$(KnownTemplate {
            name: $name,
            models: $models,
            text: include_str!(concat!("templates/", $name, ".jinja")),
        }),*];
    };
}

known! {
    "alpaca": "Alpaca and others with ### Instruction:",
    "chatml": "Qwen, SmolLM2, Yi, Hermes and others with <|im_start|>",
    "command-r": "Command R, Aya",
    "deepseek3": "DeepSeek V3 and R1",
    "gemma": "Gemma 1 to 3",
    "granite": "Granite 3",
    "llama2": "Llama 2 Chat, Code Llama",
    "llama3": "Llama 3 to 3.3",
    "llama4": "Llama 4",
    "mistral": "Mistral 7B v0.1 and v0.2, Mixtral",
    "mistral-v3": "Mistral 7B v0.3",
    "mistral-v7": "Mistral Small 3, Mistral Large",
    "olmo2": "OLMo 2, Tülu 3",
    "openchat": "OpenChat 3.5, Starling",
    "phi3": "Phi 3, Phi 3.5",
    "phi4": "Phi 4",
    "vicuna": "Vicuna",
    "zephyr": "Zephyr, TinyLlama, StableLM Zephyr",
}

/// The template with that name.
#[cfg(feature = "chat")]
pub(crate) fn named(name: &str) -> Option<&'static KnownTemplate> {
    KNOWN_TEMPLATES
        .iter()
        .find(|template| template.name == name)
}

/// The names, as a list for messages.
pub(crate) fn names() -> String {
    let names: Vec<&str> = KNOWN_TEMPLATES
        .iter()
        .map(|template| template.name)
        .collect();
    names.join(", ")
}
