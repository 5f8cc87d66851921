//! A graph file as written: parameters, weights and nodes with their positions, with nothing evaluated.

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
    /// Prefixes that a weight file may put before every tensor's name; `[""]` by default.
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
    /// What a GGUF file of such a model must contain in addition; without it, no GGUF file can be written.
    pub gguf: Option<GgufStatement>,
    /// Nodes, Repeats and Ifs, in order.
    pub nodes: Vec<Statement>,
    /// The names whose last binding the model returns.
    pub outputs: Vec<Output>,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Where the name is in the file.
    pub position: Position,
    /// What it is.
    pub definition: Definition,
}

/// What a parameter is.
#[derive(Debug, Clone, PartialEq)]
pub enum Definition {
    /// The value at the first of these dotted paths that the model's configuration has, otherwise the default.
    Key {
        /// Paths into config.json.
        hf: Vec<String>,
        /// GGUF keys; `{arch}` stands for general.architecture.
        gguf: Vec<String>,
        /// The value if no path is present.
        default: Option<Argument>,
        /// The value if a path is present and null, and no path has a value.
        null: Option<Argument>,
        /// The value for the key of a GGUF file; by default the parameter's value, and the key is not written if the
        /// value is `none`.
        to_gguf: Option<Box<Argument>>,
    },
    /// A value from this file.
    Given(Argument),
}

/// A value that may have to be computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// Where it is in the file.
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

/// An expression with its text and position.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    /// The expression.
    pub expression: Expression,
    /// Its text.
    pub text: String,
    /// Where the text's first character is in the file.
    pub position: Position,
}

/// A condition that the model's parameters must meet.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// The condition.
    pub condition: Formula,
    /// What to say if it is false.
    pub why: String,
}

/// A weight.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightDeclaration {
    /// Its name in this file: "embed", or "layer.q" if it has one tensor for each value of the variable `layer`.
    pub name: String,
    /// Where the name is in the file.
    pub position: Position,
    /// The Repeat variables that its tensors' names mention, outermost first; `name` begins with them.
    pub variables: Vec<String>,
    /// `name` without the variables: "q".
    pub rest: String,
    /// Its shape, in the file's row order: [out, in] for a matrix.
    pub shape: Vec<Argument>,
    /// The tensor's name in Hugging Face files.
    pub hf: Option<Template>,
    /// The tensor's name in GGUF files.
    pub gguf: Option<Template>,
    /// Whether a file may lack it.
    pub optional: bool,
    /// The weights that are used when the file lacks it.
    pub or: Option<Alternative>,
    /// What is done to the tensor of a folder, in order, to make the tensor of a GGUF file.
    pub to_gguf: Vec<Step>,
}

/// `Op(attributes)` or `Op(operand)`: what is done to one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Where it is in the file.
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
    /// Where it is in the file.
    pub position: Position,
    /// The value of `general.architecture`.
    pub architecture: String,
    /// Keys that no parameter reads, and their values; `{arch}` stands for the architecture.
    pub keys: Vec<(String, Argument)>,
    /// Tensors that are made from parameters, each a list of floats; not written if the value is `none`.
    pub tensors: Vec<(String, Argument)>,
    /// Parameters that have another value in the GGUF file than in the folder it is made from, though the model is the same.
    pub differs: Vec<Output>,
}

/// What stands in for a weight: `"weight"`, `If("condition", "weight")`, or `Rows("weight", first)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Alternative {
    /// The name of another weight.
    pub weight: String,
    /// The first of the rows that stand in; there are as many as the missing weight has. The whole weight if `None`.
    pub first_row: Option<Argument>,
    /// The condition under which it may stand in; always if `None`.
    pub condition: Option<Argument>,
}

/// A tensor's name with `{variable}` in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Literal texts. Between each two comes the value of a variable, so there is one more text than there are
    /// variables.
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
        /// Where it is in the file.
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
        /// The nodes if it is true.
        yes: Vec<Statement>,
        /// The nodes if it is false.
        no: Vec<Statement>,
    },
}

/// `("name", Op(attributes), ["input", …])`
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it is in the file.
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
    /// Where it is in the file.
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

/// A name whose value the model returns.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Where it is in the file.
    pub position: Position,
    /// The name.
    pub name: String,
}
