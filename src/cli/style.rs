//! Colours, only for terminals: text written through [`anstream`] or clap loses them in pipes and files, and if `NO_COLOR`
//! is set.

use clap::builder::styling::{AnsiColor, Style, Styles};

/// The label of an error.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The label of a note or a warning.
pub const REMARK: Style = AnsiColor::Yellow.on_default().bold();
/// The prompt for a person's input.
pub const PROMPT: Style = AnsiColor::Green.on_default().bold();
/// Texts of a chat that are not the model's answers.
pub const ASIDE: Style = Style::new().dimmed();

/// The help's and the argument parser's colours.
pub const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(ERROR)
    .valid(AnsiColor::Green.on_default())
    .invalid(AnsiColor::Yellow.on_default());
