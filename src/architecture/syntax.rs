//! The graph file's grammar: turns text into a [`ModelFile`], and finds every problem that the text alone can show.
//!
//! ```text
//! Model(
//!     architectures: ["…"],  prefixes: ["", "…"],  ignore: ["*.…"],  ignore_keys: ["*…"],  unread: ["node"],
//!     params: {"name": Key(hf: ["path"], gguf: ["path"], default: value, null: value, to_gguf: value), "name": value},
//!     require: [("condition", "why")],
//!     weights: {"name": (shape: [value], hf: "tensor.{variable}", gguf: "…", optional: true, or: "weight",
//!                        to_gguf: [Op(attribute: value), Op(value)])},
//!     gguf: (architecture: "…", keys: {"key": value}, tensors: {"tensor": value}, differs: ["parameter"]),
//!     nodes: [("name", Op(attribute: value), ["input", "", Num("expression"), 2]), (["a", "b"], Op(value), []),
//!             Repeat("variable", count, [nodes]), If("condition", [nodes], [nodes])],
//!     outputs: ["name"],
//! )
//! ```
//!
//! A value is a number, true, false, a text (which is an expression) or a list of values. `or` may also have the form
//! `If("condition", "weight")` or `Rows("weight", value)`.

use std::collections::{BTreeSet, HashSet};

use super::ast::{
    Alternative, Argument, ArgumentKind, Definition, Formula, GgufStatement, ModelFile, Output,
    Param, Requirement, Template, WeightDeclaration,
};
use crate::graph::Input;
use crate::language::diagnostics::{Position, Problem, Problems, unknown};
use crate::language::document::{self, Form, Kind, Tree};
use crate::language::expression::{Expression, is_name};
use crate::language::node::TreeReader;
use crate::language::value::Value;

/// Names with a meaning in every expression: `source` is 'hf' or 'gguf', `T` and `S` are the texts 'T' and 'S', which
/// stand for the dimensions that stay symbolic until planning (tokens in this step, context so far). `none` as an
/// attribute's value leaves it absent.
pub const PREDEFINED: [&str; 4] = ["source", "T", "S", "none"];

/// How deeply lists of attribute values may be nested.
const DEEPEST_LIST: usize = 8;

/// The longest name of a node, weight, op, attribute, variable or tensor, in bytes.
const LONGEST_NAME: usize = 256;

/// Reads a graph file. Messages call it `file_name`.
pub fn parse(file_name: &str, text: &str) -> Result<ModelFile, Problems> {
    let tree = document::parse(file_name, text)?;
    let mut reader = GraphFileReader::default();
    let model = reader.model(file_name, &tree);
    Problems::check(file_name, reader.problems, model)
}

/// Reads a graph file's tree and notes what is wrong with it.
#[derive(Default)]
pub(super) struct GraphFileReader {
    problems: Vec<Problem>,
    /// What is being read ("node", "weight", "parameter") and its name.
    pub(super) subject: Option<(&'static str, String)>,
    pub(super) params: HashSet<String>,
    pub(super) weights: BTreeSet<String>,
    /// The variables of the Repeats around the statement being read.
    pub(super) variables: Vec<String>,
    /// The variables of all Repeats.
    pub(super) all_variables: BTreeSet<String>,
}

impl TreeReader for GraphFileReader {
    fn problem(&mut self, position: Position, message: impl Into<String>) {
        let problem = Problem::new(position, message);
        self.problems.push(match &self.subject {
            Some(("node", name)) => problem.of(name),
            Some((what, name)) => problem.about(what, name),
            None => problem,
        });
    }
}

impl GraphFileReader {
    /// Returns `name`, and notes a problem if it is so long that repeating it could fill the memory.
    pub(super) fn name(&mut self, name: String, position: Position) -> String {
        if name.len() > LONGEST_NAME {
            self.problem(position, format!("a name longer than {LONGEST_NAME} bytes"));
        }
        name
    }

    fn model(&mut self, file: &str, tree: &Tree) -> ModelFile {
        let known = [
            "architectures",
            "prefixes",
            "ignore",
            "ignore_keys",
            "unread",
            "params",
            "require",
            "weights",
            "gguf",
            "nodes",
            "outputs",
        ];
        let [
            architectures,
            prefixes,
            ignore,
            ignore_keys,
            unread,
            params,
            require,
            weights,
            gguf,
            nodes,
            outputs,
        ] = self.form_fields(tree, "Model", known);
        for (name, field) in [("nodes", nodes), ("outputs", outputs)] {
            if field.is_none() && self.problems.is_empty() {
                self.problem(tree.position, format!("Model has no '{name}'"));
            }
        }
        let mut model = ModelFile {
            file: file.to_owned(),
            architectures: self.texts(architectures),
            prefixes: self.texts(prefixes),
            ignore: self.texts(ignore),
            ignore_keys: self.texts(ignore_keys),
            unread: self.list(unread, Self::placed_name),
            params: self.entries(params, "parameter", Self::param),
            require: self.list(require, Self::requirement),
            weights: self.entries(weights, "weight", Self::weight),
            gguf: gguf.and_then(|tree| self.gguf(tree)),
            nodes: self.list(nodes, Self::statement),
            outputs: self.list(outputs, Self::placed_name),
        };
        if prefixes.is_none() {
            model.prefixes.push(String::new());
        }
        if let Some(tree) = outputs.filter(|_| model.outputs.is_empty()) {
            self.problem(tree.position, "a model needs at least one output");
        }
        for weight in &model.weights {
            for variable in &weight.variables {
                if !self.all_variables.contains(variable) {
                    self.subject = Some(("weight", weight.name.clone()));
                    let variables = self.all_variables.iter().map(String::as_str);
                    let message = unknown("Repeat variable", variable, variables);
                    self.problem(weight.position, message);
                }
            }
            if let Some(or) = weight
                .or
                .as_ref()
                .filter(|or| !self.weights.contains(&or.weight))
            {
                self.subject = Some(("weight", weight.name.clone()));
                let message = unknown(
                    "weight",
                    &or.weight,
                    self.weights.iter().map(String::as_str),
                );
                self.problem(weight.position, message);
            }
        }
        model
    }

    fn placed_name(&mut self, tree: &Tree) -> Option<Output> {
        let name = self.text(tree)?.to_owned();
        let position = tree.position;
        Some(Output { position, name })
    }

    fn gguf(&mut self, tree: &Tree) -> Option<GgufStatement> {
        let known = ["architecture", "keys", "tensors", "differs"];
        let [architecture, keys, tensors, differs] = self.form_fields(tree, "Gguf", known);
        if architecture.is_none() && self.problems.is_empty() {
            self.problem(tree.position, "gguf has no 'architecture'");
        }
        let named = |reader: &mut Self, name: &str, _: Position, tree: &Tree| {
            Some((name.to_owned(), reader.argument(tree)?))
        };
        let keys = self.entries(keys, "key", named);
        let tensors = self.entries(tensors, "tensor", named);
        let differs = self.list(differs, Self::placed_name);
        for Output { position, name } in &differs {
            if !self.params.contains(name) {
                let params: BTreeSet<&str> = self.params.iter().map(String::as_str).collect();
                let message = unknown("parameter", name, params);
                self.problem(*position, message);
            }
        }
        Some(GgufStatement {
            position: tree.position,
            architecture: self.text(architecture?)?.to_owned(),
            keys,
            tensors,
            differs,
        })
    }

    /// The values of the fields that `known` lists, of a form that may be named `name`.
    fn form_fields<'t, const N: usize>(
        &mut self,
        tree: &'t Tree,
        name: &str,
        known: [&str; N],
    ) -> [Option<&'t Tree<'t>>; N] {
        let form = match &tree.kind {
            Kind::Form(form) if form.arguments.is_empty() => form,
            _ => {
                self.expected(
                    &format!("{name}({}: …, …)", known.first().unwrap_or(&"")),
                    tree,
                );
                return [None; N];
            }
        };
        if let Some(found) = form.name.filter(|found| *found != name) {
            self.problem(
                tree.position,
                format!("expected {name}(…), found {found}(…)"),
            );
            return [None; N];
        }
        self.fields(form, known)
    }

    /// The results of `read` for each item of a list, if there is one.
    pub(super) fn list<T>(
        &mut self,
        tree: Option<&Tree>,
        mut read: impl FnMut(&mut Self, &Tree) -> Option<T>,
    ) -> Vec<T> {
        tree.map_or_else(Vec::new, |tree| self.items(tree, &mut read))
    }

    /// The results of `read` for each entry of a map, if there is one. Each name may occur once.
    fn entries<T>(
        &mut self,
        tree: Option<&Tree>,
        what: &'static str,
        mut read: impl FnMut(&mut Self, &str, Position, &Tree) -> Option<T>,
    ) -> Vec<T> {
        let entries = match tree.map(|tree| (tree, &tree.kind)) {
            None => return Vec::new(),
            Some((_, Kind::Map(entries))) => entries,
            Some((tree, _)) => {
                self.expected("a map {\"name\": …}", tree);
                return Vec::new();
            }
        };
        let mut seen = HashSet::new();
        let mut values = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let Some(name) = self.text(key) else {
                continue;
            };
            self.subject = Some((what, self.name(name.to_owned(), key.position)));
            if !seen.insert(name) {
                self.problem(key.position, format!("'{name}' is defined twice"));
            }
            values.extend(read(self, name, key.position, value));
            self.subject = None;
        }
        values
    }

    fn texts(&mut self, tree: Option<&Tree>) -> Vec<String> {
        self.list(tree, |reader, item| reader.text(item).map(str::to_owned))
    }

    pub(super) fn formula(&mut self, tree: &Tree) -> Option<Formula> {
        let Kind::Text(text, position) = &tree.kind else {
            self.expected("an expression in \"double quotes\"", tree);
            return None;
        };
        match Expression::parse(text) {
            Ok(expression) => Some(Formula {
                expression,
                text: text.clone(),
                position: *position,
            }),
            Err(error) => {
                let at = position.advance(text, error.offset);
                self.problem(at, format!("{} in \"{text}\"", error.message));
                None
            }
        }
    }

    pub(super) fn argument(&mut self, tree: &Tree) -> Option<Argument> {
        self.nested_argument(tree, 0)
    }

    fn nested_argument(&mut self, tree: &Tree, depth: usize) -> Option<Argument> {
        let kind = match &tree.kind {
            Kind::Integer(value) => ArgumentKind::Constant(Value::Int(*value)),
            Kind::Float(value) => ArgumentKind::Constant(Value::Float(*value)),
            Kind::Bool(value) => ArgumentKind::Constant(Value::Bool(*value)),
            Kind::Text(..) => ArgumentKind::Formula(self.formula(tree)?),
            Kind::List(items) if depth < DEEPEST_LIST => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.extend(self.nested_argument(item, depth + 1));
                }
                ArgumentKind::List(values)
            }
            Kind::List(_) => {
                let message = format!("values nested more than {DEEPEST_LIST} deep");
                self.problem(tree.position, message);
                return None;
            }
            Kind::Form(Form {
                name: Some(name), ..
            }) => {
                let message = format!("'{name}' is not a value; a text is written \"'{name}'\"");
                self.problem(tree.position, message);
                return None;
            }
            Kind::Map(_) | Kind::Form(_) => {
                self.expected("a number, true, false, \"an expression\" or a list", tree);
                return None;
            }
        };
        let position = tree.position;
        Some(Argument { position, kind })
    }

    fn param(&mut self, name: &str, position: Position, tree: &Tree) -> Option<Param> {
        if PREDEFINED.contains(&name) {
            self.problem(
                position,
                format!("'{name}' can't be a parameter's name: it has a meaning of its own in expressions"),
            );
        } else if !is_name(name) {
            let message = format!(
                "'{name}' can't be a parameter's name: expected letters, digits and _ only"
            );
            self.problem(position, message);
        }
        self.params.insert(name.to_owned());
        let definition = match &tree.kind {
            Kind::Form(_) => {
                let noted = self.problems.len();
                let known = ["hf", "gguf", "default", "null", "to_gguf"];
                let [hf, gguf, default, null, to_gguf] = self.form_fields(tree, "Key", known);
                if hf.is_none() && gguf.is_none() && self.problems.len() == noted {
                    self.problem(tree.position, "Key needs 'hf' or 'gguf' paths");
                }
                let mut value = |tree: Option<&Tree>| match tree {
                    Some(tree) => self.argument(tree).map(Some),
                    None => Some(None),
                };
                let (default, null, to_gguf) = (value(default)?, value(null)?, value(to_gguf)?);
                Definition::Key {
                    hf: self.texts(hf),
                    gguf: self.texts(gguf),
                    default,
                    null,
                    to_gguf: to_gguf.map(Box::new),
                }
            }
            _ => Definition::Given(self.argument(tree)?),
        };
        Some(Param {
            name: name.to_owned(),
            position,
            definition,
        })
    }

    fn requirement(&mut self, tree: &Tree) -> Option<Requirement> {
        match &tree.kind {
            Kind::Form(Form {
                name: None,
                arguments,
                ..
            }) if arguments.len() == 2 => {
                let [condition, why] = arguments.as_slice() else {
                    return None;
                };
                let (condition, why) = (self.formula(condition), self.text(why));
                Some(Requirement {
                    condition: condition?,
                    why: why?.to_owned(),
                })
            }
            _ => {
                self.expected("(\"condition\", \"why\")", tree);
                None
            }
        }
    }

    fn weight(&mut self, name: &str, position: Position, tree: &Tree) -> Option<WeightDeclaration> {
        if name.is_empty() || Input::ALL.iter().any(|input| input.name() == name) {
            self.problem(position, format!("'{name}' can't be a weight's name"));
        }
        self.weights.insert(name.to_owned());
        let noted = self.problems.len();
        let known = ["shape", "hf", "gguf", "optional", "or", "to_gguf"];
        let [shape, hf, gguf, optional, or, to_gguf] = self.form_fields(tree, "Weight", known);
        if self.problems.len() == noted {
            if shape.is_none() {
                self.problem(tree.position, "the weight has no 'shape'");
            }
            if hf.is_none() && gguf.is_none() {
                self.problem(
                    tree.position,
                    "the weight needs an 'hf' or 'gguf' tensor name",
                );
            }
        }
        let shape = self.list(shape, Self::argument);
        let hf = hf.and_then(|tree| self.template(tree));
        let gguf = gguf.and_then(|tree| self.template(tree));
        let optional = match optional.map(|tree| (tree, &tree.kind)) {
            None => false,
            Some((_, Kind::Bool(optional))) => *optional,
            Some((tree, _)) => {
                self.expected("true or false", tree);
                false
            }
        };
        let or = or.and_then(|tree| self.alternative(tree));
        let to_gguf = self.list(to_gguf, Self::step);
        let mentioned: BTreeSet<&str> = hf
            .iter()
            .chain(&gguf)
            .flat_map(|template| template.variables.iter().map(String::as_str))
            .collect();
        let mut rest = name;
        let mut variables = Vec::new();
        while let Some((first, after)) = rest.split_once('.') {
            if !mentioned.contains(first) || variables.iter().any(|known| known == first) {
                break;
            }
            variables.push(first.to_owned());
            rest = after;
        }
        for variable in &mentioned {
            if !variables.iter().any(|known| known == variable) {
                let message = format!(
                    "the tensor's name contains {{{variable}}}, so the weight's name must begin with '{variable}.'"
                );
                self.problem(position, message);
            }
        }
        Some(WeightDeclaration {
            name: name.to_owned(),
            position,
            rest: rest.to_owned(),
            variables,
            shape,
            hf,
            gguf,
            optional,
            or,
            to_gguf,
        })
    }

    /// The value of a weight's `or`.
    fn alternative(&mut self, tree: &Tree) -> Option<Alternative> {
        let mut condition = None;
        let (weight, first_row) = match &tree.kind {
            Kind::Text(weight, _) => (weight.as_str(), None),
            Kind::Form(Form {
                name: Some("If"),
                arguments,
                ..
            }) if let [decides, weight] = arguments.as_slice() => {
                condition = Some(self.argument(decides)?);
                (self.text(weight)?, None)
            }
            Kind::Form(Form {
                name: Some("Rows"),
                arguments,
                ..
            }) if let [weight, first] = arguments.as_slice() => {
                (self.text(weight)?, Some(self.argument(first)?))
            }
            _ => {
                let expected =
                    "\"weight\", If(\"condition\", \"weight\") or Rows(\"weight\", first row)";
                self.expected(expected, tree);
                return None;
            }
        };
        Some(Alternative {
            weight: weight.to_owned(),
            first_row,
            condition,
        })
    }

    fn template(&mut self, tree: &Tree) -> Option<Template> {
        let text = self.text(tree)?;
        self.name(text.to_owned(), tree.position);
        let mut template = Template {
            texts: Vec::new(),
            variables: Vec::new(),
        };
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((variable, after)) = after.split_once('}').filter(|(name, _)| is_name(name))
            else {
                let message = format!(
                    "'{{' in \"{text}\" must be followed by the name of a Repeat variable and '}}'"
                );
                self.problem(tree.position, message);
                return None;
            };
            template.texts.push(before.to_owned());
            template.variables.push(variable.to_owned());
            rest = after;
        }
        template.texts.push(rest.to_owned());
        Some(template)
    }
}
