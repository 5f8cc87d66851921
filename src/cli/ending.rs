//! A note about what ended a text, if neither the model nor a stop string did.

use smallmind::Finish;

use super::failure::remark;

/// Says in a line on stderr why a text of `tokens` tokens ended, if neither the model nor a stop string ended it.
pub fn tell(finish: Finish, tokens: usize, context: usize) {
    match finish {
        Finish::Length => remark(&format!(
            "the text stopped at the limit of tokens, {tokens} (-n N; -n -1 goes on until the model ends the text)"
        )),
        Finish::ContextFull => remark(&format!(
            "the text stopped because the context of {context} positions is full (--context)"
        )),
        _ => {}
    }
}
