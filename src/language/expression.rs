//! Expressions over parameters: the grammar.
//!
//! ```text
//! expression  = either [ "?" expression ":" expression ]
//! either      = both { "or" both }            both  = negated { "and" negated }       negated = "not" negated | relation
//! relation    = sum [ ( == != < <= > >= in ) sum ]
//! sum         = product { ( + - ) product }   product = sign { ( * / % ) sign }       sign    = "-" sign | place
//! place       = primary { "." name | "[" expression "]" }
//! primary     = number | 'text' | true | false | name | function "(" expression, … ")" | "[" expression, … "]" | "(" expression ")"
//!             | "[" expression for name in expression "]"
//! ```
//!
//! A list made by `for` may not contain another. In a text, '' means one quote. An expression is at most 4096 bytes long and
//! 48 operators deep.

use super::diagnostics::unknown;
use super::value::Value;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    pub(super) root: Node,
}

/// One operator or operand of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Bytes from the beginning of the expression's text.
    pub offset: usize,
    /// The longest path to an operand, counting this node.
    depth: usize,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Constant(Value),
    Name(String),
    Field(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    Negate(Box<Node>),
    Not(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    /// Condition, value if true, value if false.
    Conditional(Box<[Node; 3]>),
    Call(Function, Vec<Node>),
    List(Vec<Node>),
    /// `[element for variable in list]`: one element for each value of the list.
    ListFor {
        variable: String,
        /// The element, then the list.
        parts: Box<[Node; 2]>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// How the operator is written.
    pub fn sign(self) -> &'static str {
        OPERATORS
            .iter()
            .find(|(_, operator, _)| *operator == self)
            .map_or("", |(sign, _, _)| sign)
    }
}

/// How tightly relations bind: relations don't chain.
const RELATION: u8 = 4;

/// Every binary operator with how tightly it binds. A sign comes before any shorter sign that it begins with.
const OPERATORS: [(&str, Operator, u8); 14] = [
    ("or", Operator::Or, 1),
    ("and", Operator::And, 2),
    ("in", Operator::In, RELATION),
    ("==", Operator::Equal, RELATION),
    ("!=", Operator::NotEqual, RELATION),
    ("<=", Operator::LessEqual, RELATION),
    (">=", Operator::GreaterEqual, RELATION),
    ("<", Operator::Less, RELATION),
    (">", Operator::Greater, RELATION),
    ("+", Operator::Add, 5),
    ("-", Operator::Subtract, 5),
    ("*", Operator::Multiply, 6),
    ("/", Operator::Divide, 6),
    ("%", Operator::Remainder, 6),
];
/// How tightly `not` binds: less than relations.
const NOT: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Min,
    Max,
    Sqrt,
    Pow,
    Floor,
    Len,
    Has,
    Range,
}

/// Every function with the least and the greatest number of its arguments.
const FUNCTIONS: [(&str, Function, usize, usize); 8] = [
    ("min", Function::Min, 2, 16),
    ("max", Function::Max, 2, 16),
    ("sqrt", Function::Sqrt, 1, 1),
    ("pow", Function::Pow, 2, 2),
    ("floor", Function::Floor, 1, 1),
    ("len", Function::Len, 1, 1),
    ("has", Function::Has, 1, 1),
    ("range", Function::Range, 1, 1),
];

impl Function {
    /// How the function is written.
    pub fn name(self) -> &'static str {
        FUNCTIONS
            .iter()
            .find(|(_, function, _, _)| *function == self)
            .map_or("", |(name, _, _, _)| name)
    }
}

/// Words that cannot be names of parameters.
pub(super) const KEYWORDS: [&str; 7] = ["true", "false", "and", "or", "not", "in", "for"];

/// Whether `name` can name a parameter or a Repeat's variable: a letter or `_`, then letters, digits or `_`, and not a
/// keyword of the grammar.
pub fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(is_name_character)
        && !KEYWORDS.contains(&name)
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// What is wrong with an expression, and where in the expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// Bytes from the beginning of the expression's text.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
}

/// The longest expression, in bytes.
const LONGEST: usize = 4096;
/// The deepest expression, in operators and parentheses.
const DEEPEST: usize = 48;

impl Expression {
    /// Reads one expression; the whole text must belong to it.
    pub fn parse(text: &str) -> Result<Expression, ExpressionError> {
        let mut parser = Parser {
            text,
            offset: 0,
            nesting: 0,
        };
        if text.len() > LONGEST {
            return Err(parser.error_at(0, format!("an expression longer than {LONGEST} bytes")));
        }
        let root = parser.expression()?;
        parser.skip_space();
        match parser.rest().chars().next() {
            None => Ok(Expression { root }),
            Some(_) => Err(parser.unexpected("an operator or the end")),
        }
    }
}

type Parsed = Result<Node, ExpressionError>;

struct Parser<'a> {
    text: &'a str,
    /// The number of bytes read so far; always at the beginning of a character.
    offset: usize,
    nesting: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or("")
    }

    fn skip_space(&mut self) {
        self.offset = self.text.len() - self.rest().trim_start().len();
    }

    /// Whether `sign` comes next. If `sign` is a word, the next word must be exactly that word.
    fn sees(&self, sign: &str) -> bool {
        match self.rest().strip_prefix(sign) {
            None => false,
            Some(after) => {
                !(sign.ends_with(is_name_character) && after.starts_with(is_name_character))
            }
        }
    }

    fn take(&mut self, sign: &str) -> bool {
        self.skip_space();
        let seen = self.sees(sign);
        if seen {
            self.offset += sign.len();
        }
        seen
    }

    fn expect(&mut self, sign: &str) -> Result<(), ExpressionError> {
        match self.take(sign) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("'{sign}'"))),
        }
    }

    fn error_at(&self, offset: usize, message: impl Into<String>) -> ExpressionError {
        ExpressionError {
            offset,
            message: message.into(),
        }
    }

    fn unexpected(&self, expected: &str) -> ExpressionError {
        let message = match self.rest().chars().next() {
            None => format!("the expression ends where {expected} should follow"),
            Some('=') if !self.sees("==") => "'=' is not a comparison; write '=='".to_owned(),
            Some(character) => format!("expected {expected}, found '{character}'"),
        };
        self.error_at(self.offset, message)
    }

    fn node(&self, offset: usize, kind: Kind) -> Parsed {
        let inner = match &kind {
            Kind::Constant(_) | Kind::Name(_) => 0,
            Kind::Field(of, _) | Kind::Negate(of) | Kind::Not(of) => of.depth,
            Kind::Index(left, right) | Kind::Binary(_, left, right) => left.depth.max(right.depth),
            Kind::Conditional(parts) => parts.iter().map(|part| part.depth).max().unwrap_or(0),
            Kind::Call(_, parts) | Kind::List(parts) => {
                parts.iter().map(|part| part.depth).max().unwrap_or(0)
            }
            Kind::ListFor { parts, .. } => parts.iter().map(|part| part.depth).max().unwrap_or(0),
        };
        if inner >= DEEPEST {
            return Err(self.error_at(offset, self.too_deep()));
        }
        Ok(Node {
            offset,
            depth: inner + 1,
            kind,
        })
    }

    fn too_deep(&self) -> String {
        format!("an expression more than {DEEPEST} operators deep")
    }

    /// Runs `read` one level deeper, unless that is too deep.
    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.nesting >= DEEPEST {
            return Err(self.error_at(self.offset, self.too_deep()));
        }
        self.nesting += 1;
        let node = read(self);
        self.nesting -= 1;
        node
    }

    fn expression(&mut self) -> Parsed {
        self.nested(|parser| {
            let condition = parser.binary(0)?;
            parser.skip_space();
            let offset = parser.offset;
            if !parser.take("?") {
                return Ok(condition);
            }
            let yes = parser.expression()?;
            parser.expect(":")?;
            let no = parser.expression()?;
            parser.node(offset, Kind::Conditional(Box::new([condition, yes, no])))
        })
    }

    /// Reads operators that bind at least as tightly as `least`, with their operands.
    fn binary(&mut self, least: u8) -> Parsed {
        let mut left = self.prefixed()?;
        let mut related = false;
        loop {
            self.skip_space();
            let offset = self.offset;
            let found = OPERATORS.into_iter().find(|(sign, ..)| self.sees(sign));
            let Some((sign, operator, strength)) =
                found.filter(|(.., strength)| *strength >= least)
            else {
                return Ok(left);
            };
            if related && strength == RELATION {
                let message =
                    format!("comparisons don't chain: join them before '{sign}' with 'and'");
                return Err(self.error_at(offset, message));
            }
            related |= strength == RELATION;
            self.offset += sign.len();
            let right = self.binary(strength + 1)?;
            left = self.node(
                offset,
                Kind::Binary(operator, Box::new(left), Box::new(right)),
            )?;
        }
    }

    fn prefixed(&mut self) -> Parsed {
        self.skip_space();
        let offset = self.offset;
        if self.take("not") {
            let inner = self.nested(|parser| parser.binary(NOT))?;
            return self.node(offset, Kind::Not(Box::new(inner)));
        }
        if self.take("-") {
            let inner = self.nested(Self::prefixed)?;
            return self.node(offset, Kind::Negate(Box::new(inner)));
        }
        let mut place = self.primary()?;
        loop {
            self.skip_space();
            let offset = self.offset;
            if self.take(".") {
                let name = self.word();
                if name.is_empty() {
                    return Err(self.unexpected("a field's name"));
                }
                place = self.node(offset, Kind::Field(Box::new(place), name.to_owned()))?;
            } else if self.take("[") {
                let index = self.expression()?;
                self.expect("]")?;
                place = self.node(offset, Kind::Index(Box::new(place), Box::new(index)))?;
            } else {
                return Ok(place);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let offset = self.offset;
        match self.rest().chars().next() {
            Some('0'..='9') => self.number(),
            Some('\'') => self.quoted(),
            Some('(') => {
                self.offset += 1;
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Some('[') => {
                self.offset += 1;
                self.list(offset)
            }
            Some(first) if first.is_ascii_alphabetic() || first == '_' => self.name(),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Reads letters, digits and `_`, possibly none.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !is_name_character(c)).unwrap_or(rest.len());
        self.offset += length;
        rest.get(..length).unwrap_or("")
    }

    fn name(&mut self) -> Parsed {
        let offset = self.offset;
        let name = self.word();
        match name {
            "true" => return self.node(offset, Kind::Constant(Value::Bool(true))),
            "false" => return self.node(offset, Kind::Constant(Value::Bool(false))),
            "and" | "or" | "in" | "not" | "for" => {
                return Err(self.error_at(offset, format!("expected a value, found '{name}'")));
            }
            _ => {}
        }
        if !self.take("(") {
            return self.node(offset, Kind::Name(name.to_owned()));
        }
        let Some((_, function, least, most)) =
            FUNCTIONS.into_iter().find(|(known, ..)| *known == name)
        else {
            let message = unknown("function", name, FUNCTIONS.iter().map(|(known, ..)| *known));
            return Err(self.error_at(offset, message));
        };
        let arguments = self.sequence(")")?;
        if !(least..=most).contains(&arguments.len()) {
            let expected = if least == most {
                "takes"
            } else {
                "takes at least"
            };
            let found = arguments.len();
            let message = format!("{name} {expected} {least} argument(s), found {found}");
            return Err(self.error_at(offset, message));
        }
        self.node(offset, Kind::Call(function, arguments))
    }

    /// Reads a list whose opening bracket is at `offset` and has been read.
    fn list(&mut self, offset: usize) -> Parsed {
        if self.take("]") {
            return self.node(offset, Kind::List(Vec::new()));
        }
        let first = self.expression()?;
        self.skip_space();
        let at = self.offset;
        if !self.take("for") {
            let mut items = vec![first];
            if !self.take("]") {
                self.expect(",")?;
                items.extend(self.sequence("]")?);
            }
            return self.node(offset, Kind::List(items));
        }
        if has_list_for(&first) {
            return Err(self.error_at(at, "a list made by 'for' inside another"));
        }
        self.skip_space();
        let start = self.offset;
        let variable = self.word().to_owned();
        if !is_name(&variable) {
            self.offset = start;
            return Err(self.unexpected("a variable's name after 'for'"));
        }
        self.expect("in")?;
        let over = self.expression()?;
        self.expect("]")?;
        let parts = Box::new([first, over]);
        self.node(offset, Kind::ListFor { variable, parts })
    }

    /// Reads expressions between commas, up to and including `end`.
    fn sequence(&mut self, end: &str) -> Result<Vec<Node>, ExpressionError> {
        let mut items = Vec::new();
        while !self.take(end) {
            if !items.is_empty() {
                self.expect(",")?;
                if self.take(end) {
                    break;
                }
            }
            items.push(self.expression()?);
        }
        Ok(items)
    }

    fn quoted(&mut self) -> Parsed {
        let offset = self.offset;
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1).peekable();
        while let Some((at, character)) = characters.next() {
            if character != '\'' {
                text.push(character);
            } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
                text.push('\'');
            } else {
                self.offset = offset + at + 1;
                return self.node(offset, Kind::Constant(Value::Str(text)));
            }
        }
        Err(self.error_at(offset, "a text without its closing quote"))
    }

    fn digits(&mut self) -> usize {
        let rest = self.rest();
        let length = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        self.offset += length;
        length
    }

    fn number(&mut self) -> Parsed {
        let start = self.offset;
        let mut whole = true;
        self.digits();
        if self.sees(".") {
            whole = false;
            self.offset += 1;
            if self.digits() == 0 {
                return Err(self.unexpected("a digit"));
            }
        }
        if self.rest().starts_with(['e', 'E']) {
            whole = false;
            self.offset += 1;
            if self.rest().starts_with(['+', '-']) {
                self.offset += 1;
            }
            if self.digits() == 0 {
                return Err(self.unexpected("a digit"));
            }
        }
        if self.rest().starts_with(is_name_character) {
            return Err(self.unexpected("an operator after the number"));
        }
        let text = self.text.get(start..self.offset).unwrap_or("");
        let value = if whole {
            text.parse().ok().map(Value::Int)
        } else {
            text.parse()
                .ok()
                .filter(|value: &f64| value.is_finite())
                .map(Value::Float)
        };
        match value {
            Some(value) => self.node(start, Kind::Constant(value)),
            None => Err(self.error_at(start, format!("the number {text} is too large"))),
        }
    }
}

/// Whether the expression contains a list made by `for`.
fn has_list_for(node: &Node) -> bool {
    match &node.kind {
        Kind::Constant(_) | Kind::Name(_) => false,
        Kind::Field(of, _) | Kind::Negate(of) | Kind::Not(of) => has_list_for(of),
        Kind::Index(left, right) | Kind::Binary(_, left, right) => {
            has_list_for(left) || has_list_for(right)
        }
        Kind::Conditional(parts) => parts.iter().any(has_list_for),
        Kind::Call(_, parts) | Kind::List(parts) => parts.iter().any(has_list_for),
        Kind::ListFor { .. } => true,
    }
}
