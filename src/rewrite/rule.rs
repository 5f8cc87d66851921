//! A rule in the form that is applied: parsed and checked, with names resolved to numbers.

use crate::language::diagnostics::Position;
use crate::language::expression::Expression;
use crate::ops::{Attribute, OpDef};
use crate::types::Bits;

/// The number of a value in its rule: an index into [`Rule::values`].
pub type ValueId = usize;

/// A value of a rule's pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleValue {
    /// Its name in the rule file, without `?`. Empty for an output that the pattern doesn't name.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a value of a pattern comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An output of a node of the pattern.
    Node {
        /// The node, an index into [`Rule::pattern`].
        node: usize,
        /// Which of its outputs.
        output: usize,
    },
    /// From outside the pattern.
    Leaf {
        /// Whether it may be absent: written `"b?"`.
        optional: bool,
    },
}

/// An operand of a node of a pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operand {
    /// A named value.
    Value(ValueId),
    /// The operand must be absent: `""`, or a slot that isn't listed.
    Absent,
    /// A literal near this number.
    Number(f64),
}

/// One node of a pattern.
#[derive(Clone)]
pub struct PatternNode {
    /// The op it must be.
    pub op: &'static OpDef,
    /// The values that its attributes must equal, by the attributes' index in the op's definition.
    pub attributes: Vec<(usize, Attribute)>,
    /// Its operands by slot; absent ones at the end are listed too.
    pub inputs: Vec<Operand>,
    /// Its outputs, all of them.
    pub outputs: Vec<ValueId>,
}

/// An expression of a rule over matched attributes (`s.scale`) and matched literals (`c`).
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    /// The expression.
    pub expression: Expression,
    /// Its text.
    pub text: String,
    /// The values that it reads: literals, and outputs of the nodes whose attributes it names.
    pub reads: Vec<ValueId>,
}

/// The value of an attribute of an emitted node.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// Known when the rule is loaded.
    Constant(Attribute),
    /// Computed for each match.
    Formula(Formula),
}

/// An operand of an emitted node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EmitInput {
    /// A leaf of the pattern; absent in the match means absent here.
    Leaf(ValueId),
    /// An output of an emitted node before this one.
    Emitted {
        /// The node, an index into [`Rule::emit`].
        node: usize,
        /// Which of its outputs.
        output: usize,
    },
    /// A literal.
    Number(f64),
    /// None.
    Absent,
}

/// An output of an emitted node.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its name in the rule file.
    pub name: String,
    /// The matched value that it replaces, if it does.
    pub replaces: Option<ValueId>,
}

/// One emitted node.
#[derive(Clone)]
pub struct EmitNode {
    /// The op.
    pub op: &'static OpDef,
    /// Its attributes; the others take their defaults.
    pub attributes: Vec<(&'static str, Term)>,
    /// Its operands by slot.
    pub inputs: Vec<EmitInput>,
    /// Its outputs, all of them.
    pub outputs: Vec<Target>,
}

/// How the matcher reaches a node of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The search begins at this node.
    Anchor,
    /// The node produces a value that is known.
    Giver(ValueId),
    /// The node reads a value that is known.
    Reader(ValueId),
}

/// A rule.
#[derive(Clone)]
pub struct Rule {
    /// Its name, unique in all passes.
    pub name: String,
    /// Where it is in its file.
    pub position: Position,
    /// How far it may move bits.
    pub bits: Bits,
    /// Every value of the pattern.
    pub values: Vec<RuleValue>,
    /// What it looks for; each node comes after the nodes it reads. The last one is the anchor.
    pub pattern: Vec<PatternNode>,
    /// The order in which the matcher visits the pattern's nodes, and how it reaches each. Begins with the anchor.
    pub plan: Vec<(usize, Reach)>,
    /// What else must hold.
    pub guards: Vec<Guard>,
    /// What replaces the match.
    pub emit: Vec<EmitNode>,
}

impl Rule {
    /// Whether an emitted value replaces this one.
    pub fn replaces(&self, value: ValueId) -> bool {
        self.replaced().any(|v| v == value)
    }

    /// The values that emitted values replace.
    pub fn replaced(&self) -> impl Iterator<Item = ValueId> + '_ {
        let targets = self.emit.iter().flat_map(|node| &node.outputs);
        targets.filter_map(|target| target.replaces)
    }

    /// The op at which the matcher begins.
    pub fn anchor(&self) -> Option<&'static OpDef> {
        self.pattern.last().map(|node| node.op)
    }
}

/// How far a number may be from the number that a rule names, relative to that number.
pub const NEAR: f64 = 1e-6;

/// A condition, with the text that reports show for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// As the rule file writes it.
    pub text: String,
    /// The question.
    pub condition: Condition,
}

/// What a guard asks. `src/guide/passes.md` documents each for those who write rules.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The two values have equal shapes.
    SameShape(ValueId, ValueId),
    /// The two values have equal shapes and element types.
    SameType(ValueId, ValueId),
    /// The value depends on weights, and on no input of a step.
    IsWeight(ValueId),
    /// The value depends on an input of a step.
    IsActivation(ValueId),
    /// The value is a number written in the graph file.
    Literal(ValueId),
    /// The value has this many dimensions.
    Rank(ValueId, usize),
    /// The expression is a number within [`NEAR`] of this number.
    Near(Formula, f64),
    /// The two expressions are equal; an absent attribute equals only another absent attribute.
    Equal(Formula, Formula),
    /// The condition does not hold.
    Not(Box<Condition>),
}
