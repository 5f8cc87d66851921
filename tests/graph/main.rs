//! Are graph files read, checked and printed correctly?

mod agree;
#[path = "../common/mod.rs"]
mod common;
mod dumps;
mod expressions;
mod graph_file;
mod mistakes;
mod ops_page;
mod tutorial;
