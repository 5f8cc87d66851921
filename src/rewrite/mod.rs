#![allow(missing_docs)]
use std::collections::BTreeSet;
use crate::graph::Graph;
#[derive(Debug, thiserror::Error)] #[error("x")] pub struct PassError;
#[derive(Clone, Debug, Default)] pub struct Report;
impl Report { pub fn merge(&mut self, _: Report) {} }
impl std::fmt::Display for Report { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) } }
#[derive(Clone, Debug, Default)] pub struct PassOptions { pub without: BTreeSet<String>, pub stop_after: Option<String>, pub verify: bool }
pub struct Passes;
impl Passes {
 pub fn from_dir(_: &std::path::Path) -> Result<Passes, PassError> { Ok(Passes) }
 pub fn builtin() -> Result<Passes, PassError> { Ok(Passes) }
 pub fn run(&self, _: &mut Graph, _: &PassOptions) -> Result<Report, PassError> { Ok(Report) }
 pub fn run_prefill(&self, _: &mut Graph, _: &PassOptions) -> Result<Report, PassError> { Ok(Report) }
 pub fn plans(&self, n: &str, o: &PassOptions) -> bool { !o.without.contains(n) }
 pub fn names(&self) -> Vec<String> { vec![] }
}
