//! What a graph file uses: the parameters that affect its graph, and therefore the keys of a configuration.

use std::collections::{HashMap, HashSet};

use super::ast::{
    Argument, ArgumentKind, Definition, Formula, ModelFile, Operand, OperandKind, Param, Statement,
};
use super::parameters::SourceKind;

/// The parameter that affects sessions whether or not a node reads it: the model's maximum number of positions.
pub const CONTEXT: &str = "context";
/// The placeholder for the architecture in GGUF keys.
pub(super) const ARCHITECTURE: &str = "{arch}";
/// The suffix that turns the path of an array into the path of its length.
const LENGTH: &str = ".length";

/// The paths read by the parameters that a weight, a node or a requirement depends on. `architecture` replaces `{arch}` in
/// the keys of GGUF files.
pub(super) fn paths(file: &ModelFile, kind: SourceKind, architecture: &str) -> HashSet<String> {
    let mut read = HashSet::new();
    for param in used(file) {
        let Definition::Key { hf, gguf, .. } = &param.definition else {
            continue;
        };
        match kind {
            SourceKind::Hf => read.extend(hf.iter().cloned()),
            SourceKind::Gguf => read.extend(gguf.iter().map(|path| {
                let path = path.replace(ARCHITECTURE, architecture);
                path.strip_suffix(LENGTH).map(str::to_owned).unwrap_or(path)
            })),
        }
    }
    read
}

/// The parameters on which the graph depends.
fn used(file: &ModelFile) -> Vec<&Param> {
    let named: HashMap<&str, &Param> = file
        .params
        .iter()
        .map(|param| (param.name.as_str(), param))
        .collect();
    let mut known = HashSet::from([CONTEXT.to_owned()]);
    let mut waiting: Vec<String> = vec![CONTEXT.to_owned()];
    let mut note = |formula: &Formula, waiting: &mut Vec<String>| {
        for reference in formula.expression.references() {
            if known.insert(reference.name.clone()) {
                waiting.push(reference.name);
            }
        }
    };
    graph_formulas(file, &mut |formula| note(formula, &mut waiting));
    let mut used = Vec::new();
    while let Some(name) = waiting.pop() {
        if let Some(param) = named.get(name.as_str()) {
            definition_formulas(param, &mut |formula| note(formula, &mut waiting));
            used.push(*param);
        }
    }
    used
}

/// The names whose values are taken apart somewhere: lists or records.
pub(super) fn taken_apart(file: &ModelFile) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut note = |formula: &Formula| {
        let names = formula.expression.taken_apart().into_iter();
        found.extend(names.map(str::to_owned));
    };
    graph_formulas(file, &mut note);
    for param in &file.params {
        definition_formulas(param, &mut note);
    }
    found
}

/// Calls `tell` with every expression of the graph: the expressions of weights, requirements and nodes.
fn graph_formulas(file: &ModelFile, tell: &mut dyn FnMut(&Formula)) {
    for weight in &file.weights {
        let or = weight.or.iter();
        let or = or.flat_map(|or| or.first_row.iter().chain(&or.condition));
        for argument in weight.shape.iter().chain(or) {
            argument_formulas(argument, tell);
        }
    }
    for requirement in &file.require {
        tell(&requirement.condition);
    }
    statement_formulas(&file.nodes, tell);
}

fn statement_formulas(statements: &[Statement], tell: &mut dyn FnMut(&Formula)) {
    for statement in statements {
        match statement {
            Statement::Node(node) => {
                let attributes = node.attributes.iter().map(|(_, value)| value);
                let literals = node.inputs.iter().filter_map(literal);
                for argument in node.positional.iter().chain(attributes).chain(literals) {
                    argument_formulas(argument, tell);
                }
            }
            Statement::Repeat { count, body, .. } => {
                argument_formulas(count, tell);
                statement_formulas(body, tell);
            }
            Statement::If { condition, yes, no } => {
                tell(condition);
                statement_formulas(yes, tell);
                statement_formulas(no, tell);
            }
        }
    }
}

fn literal(operand: &Operand) -> Option<&Argument> {
    match &operand.kind {
        OperandKind::Literal(literal) => Some(literal),
        OperandKind::Name(_) | OperandKind::Absent => None,
    }
}

/// Calls `tell` with the expressions that determine a parameter's value.
fn definition_formulas(param: &Param, tell: &mut dyn FnMut(&Formula)) {
    match &param.definition {
        Definition::Given(given) => argument_formulas(given, tell),
        Definition::Key { default, null, .. } => {
            for argument in default.iter().chain(null) {
                argument_formulas(argument, tell);
            }
        }
    }
}

fn argument_formulas(argument: &Argument, tell: &mut dyn FnMut(&Formula)) {
    match &argument.kind {
        ArgumentKind::Constant(_) => {}
        ArgumentKind::Formula(formula) => tell(formula),
        ArgumentKind::List(items) => items.iter().for_each(|item| argument_formulas(item, tell)),
    }
}
