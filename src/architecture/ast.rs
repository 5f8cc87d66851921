//! A graph file as it is written: parameters, weights and nodes with their places, nothing evaluated.

use std::sync::Arc;

use crate::graph::Name;
use crate::language::diagnostics::Position;
use crate::language::expression::Expression;
use crate::language::value::Value;

/// A graph file.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// The file, as the user named it.
    pub file: String,
    /// The names it goes by in config.json ("architectures") and GGUF (general.architecture).
    pub architectures: Vec<String>,
    /// What may stand before every tensor's name in a weight file; `[""]` unless told.
    pub prefixes: Vec<String>,
    /// Tensors of a weight file that need no reader; `*` stands for any text.
    pub ignore: Vec<String>,
    /// Keys of a configuration that no parameter reads and that change nothing; `*` stands for any text.
    pub ignore_keys: Vec<String>,
    /// Names of nodes that may stay without a reader.
    pub unread: Vec<Output>,
    /// Parameters, in file order, without duplicates.
    pub params: Vec<Param>,
    /// Conditions that must hold.
    pub require: Vec<Requirement>,
    /// Weights, in file order, without duplicates.
    pub weights: Vec<WeightDeclaration>,
    /// What a GGUF file of such a model is to hold besides; without it, none can be written.
    pub gguf: Option<GgufStatement>,
    /// Nodes, Repeats and Ifs, in order.
    pub nodes: Vec<Statement>,
    /// The names whose last binding the model gives back.
    pub outputs: Vec<Output>,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub position: Position,
    /// What it is.
    pub definition: Definition,
}

/// What a parameter is.
#[derive(Debug, Clone, PartialEq)]
pub enum Definition {
    /// The first of these dotted paths that the model's configuration holds, else the default.
    Key {
        /// Paths into config.json.
        hf: Vec<String>,
        /// GGUF keys; `{arch}` stands for general.architecture.
        gguf: Vec<String>,
        /// The value if no path is present.
        default: Option<Argument>,
        /// The value if a path is present and null, and none has a value.
        null: Option<Argument>,
        /// What a GGUF file that is written holds under the key; the parameter's value unless told, nothing where `none`.
        to_gguf: Option<Box<Argument>>,
    },
    /// A value from this file.
    Given(Argument),
}

/// A value that may have to be computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// Where it stands.
    pub position: Position,
    /// What it is.
    pub kind: ArgumentKind,
}

/// See [`Argument`].
#[derive(Debug, Clone, PartialEq)]
pub enum ArgumentKind {
    /// A number or boolean.
    Constant(Value),
    /// An expression.
    Formula(Formula),
    /// Values in order.
    List(Vec<Argument>),
}

/// An expression with its text and place.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    /// The expression.
    pub expression: Expression,
    /// Its text.
    pub text: String,
    /// Where the text's first character stands.
    pub position: Position,
}

/// A condition the model's parameters must meet.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// The condition.
    pub condition: Formula,
    /// What to say if it doesn't hold.
    pub why: String,
}

/// A weight.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightDeclaration {
    /// Its name in this file: "embed", or "layer.q" if it has one tensor for each value of the variable `layer`.
    pub name: String,
    /// Where the name stands.
    pub position: Position,
    /// The Repeat variables its tensors' names mention, outermost first, as `name` begins with them.
    pub variables: Vec<String>,
    /// `name` without the variables: "q".
    pub rest: String,
    /// Its shape, in rows of the file's order: [out, in] for a matrix.
    pub shape: Vec<Argument>,
    /// The tensor's name in Hugging Face files.
    pub hf: Option<Template>,
    /// The tensor's name in GGUF files.
    pub gguf: Option<Template>,
    /// Whether a file may lack it.
    pub optional: bool,
    /// What is used when the file lacks it.
    pub or: Option<Alternative>,
    /// What is done with the tensor of a folder, in order, to make that of a GGUF file.
    pub to_gguf: Vec<Step>,
}

/// `Op(attributes)` or `Op(operand)`: what is done with one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Where it stands.
    pub position: Position,
    /// The op, whose first input is the tensor.
    pub op: Name,
    /// The op's second input, a number.
    pub operand: Option<Argument>,
    /// The op's attributes, without duplicates.
    pub attributes: Vec<(Name, Argument)>,
}

/// `gguf: (architecture: "…", keys: {…}, tensors: {…}, differs: […])`
#[derive(Debug, Clone, PartialEq)]
pub struct GgufStatement {
    /// Where it stands.
    pub position: Position,
    /// The value of `general.architecture`.
    pub architecture: String,
    /// Keys that no parameter reads, and their values; `{arch}` stands for the architecture.
    pub keys: Vec<(String, Argument)>,
    /// Tensors that are made of parameters, each a list of floats; not written where `none`.
    pub tensors: Vec<(String, Argument)>,
    /// Parameters that are another for the GGUF file than for the folder it is made from, though the model is the same.
    pub differs: Vec<Output>,
}

/// What stands in for a weight: `"weight"`, `If("condition", "weight")`, or `Rows("weight", first)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Alternative {
    /// The name of another weight.
    pub weight: String,
    /// The first of its rows that stand in, as many as the missing weight has; all of it where none.
    pub first_row: Option<Argument>,
    /// Where it may stand in; everywhere where none.
    pub condition: Option<Argument>,
}

/// A tensor's name with `{variable}` in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Literal texts, and between each two the variable whose value stands there; one text more than variables.
    pub texts: Vec<String>,
    /// The variables.
    pub variables: Vec<String>,
}

/// A node or a group of nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// One node.
    Node(Node),
    /// `Repeat("variable", count, […])`
    Repeat {
        /// Where it stands.
        position: Position,
        /// The variable, which counts from 0.
        variable: String,
        /// How many times.
        count: Argument,
        /// What is repeated.
        body: Vec<Statement>,
    },
    /// `If("condition", […], […])`
    If {
        /// The condition.
        condition: Formula,
        /// The nodes if it holds.
        yes: Vec<Statement>,
        /// The nodes if it doesn't.
        no: Vec<Statement>,
    },
}

/// `("name", Op(attributes), ["input", …])`
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub position: Position,
    /// The names of its outputs, at least one.
    pub names: Arc<[String]>,
    /// The op.
    pub op: Name,
    /// The op's attribute without a name: `Activation("act")`.
    pub positional: Option<Argument>,
    /// The op's attributes with names, without duplicates.
    pub attributes: Vec<(Name, Argument)>,
    /// Its inputs.
    pub inputs: Vec<Operand>,
}

/// An input of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Operand {
    /// Where it stands.
    pub position: Position,
    /// What it is.
    pub kind: OperandKind,
}

/// See [`Operand`].
#[derive(Debug, Clone, PartialEq)]
pub enum OperandKind {
    /// A node's output, a weight, or an input of the graph.
    Name(String),
    /// `Num("expression")` or a number.
    Literal(Argument),
    /// `""`: an optional input left out.
    Absent,
}

/// A name the model gives back.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Where it stands.
    pub position: Position,
    /// The name.
    pub name: String,
}
