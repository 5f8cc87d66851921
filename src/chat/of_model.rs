//! A model's own chat template.

use std::collections::BTreeMap;
use std::path::Path;

use super::template::{ChatTemplate, TemplateError};
use crate::model::Model;
use crate::text::template_files::{Given, given};

impl Model {
    /// The model's chat template. In a folder it is `chat_template.jinja`, or otherwise `chat_template` in
    /// `tokenizer_config.json` or `chat_template.json`; in a GGUF file it is `tokenizer.chat_template`.
    ///
    /// # Errors
    /// If there is none, or it is not a template that can be rendered.
    pub fn chat_template(&self) -> Result<ChatTemplate, TemplateError> {
        let (file, text) = self.template_files().text()?;
        ChatTemplate::parse(&file, &text, self.template_tokens()?)
    }

    /// The template in the caller's file, or otherwise the known template with that name
    /// ([`KNOWN_TEMPLATES`](crate::text::known_templates::KNOWN_TEMPLATES)), for this model's special tokens.
    ///
    /// # Errors
    /// If there is neither, or the file can't be read or is not a template that can be rendered.
    pub fn chat_template_from(&self, file: &Path) -> Result<ChatTemplate, TemplateError> {
        let mut tokens = self.template_tokens()?;
        match given(file)? {
            Given::File(text) => ChatTemplate::parse(&file.display().to_string(), &text, tokens),
            Given::Known(known) => {
                // If the tokenizer puts no token before a text, the model was not trained with one.
                tokens.remove("bos_token");
                if let Some(first) = self.first_token() {
                    tokens.insert("bos_token".to_string(), first);
                }
                let name = format!("the chat template {}", known.name);
                ChatTemplate::parse(&name, known.text, tokens)
            }
        }
    }

    /// The token that the tokenizer puts before a text.
    fn first_token(&self) -> Option<String> {
        let tokenizer = self.tokenizer()?;
        let around = tokenizer.encode("", true).ok()?;
        tokenizer.special_text(*around.first()?).map(str::to_string)
    }

    /// The special tokens that a template may name: as the files spell them, or otherwise as the vocabulary spells
    /// them.
    fn template_tokens(&self) -> Result<BTreeMap<String, String>, TemplateError> {
        let mut tokens = self.template_files().tokens()?;
        let eos = self.eos_tokens().first().copied();
        for (name, id) in [("bos_token", self.bos_token()), ("eos_token", eos)] {
            let text = id.and_then(|id| self.tokenizer()?.id_to_token(id));
            if let Some(text) = text.filter(|_| !tokens.contains_key(name)) {
                tokens.insert(name.to_string(), text);
            }
        }
        Ok(tokens)
    }
}
