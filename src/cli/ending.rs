//! What ended a text, where that was not the model's choice.

use smallmind::Finish;

use super::failure::remark;

/// Says in a line on stderr why a text of so many tokens ended, if neither the model nor a stop string ended it.
pub fn tell(finish: Finish, tokens: usize, context: usize) {
    match finish {
        Finish::Length => remark(&format!(
            "the text stopped after {tokens} tokens (-n; -1 goes on until the model ends it)"
        )),
        Finish::ContextFull => remark(&format!(
            "the text stopped because the context of {context} positions is full (--context)"
        )),
        _ => {}
    }
}
