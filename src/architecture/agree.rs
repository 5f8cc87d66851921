//! Checks whether a whole graph and its weight file agree: no tensor is missing, every tensor and every node has a reader,
//! and caches keep what their readers look at.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};

use super::ast::Output;
use super::expand::{Expanded, FlatInput, FlatWeight};
use super::tensors::{Headers, find_tensor, matches};
use crate::graph::{Graph, NodeId, Value};
use crate::language::diagnostics::{Position, Problem, nearest, unknown};
use crate::ops::{Attribute, Tokens};

/// How many missing tensors are named where many are missing.
const NAMED: usize = 3;

/// The problems of weights whose tensors are missing, each with a hint for its message. All weights of one declaration
/// make one problem.
pub(super) fn missing(expanded: &Expanded, missing: &[(&FlatWeight, String)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut declared: BTreeMap<Position, Vec<&(&FlatWeight, String)>> = BTreeMap::new();
    for weight in missing {
        declared.entry(weight.0.position).or_default().push(weight);
    }
    for (position, group) in &declared {
        let Some((first, more)) = group.first() else {
            continue;
        };
        let all = expanded.weights.iter();
        let all = all.filter(|weight| weight.position == *position).count();
        let tensor = &first.tensor;
        let message = match group.len() {
            1 => format!("the weight file has no tensor '{tensor}'{more}"),
            count if count == all => {
                format!(
                    "the weight file has no tensor '{tensor}', nor any of the {count} like it{more}"
                )
            }
            count => format!(
                "the weight file has no tensor '{tensor}', nor {} like it{}",
                count - 1,
                of_layers(group.iter().map(|(weight, _)| *weight))
            ),
        };
        problems.push(Problem::new(*position, message).about("weight", &first.name));
    }
    if missing.len() > 1 {
        let all = expanded.weights.len();
        let names: Vec<&str> = missing
            .iter()
            .map(|(weight, _)| weight.tensor.as_str())
            .collect();
        let (first, rest) = names.split_at(names.len().min(NAMED));
        let others = match rest.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!(
            "{} of {all} tensors are missing in the weight file{}: '{}'{others}",
            names.len(),
            of_layers(missing.iter().map(|(weight, _)| *weight)),
            first.join("', '")
        );
        problems.push(Problem::new(Position::START, message));
    }
    problems
}

/// The iterations of the Repeats that the weights belong to, if they belong to any: ", of layer 3 to 5, 8".
fn of_layers<'a>(weights: impl Iterator<Item = &'a FlatWeight>) -> String {
    let mut layers: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for weight in weights {
        // "layer.3/q"
        let iteration = weight
            .name
            .split('/')
            .next()
            .and_then(|first| first.split_once('.'));
        let Some((variable, Ok(index))) = iteration.map(|(name, index)| (name, index.parse()))
        else {
            continue;
        };
        layers.entry(variable).or_default().insert(index);
    }
    let mut text = String::new();
    for (variable, indices) in layers {
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for index in indices {
            match spans.last_mut() {
                Some((_, last)) if *last + 1 == index => *last = index,
                _ => spans.push((index, index)),
            }
        }
        let spans = spans.into_iter().map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first} to {last}"),
        });
        let spans: Vec<String> = spans.collect();
        text.push_str(&format!(", of {variable} {}", spans.join(", ")));
    }
    text
}

/// Nodes that nothing reads: most likely a typo in a name. Must be called only if nothing else is wrong.
pub(super) fn unread_nodes(expanded: &Expanded) -> Vec<Problem> {
    let mut problems = Vec::new();
    let reached = reached(expanded);
    if reached.contains(&false) {
        problems.extend(lost_nodes(expanded, &reached));
    }
    for Output { position, name } in &expanded.unread {
        if !expanded
            .nodes
            .iter()
            .any(|node| node.written.contains(name))
        {
            let names = expanded.nodes.iter().flat_map(|node| node.written.iter());
            let message = unknown("name", name, names.map(String::as_str));
            problems.push(Problem::new(*position, message));
        }
    }
    problems
}

/// The problems of nodes that are not `reached`.
fn lost_nodes(expanded: &Expanded, reached: &[bool]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let inputs = expanded.nodes.iter().flat_map(|node| &node.inputs);
    let read: FxHashSet<&str> = inputs.filter_map(value_name).collect();
    let nodes = || expanded.nodes.iter().zip(reached);
    let known = nodes().filter(|(_, reached)| **reached);
    let known: BTreeSet<&str> = known
        .flat_map(|(node, _)| node.written.iter())
        .map(String::as_str)
        .collect();
    let mut told = FxHashSet::default();
    for (node, reached) in nodes() {
        // In a chain of such nodes, the last one is the mistake.
        let is_last = !node.names.iter().any(|name| read.contains(&**name));
        if *reached || !is_last || !told.insert(node.position) {
            continue;
        }
        let (Some(name), Some(written)) = (node.names.first(), node.written.first()) else {
            continue;
        };
        let others = known.iter().copied().filter(|known| known != written);
        let meant = nearest(written, others);
        let meant = meant.map_or(String::new(), |near| format!(", did you mean '{near}'?"));
        let message = format!(
            "nothing reads '{written}'{meant} (`unread` lists nodes that may stay without a reader)"
        );
        problems.push(Problem::new(node.position, message).of(&**name));
    }
    problems
}

/// For each node, whether an output depends on it, or a node that may stay without a reader does.
fn reached(expanded: &Expanded) -> Vec<bool> {
    let mut places = FxHashMap::default();
    places.reserve(expanded.nodes.len());
    for (at, node) in expanded.nodes.iter().enumerate() {
        places.extend(node.names.iter().map(|name| (&**name, at)));
    }
    let mut reached = vec![false; expanded.nodes.len()];
    let outputs = expanded
        .outputs
        .iter()
        .filter_map(|output| places.get(&*output.value));
    let mut waiting: Vec<usize> = outputs.copied().collect();
    let unread = |name: &String| expanded.unread.iter().any(|unread| unread.name == *name);
    let spared = expanded.nodes.iter().enumerate();
    waiting.extend(
        spared
            .filter(|(_, node)| node.written.iter().any(unread))
            .map(|(at, _)| at),
    );
    while let Some(at) = waiting.pop() {
        let (Some(reached), Some(node)) = (reached.get_mut(at), expanded.nodes.get(at)) else {
            continue;
        };
        if !std::mem::replace(reached, true) {
            let values = node.inputs.iter().filter_map(value_name);
            waiting.extend(values.filter_map(|name| places.get(name)));
        }
    }
    reached
}

fn value_name(input: &FlatInput) -> Option<&str> {
    match input {
        FlatInput::Value(name) => Some(name),
        FlatInput::Weight(_)
        | FlatInput::Literal(_)
        | FlatInput::Absent
        | FlatInput::Missing(_) => None,
    }
}

/// Tensors of the file that no node on the way to an output reads.
pub(super) fn unread_tensors(expanded: &Expanded, headers: &Headers) -> Vec<Problem> {
    let reached = reached(expanded);
    let nodes = expanded
        .nodes
        .iter()
        .zip(&reached)
        .filter(|(_, reached)| **reached);
    let needed: FxHashSet<&str> = nodes
        .flat_map(|(node, _)| &node.inputs)
        .filter_map(|input| match input {
            FlatInput::Weight(name) => Some(&**name),
            _ => None,
        })
        .collect();
    let read: FxHashSet<&str> = expanded
        .weights
        .iter()
        .filter(|weight| needed.contains(&*weight.name))
        .filter_map(|weight| find_tensor(headers, &expanded.prefixes, &weight.tensor))
        .collect();
    let ignored = |name: &str| expanded.ignore.iter().any(|pattern| matches(pattern, name));
    let unread = headers
        .iter()
        .filter(|(name, _)| !read.contains(name.as_str()) && !ignored(name));
    // Tensors whose names differ only in numbers make one problem.
    let mut alike: BTreeMap<(String, &[usize]), Vec<&str>> = BTreeMap::new();
    for (name, header) in unread {
        let key = (without_numbers(name), header.shape.as_slice());
        alike.entry(key).or_default().push(name);
    }
    let problem = |((pattern, shape), names): ((String, &[usize]), Vec<&str>)| {
        let which = match names[..] {
            [name] => format!("tensor '{name}' {shape:?}"),
            _ => format!("the {} tensors '{pattern}' {shape:?}", names.len()),
        };
        let message = format!(
            "no node reads {which} of the weight file (a forgotten bias?); `ignore` lists tensors to leave out"
        );
        Problem::new(Position::START, message)
    };
    alike.into_iter().map(problem).collect()
}

/// Caches whose window differs from the window through which their keys are read.
pub(super) fn caches(expanded: &Expanded, graph: &Graph) -> Vec<Problem> {
    let mut problems = Vec::new();
    for id in graph.order() {
        let Some(cache) = graph
            .node(id)
            .op()
            .filter(|op| op.has_state() && op.output_count() > 1)
        else {
            continue;
        };
        let keys = Value {
            node: id,
            output: 0,
        };
        for reader in readers(graph, keys) {
            let Some(op) = graph.node(reader).op() else {
                continue;
            };
            let (kept, seen) = (cache.attribute(WINDOW), op.attribute(WINDOW));
            if kept == seen {
                continue;
            }
            let name = graph.name(keys).to_string();
            let position = expanded
                .nodes
                .iter()
                .find(|node| node.names.iter().any(|own| **own == *name));
            let position = position.map_or(Position::START, |node| node.position);
            let shown =
                |window: Option<&Attribute>| window.unwrap_or(&Attribute::Absent).to_string();
            let message = format!(
                "{} has the window {}, but {} \"{}\", which reads its keys, has the window {}: the two must be equal",
                cache.name(),
                shown(kept),
                op.name(),
                graph.node(reader).name(),
                shown(seen)
            );
            problems.push(Problem::new(position, message).of(name));
        }
    }
    // If each iteration of a Repeat has the problem, it is reported for the first.
    let mut told = FxHashSet::default();
    problems.retain(|problem| told.insert((problem.line, problem.column)));
    problems
}

/// The attribute of caches and of ops that mask scores.
const WINDOW: &str = "window";

/// The nodes that read keys through a window, or that read all keys although they could have a window.
fn readers(graph: &Graph, keys: Value) -> Vec<NodeId> {
    let (mut waiting, mut seen, mut readers) = (vec![keys], FxHashSet::default(), Vec::new());
    while let Some(value) = waiting.pop() {
        for (user, _) in graph.users(value) {
            let Some(op) = graph.node(user).op().filter(|_| seen.insert(user)) else {
                continue;
            };
            let whole = matches!(op.tokens(), Tokens::Text { .. });
            // Scores that are not masked here may be masked by the next node.
            let masks = whole || op.attribute("causal").is_none() || op.flag("causal");
            match (op.attribute(WINDOW).is_some(), op.tokens()) {
                (true, _) if masks => readers.push(user),
                // Scores end where they are summed.
                (_, Tokens::OwnRow(_)) => {}
                _ => waiting
                    .extend((0..op.output_count()).map(|output| Value { node: user, output })),
            }
        }
    }
    readers
}

/// A tensor's name with {n} for each part between dots that is a number.
fn without_numbers(name: &str) -> String {
    let parts = name.split('.').map(|part| {
        let is_number = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if is_number { "{n}" } else { part }
    });
    parts.collect::<Vec<_>>().join(".")
}
