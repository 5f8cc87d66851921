//! The pipeline: reads `passes/pipeline.ron` and runs it over a graph.
//!
//! ```text
//! Pipeline([
//!     Transform(name: "fold_constants", bits: Same),
//!     Rules(name: "fuse_norm", bits: Same, doc: "…"),          // the rules of fuse_norm.ron
//!     Plan(name: "in_place", doc: "…"),                        // a switch that the planner reads
//! ])
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use super::check;
use super::driver::{self, DriverError};
use super::parse::RuleReader;
use super::report::{ChangeReport, PassReport, Report};
use super::rule::Rule;
use crate::graph::{self, Graph, GraphError};
use crate::kernels::float_environment::FloatEnvironment;
use crate::language::diagnostics::{Position, Problem, Problems};
use crate::language::document::{self, Kind, LARGEST_FILE, Tree};
use crate::language::nearest;
use crate::language::node::TreeReader;
use crate::transform::{self, Settings, TransformDef};
use crate::types::Bits;

/// The file that orders the passes.
const PIPELINE: &str = "pipeline.ron";

/// The passes that are compiled in: all of `passes/`, which contains nothing else.
static BUILTIN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/passes");

/// The files that are compiled in: name and text.
fn builtin_files() -> BTreeMap<String, String> {
    let files = BUILTIN.files().filter_map(|file| {
        let text = file.contents_utf8()?;
        Some((file.path().display().to_string(), text.to_owned()))
    });
    files.collect()
}

/// Why passes can't be read or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassError {
    /// Files are wrong: the problems of each.
    #[error("{}", lines(.0))]
    Files(Vec<Problems>),
    /// A file can't be read.
    #[error("{path}: {error}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why it can't be read.
        error: std::io::Error,
    },
    /// An option names something that is not a pass or a rule.
    #[error("{0}")]
    Unknown(String),
    /// Rules could not be applied.
    #[error("pass \"{pass}\": {error}")]
    Rules {
        /// The pass.
        pass: String,
        /// The reason.
        error: DriverError,
    },
    /// A transform failed.
    #[error("pass \"{pass}\": {error}")]
    Transform {
        /// The pass.
        pass: String,
        /// The reason.
        error: GraphError,
    },
    /// A pass left an invalid graph.
    #[error("pass \"{pass}\" left a broken graph: {error}")]
    Broken {
        /// The pass.
        pass: String,
        /// What the verifier reports.
        error: GraphError,
    },
}

fn lines(files: &[Problems]) -> String {
    let files: Vec<String> = files.iter().map(Problems::to_string).collect();
    files.join("\n")
}

/// What a run leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassOptions {
    /// Names of passes, rules and plan switches that are off.
    pub without: BTreeSet<String>,
    /// The last pass to run; if `None`, all passes run. Later plan switches are off too.
    pub stop_after: Option<String>,
    /// Whether the graph is verified after each pass, as debug builds always do.
    pub verify: bool,
    /// Whether the report says where rules nearly fire, which needs a separate search after each pass.
    pub near_misses: bool,
    /// The settings that transforms follow.
    pub settings: Settings,
}

/// As a value of [`PassOptions::stop_after`]: stop before the first pass.
pub const NO_PASS: &str = "none";

/// The passes in their order.
#[derive(Debug)]
pub struct Passes {
    passes: Vec<Pass>,
}

#[derive(Debug)]
struct Pass {
    name: String,
    bits: Bits,
    #[cfg_attr(not(feature = "internals"), allow(dead_code))] // Shown by the program.
    doc: String,
    kind: PassKind,
}

enum PassKind {
    Rules(Vec<Rule>),
    Transform(&'static TransformDef),
    /// A switch that the planner reads.
    Plan,
}

impl std::fmt::Debug for PassKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PassKind::Rules(_) => "Rules",
            PassKind::Transform(_) => "Transform",
            PassKind::Plan => "Plan",
        })
    }
}

impl Pass {
    fn rules(&self) -> &[Rule] {
        match &self.kind {
            PassKind::Rules(rules) => rules,
            _ => &[],
        }
    }
}

impl Passes {
    /// The passes that are compiled in.
    pub fn builtin() -> Result<Passes, PassError> {
        read(Path::new("passes"), &builtin_files()).map_err(PassError::Files)
    }

    /// The passes of a directory. If it lacks a file, the compiled-in file is used; a rule file in it that the pipeline
    /// doesn't name is an error.
    pub fn from_dir(path: &Path) -> Result<Passes, PassError> {
        let fail = |path: &Path, error| PassError::Read {
            path: path.to_owned(),
            error,
        };
        let mut files = builtin_files();
        let mut own = Vec::new();
        for entry in fs::read_dir(path).map_err(|error| fail(path, error))? {
            let file = entry.map_err(|error| fail(path, error))?.path();
            let name = file
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or("");
            if name.ends_with(".ron") {
                let text = read_text(&file).map_err(|error| fail(&file, error))?;
                files.insert(name.to_owned(), text);
                own.push(name.to_owned());
            }
        }
        let passes = read(path, &files).map_err(PassError::Files)?;
        own.sort();
        for name in own {
            let is_pass = |pass: &Pass| {
                matches!(pass.kind, PassKind::Rules(_)) && name == format!("{}.ron", pass.name)
            };
            if name != PIPELINE && !passes.passes.iter().any(is_pass) {
                let message = format!(
                    "{PIPELINE} has no Rules of this name, so none of these rules would run"
                );
                let file = path.join(&name).display().to_string();
                let problem = Problem::new(Position::START, message);
                return Err(PassError::Files(vec![Problems::one(file, problem)]));
            }
        }
        Ok(passes)
    }

    /// The names of all passes and plan switches, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.passes.iter().map(|pass| pass.name.as_str())
    }

    /// The names of a pass's rules, in their order; no names if it is not a pass of rules.
    #[cfg(any(test, feature = "internals"))]
    pub fn rules(&self, pass: &str) -> impl Iterator<Item = &str> {
        let passes = self.passes.iter().filter(move |p| p.name == pass);
        passes.flat_map(Pass::rules).map(|rule| rule.name.as_str())
    }

    /// The purpose of a pass or plan switch, in a sentence.
    #[cfg(any(test, feature = "internals"))]
    pub fn doc(&self, pass: &str) -> Option<&str> {
        let pass = self.passes.iter().find(|p| p.name == pass)?;
        Some(&pass.doc)
    }

    /// How far a pass or rule may move bits.
    #[cfg(any(test, feature = "internals"))]
    pub fn bits(&self, name: &str) -> Option<Bits> {
        self.passes.iter().find_map(|pass| match pass.name == name {
            true => Some(pass.bits),
            false => {
                let rule = pass.rules().iter().find(|rule| rule.name == name)?;
                Some(rule.bits)
            }
        })
    }

    /// Whether a run with these options reaches the pass or plan switch `name`, and it isn't off.
    pub fn is_on(&self, name: &str, options: &PassOptions) -> bool {
        let mut running = self.running(options);
        running.any(|pass| pass.name == name)
    }

    /// The passes that the options leave on.
    fn running<'a>(&'a self, options: &'a PassOptions) -> impl Iterator<Item = &'a Pass> {
        let last = options.stop_after.as_deref();
        let end = self.names().position(|name| Some(name) == last);
        let count = match end {
            _ if last == Some(NO_PASS) => 0,
            Some(end) => end + 1,
            None => self.passes.len(),
        };
        let passes = self.passes.iter().take(count);
        passes.filter(|pass| !options.without.contains(&pass.name))
    }

    /// Fails if the options name something that doesn't exist; the error suggests the nearest name.
    pub fn check_options(&self, options: &PassOptions) -> Result<(), PassError> {
        let rules = self
            .passes
            .iter()
            .flat_map(Pass::rules)
            .map(|rule| rule.name.as_str());
        let known: Vec<&str> = self.names().chain(rules).collect();
        for name in &options.without {
            if !known.contains(&name.as_str()) {
                let message = nearest::unknown("pass or rule", name, known.iter().copied());
                return Err(PassError::Unknown(message));
            }
        }
        match &options.stop_after {
            Some(name) if name != NO_PASS && !self.names().any(|known| known == name) => {
                let passes: Vec<&str> = self.names().collect();
                let message = nearest::unknown_of_few("pass", name, passes.iter().copied());
                Err(PassError::Unknown(message))
            }
            _ => Ok(()),
        }
    }

    /// Run the passes over `graph`. After an error the graph may be changed in part.
    pub fn run(&self, graph: &mut Graph, options: &PassOptions) -> Result<Report, PassError> {
        let _environment = FloatEnvironment::set_default();
        self.check_options(options)?;
        let mut report = Report::default();
        let mut ops = graph.op_count();
        for pass in self.running(options) {
            let (mut changes, mut rules) = (Vec::new(), Vec::new());
            match &pass.kind {
                PassKind::Plan => continue,
                PassKind::Transform(def) => {
                    let done = (def.run)(graph, &options.settings).map_err(|error| {
                        PassError::Transform {
                            pass: pass.name.clone(),
                            error,
                        }
                    })?;
                    let done = done.into_iter().map(|change| ChangeReport {
                        at: change.at,
                        what: change.what,
                    });
                    changes.extend(done);
                }
                PassKind::Rules(all) => {
                    let on = all
                        .iter()
                        .filter(|rule| !options.without.contains(&rule.name));
                    let on: Vec<&Rule> = on.collect();
                    let done = driver::apply(graph, &on, options.near_misses).map_err(|error| {
                        PassError::Rules {
                            pass: pass.name.clone(),
                            error,
                        }
                    })?;
                    rules.extend(done);
                }
            }
            if options.verify || cfg!(debug_assertions) {
                graph::verify(graph).map_err(|error| PassError::Broken {
                    pass: pass.name.clone(),
                    error,
                })?;
            }
            report.passes.push(PassReport {
                name: pass.name.clone(),
                bits: pass.bits,
                ops_before: std::mem::replace(&mut ops, graph.op_count()),
                ops_after: ops,
                changes,
                rules,
            });
        }
        Ok(report)
    }
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    // One byte more than is allowed, so that the parser sees that the file is too long.
    let limit = LARGEST_FILE as u64 + 1;
    fs::File::open(path)?
        .take(limit)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Reads the pipeline and the rule files that it names.
fn read(directory: &Path, files: &BTreeMap<String, String>) -> Result<Passes, Vec<Problems>> {
    let name_of = |name: &str| directory.join(name).display().to_string();
    let file = name_of(PIPELINE);
    let text = files.get(PIPELINE).map_or("", String::as_str);
    let tree = document::parse(&file, text).map_err(|problems| vec![problems])?;
    let mut wrong: Vec<Problems> = Vec::new();
    let mut reader = RuleReader::default();
    let list = match &tree.kind {
        Kind::Form(form) if form.name == Some("Pipeline") && form.fields.is_empty() => {
            match form.arguments.as_slice() {
                [list] => Some(list),
                _ => None,
            }
        }
        _ => None,
    };
    if list.is_none() {
        reader.expected("Pipeline([…])", &tree);
    }
    // The line of the pipeline to which each name of a pass or rule belongs.
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let passes = list.map_or_else(Vec::new, |list| {
        reader.items(list, |reader, tree| {
            let mut pass = entry(reader, tree)?;
            if let PassKind::Rules(rules) = &mut pass.kind {
                let rule_file = format!("{}.ron", pass.name);
                match files.get(&rule_file) {
                    Some(text) => match check::load(&name_of(&rule_file), text) {
                        Ok(read) => *rules = read,
                        Err(problems) => wrong.push(problems),
                    },
                    None => reader.problem(
                        tree.position,
                        format!("there is no file {}", name_of(&rule_file)),
                    ),
                }
            }
            check_entry(reader, tree, &pass, &mut names);
            Some(pass)
        })
    });
    match Problems::check(&file, reader.problems, Passes { passes }) {
        Ok(passes) if wrong.is_empty() => Ok(passes),
        Ok(_) => Err(wrong),
        Err(problems) => {
            wrong.insert(0, problems);
            Err(wrong)
        }
    }
}

/// One entry of the pipeline; the rules of a pass of rules are read later.
fn entry(reader: &mut RuleReader, tree: &Tree) -> Option<Pass> {
    let expected = "Rules(…), Transform(…) or Plan(…)";
    let form = match &tree.kind {
        Kind::Form(form) => form,
        _ => {
            reader.expected(expected, tree);
            return None;
        }
    };
    let [name, bits, doc] = match form.name {
        Some("Rules" | "Transform") => reader.named_fields(form, ["name", "bits", "doc"]),
        Some("Plan") => {
            let [name, doc] = reader.named_fields(form, ["name", "doc"]);
            [name, None, doc]
        }
        _ => {
            reader.expected(expected, tree);
            return None;
        }
    };
    let name = match name {
        Some(tree) => reader.text(tree)?.to_owned(),
        None => {
            reader.problem(tree.position, "a pass needs 'name'");
            return None;
        }
    };
    let bits = match bits {
        Some(tree) => reader.bits(tree)?,
        None if form.name == Some("Plan") => Bits::Same,
        None => {
            reader.problem(tree.position, "a pass needs 'bits'");
            return None;
        }
    };
    let doc = doc.and_then(|tree| reader.text(tree)).map(str::to_owned);
    let kind = match form.name {
        Some("Rules") => PassKind::Rules(Vec::new()),
        Some("Plan") => PassKind::Plan,
        _ => match transform::find(&name) {
            Some(def) => PassKind::Transform(def),
            None => {
                let known = transform::all().iter().map(|def| def.name);
                reader.problem(tree.position, nearest::unknown("transform", &name, known));
                return None;
            }
        },
    };
    let doc = match (&kind, doc) {
        (_, Some(doc)) => doc,
        (PassKind::Transform(def), None) => def.doc.to_owned(),
        _ => String::new(),
    };
    Some(Pass {
        name,
        bits,
        doc,
        kind,
    })
}

/// Checks that the entry's names are new, and that its rules or its transform keep its promise about bits.
fn check_entry(
    reader: &mut RuleReader,
    tree: &Tree,
    pass: &Pass,
    names: &mut BTreeMap<String, usize>,
) {
    let rules = pass.rules().iter().map(|rule| rule.name.clone());
    for name in std::iter::once(pass.name.clone()).chain(rules) {
        let line = tree.position.line;
        if let Some(line) = names.insert(name.clone(), line) {
            let message = format!("the name '{name}' is already used by the pass in line {line}");
            reader.problem(tree.position, message);
        }
    }
    for rule in pass
        .rules()
        .iter()
        .filter(|rule| !rule.bits.keeps(pass.bits))
    {
        let (rule, bits, promised) = (&rule.name, rule.bits, pass.bits);
        let message = format!("the pass promises {promised}, but its rule '{rule}' only {bits}");
        reader.problem(tree.position, message);
    }
    if let PassKind::Transform(def) = pass.kind
        && !def.bits.keeps(pass.bits)
    {
        let message = format!(
            "the pass promises {}, but the transform only {}",
            pass.bits, def.bits
        );
        reader.problem(tree.position, message);
    }
}
