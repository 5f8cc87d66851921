//! The `smallmind` command.
fn main() {}
