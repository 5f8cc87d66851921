//! A warning about texts that have the token that begins a text twice.

use smallmind::text::tokenizer::Tokenizer;

use super::failure::remark;

/// Warn on stderr if the tokens of a text begin with the same special token twice: the text spells it out, and the
/// tokenizer puts it before every text. If there are several such texts, only the first is shown.
pub fn warn_of_doubled_starts<'t>(
    tokenizer: Option<&Tokenizer>,
    texts: impl IntoIterator<Item = &'t [u32]>,
) {
    let Some(tokenizer) = tokenizer else {
        return;
    };
    let texts = texts.into_iter();
    let mut doubled = texts.filter_map(|tokens| tokenizer.doubled_start(tokens));
    let Some(text) = doubled
        .next()
        .and_then(|token| tokenizer.special_text(token))
    else {
        return;
    };
    let begins = match doubled.count() {
        0 => "the text begins".to_string(),
        others => format!("{} texts begin", others + 1),
    };
    remark(&format!(
        "{begins} with {text}, and the tokenizer puts one before every text: the model reads two"
    ));
}
