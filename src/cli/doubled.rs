//! A warning about texts that have the token that begins a text twice.

use smallmind::text::tokenizer::Tokenizer;

use super::failure::remark;

/// Warn on stderr if the tokens of a text begin with the same special token twice, because the text spells it out and the
/// tokenizer puts it before every text.
pub fn warn_of_doubled_start(tokenizer: Option<&Tokenizer>, tokens: &[u32]) {
    let doubled = tokenizer.and_then(|tokenizer| {
        let token = tokenizer.doubled_start(tokens)?;
        tokenizer.special_text(token)
    });
    if let Some(text) = doubled {
        remark(&format!(
            "the text begins with {text}, but the tokenizer already puts one before every text: the model reads two"
        ));
    }
}
