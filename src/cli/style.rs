//! Colours, for terminals alone: what is written through [`anstream`] or clap loses them in pipes and files, and where
//! `NO_COLOR` is set.

use clap::builder::styling::{AnsiColor, Style, Styles};

/// Before an error.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// Before a note or a warning.
pub const REMARK: Style = AnsiColor::Yellow.on_default().bold();
/// Where a person types.
pub const PROMPT: Style = AnsiColor::Green.on_default().bold();
/// What a chat says besides the model's answers.
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
