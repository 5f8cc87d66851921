//! Guides: the commands, the library, and what is data (graph files and rewrite rules).
//!
//! What belongs here: Markdown. What does not: code.

/// What each command of the program does.
pub mod commands {
    #![doc = include_str!("commands.md")]
}

/// What a program that embeds the library can do.
pub mod library {
    #![doc = include_str!("library.md")]
}

/// How to describe a model architecture.
pub mod graphs {
    #![doc = include_str!("graphs.md")]
}

/// Every op that a graph file can name.
pub mod ops {
    #![doc = include_str!("ops.md")]
}

/// How to write a rewrite rule.
pub mod passes {
    #![doc = include_str!("passes.md")]
}
