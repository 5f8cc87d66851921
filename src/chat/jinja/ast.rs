//! What a template says, as a tree. Spans lead back to the text.

use super::fault::Span;

/// An expression and its place.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it says.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// What an expression says.
#[derive(Clone, Debug)]
pub enum ExprKind {
    None,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    Name(String),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    /// `+`, `-` or `not`, and its operand.
    Unary(&'static str, Box<Expr>),
    /// An operator of arithmetic, and its operands.
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// A chain of comparisons: `a < b < c`.
    Compare(Box<Expr>, Vec<(&'static str, Expr)>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    /// Texts joined by `~`.
    Concat(Vec<Expr>),
    /// `yes if condition else no`.
    If(Box<[Expr; 2]>, Option<Box<Expr>>),
    Attribute(Box<Expr>, String),
    Item(Box<Expr>, Box<Expr>),
    /// `[start:stop:step]`, as the inside of an item.
    Slice([Option<Box<Expr>>; 3]),
    Call(Box<Expr>, Arguments),
    Filter(Box<Expr>, String, Arguments),
    /// A test; `true` if it must not hold.
    Test(Box<Expr>, String, Arguments, bool),
}

/// The arguments of a call.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    pub positional: Vec<Expr>,
    pub named: Vec<(String, Expr)>,
    /// `*list` and `**map`.
    pub rest: Option<Box<Expr>>,
    pub named_rest: Option<Box<Expr>>,
}

/// What is assigned to.
#[derive(Clone, Debug)]
pub enum Target {
    Name(String),
    /// An attribute of a namespace.
    Attribute(String, String),
    Several(Vec<Target>),
}

/// A statement.
#[derive(Clone, Debug)]
pub enum Statement {
    Text(String),
    Output(Expr),
    Set(Target, Expr, Span),
    /// A block whose text is assigned, through filters if there are any.
    SetBlock(Target, Option<Expr>, Vec<Statement>, Span),
    /// Conditions and their bodies, and what else.
    If(Vec<(Expr, Vec<Statement>)>, Vec<Statement>),
    /// A loop, by its place in the template.
    For(usize),
    /// A macro, by its place in the template.
    Macro(usize),
    /// A call of a macro with a body, which is the macro at that place.
    CallBlock(usize, Expr),
    /// A body whose text goes through filters.
    FilterBlock(Expr, Vec<Statement>),
    With(Vec<(Target, Expr)>, Vec<Statement>),
    /// Statements that belong together.
    Body(Vec<Statement>),
    Break,
    Continue,
}

/// A loop.
#[derive(Clone, Debug)]
pub struct For {
    pub target: Target,
    pub values: Expr,
    pub condition: Option<Expr>,
    pub recursive: bool,
    pub body: Vec<Statement>,
    pub otherwise: Vec<Statement>,
    pub span: Span,
}

/// A macro.
#[derive(Clone, Debug)]
pub struct Macro {
    pub name: String,
    pub parameters: Vec<(String, Option<Expr>)>,
    pub body: Vec<Statement>,
    /// Whether it reads `varargs`, `kwargs` and `caller`, without which it accepts none.
    pub reads: [bool; 3],
}

/// The names that only macros have.
pub const MACRO_NAMES: [&str; 3] = ["varargs", "kwargs", "caller"];

/// The name under which blocks pass their text to filters. No template can spell it.
pub const BLOCK_TEXT: &str = " text";

/// A whole template.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub body: Vec<Statement>,
    pub loops: Vec<For>,
    pub macros: Vec<Macro>,
}
