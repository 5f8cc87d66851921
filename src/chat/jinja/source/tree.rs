//! An expression as a tree, in which only the parts that the writer may replace have a form of their own.

/// How tightly the parts of an expression must be bound where it stands, or are bound in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Anything.
    Loose,
    /// What a filter can follow.
    Filtered,
    /// What an attribute, an item or a call can follow.
    Postfix,
}

/// An expression and its place in the template.
#[derive(Debug)]
pub struct Node {
    pub start: usize,
    pub end: usize,
    pub form: Form,
}

/// What an expression is.
#[derive(Debug)]
pub enum Form {
    /// A number without a sign.
    Number { whole: bool },
    /// One text in quotes, or several that follow each other.
    Text,
    /// A list or tuple in brackets, with its parts.
    List(Vec<Node>),
    /// Anything that is written as it stands, except for its parts, which have the levels that they need.
    Verbatim {
        level: Level,
        parts: Vec<(Level, Node)>,
    },
    /// Operators of the same rank: one fewer than operands.
    Chain {
        rank: Rank,
        operators: Vec<Operator>,
        operands: Vec<Node>,
    },
    /// A sign before an operand.
    Signed {
        operator: Operator,
        operand: Box<Node>,
    },
    /// `base[start:stop:step]`.
    Slice {
        base: Box<Node>,
        bounds: [Option<Box<Node>>; 3],
    },
    /// `base[key]`.
    Item { base: Box<Node>, key: Box<Node> },
}

/// Operators that bind equally tightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    Compared,
    Sum,
    Joined,
    Product,
}

/// An operator and where it ends in the template.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    pub name: &'static str,
    pub end: usize,
}

impl Node {
    /// Whether the engine does with the expression what Jinja does, as far as the outermost operators are concerned.
    pub fn is_kept(&self) -> bool {
        match &self.form {
            Form::Chain {
                rank,
                operators,
                operands,
            } => is_kept(*rank, operators, operands),
            Form::Signed { operator, operand } => operator.name == "-" && operand.is_number(),
            Form::Item { key, .. } => key.is_place(),
            Form::Slice { .. } => false,
            _ => true,
        }
    }

    /// How tightly the parts of the expression are bound when it is written.
    pub fn level(&self) -> Level {
        match &self.form {
            Form::Verbatim { level, .. } => *level,
            Form::Number { .. } | Form::Text | Form::List(_) => Level::Postfix,
            Form::Chain { .. } if self.is_kept() => Level::Loose,
            Form::Item { .. } if self.is_kept() => Level::Postfix,
            _ => Level::Filtered,
        }
    }

    /// Whether the expression is a number without a sign.
    fn is_number(&self) -> bool {
        matches!(self.form, Form::Number { .. })
    }

    /// Whether the expression is a text, or a whole number with or without a sign.
    fn is_place(&self) -> bool {
        match &self.form {
            Form::Text => true,
            Form::Number { whole } => *whole,
            Form::Signed { operand, .. } => self.is_kept() && operand.is_place(),
            _ => false,
        }
    }
}

/// Whether the engine's own operators do what Jinja's do.
fn is_kept(rank: Rank, operators: &[Operator], operands: &[Node]) -> bool {
    let are_numbers = operands.iter().all(Node::is_number);
    let are_texts = operands
        .iter()
        .all(|operand| matches!(operand.form, Form::Text));
    match (rank, operators) {
        (Rank::Joined, _) => are_texts,
        (Rank::Sum, _) => are_numbers || are_texts,
        (Rank::Product, _) => {
            let are_divisions = operators
                .iter()
                .all(|operator| operator.name.starts_with('/'));
            are_numbers || are_divisions
        }
        (Rank::Compared, [operator]) => match operator.name {
            "==" | "!=" => true,
            "in" | "not in" => {
                are_texts || matches!(operands.last().map(|last| &last.form), Some(Form::List(_)))
            }
            _ => are_numbers || are_texts,
        },
        (Rank::Compared, _) => operators
            .iter()
            .all(|operator| matches!(operator.name, "==" | "!=")),
    }
}
