//! What a run of the pipeline did, and what it nearly did.

use std::fmt;

use serde::Serialize;

use crate::types::Bits;

/// What every pass of a run did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The passes that ran, in their order.
    pub passes: Vec<PassReport>,
}

/// What one pass did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PassReport {
    /// Its name in the pipeline.
    pub name: String,
    /// How far it may move bits.
    pub bits: Bits,
    /// Ops before it.
    pub ops_before: usize,
    /// Ops after it.
    pub ops_after: usize,
    /// What a transform changed; empty for a pass of rules.
    pub changes: Vec<ChangeReport>,
    /// What each rule did, in the file's order; empty for a transform.
    pub rules: Vec<RuleReport>,
}

/// One change that a transform made.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ChangeReport {
    /// The node.
    pub at: String,
    /// What happened there.
    pub what: String,
}

/// What one rule did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RuleReport {
    /// Its name.
    pub name: String,
    /// The first value that each application replaced, in the order of the applications.
    pub fired: Vec<String>,
    /// Where it nearly fired, in the graph that the pass leaves; empty unless [`super::PassOptions::near_misses`] asks
    /// for it.
    pub near: Vec<NearMiss>,
}

/// A place where a rule nearly fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NearMiss {
    /// The node at the pattern's end.
    pub at: String,
    /// What stopped it: a sentence without a full stop.
    pub reason: String,
}

impl Report {
    /// What a rule did, if its pass ran.
    pub fn rule(&self, name: &str) -> Option<&RuleReport> {
        let mut rules = self.passes.iter().flat_map(|pass| &pass.rules);
        rules.find(|rule| rule.name == name)
    }
}

/// How many names a line shows; the others are only counted.
const SHOWN: usize = 4;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pass in &self.passes {
            writeln!(
                f,
                "{} ({}): {} ops -> {}",
                pass.name, pass.bits, pass.ops_before, pass.ops_after
            )?;
            for change in &pass.changes {
                writeln!(f, "    \"{}\": {}", change.at, change.what)?;
            }
            for rule in &pass.rules {
                write_rule(f, rule)?;
            }
        }
        Ok(())
    }
}

fn write_rule(f: &mut fmt::Formatter<'_>, rule: &RuleReport) -> fmt::Result {
    match rule.fired.len() {
        0 => writeln!(f, "    {}: did not fire", rule.name)?,
        count => {
            let shown: Vec<String> = rule
                .fired
                .iter()
                .take(SHOWN)
                .map(|n| format!("\"{n}\""))
                .collect();
            let more = match count.saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            writeln!(
                f,
                "    {}: {count} × at {}{more}",
                rule.name,
                shown.join(", ")
            )?;
        }
    }
    for near in &rule.near {
        writeln!(f, "        not at \"{}\": {}", near.at, near.reason)?;
    }
    Ok(())
}
