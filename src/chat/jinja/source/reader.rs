//! Reads expressions: operators bind as in Jinja.

use super::tokens::{Kind, Token};
use super::tree::{Form, Level, Node, Operator, Rank};

/// The most expressions inside each other. The engine reads at most 150 levels, and what is written in place of an operator
/// may nest up to three levels for one.
const DEEPEST: usize = 32;

/// Names that are operators, which can't be variables where the template is rewritten.
const OPERATORS: [&str; 7] = ["and", "else", "if", "in", "is", "not", "or"];

/// A reader of the tokens of a tag. Its methods return `None` for what is not an expression.
pub struct Reader<'a> {
    template: &'a str,
    tokens: &'a [Token],
    /// The number of tokens that have been read.
    pub at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// A reader that begins with the first token.
    pub fn new(template: &'a str, tokens: &'a [Token]) -> Reader<'a> {
        Reader {
            template,
            tokens,
            at: 0,
            depth: 0,
        }
    }

    /// Whether there are no more tokens.
    pub fn is_at_end(&self) -> bool {
        self.at == self.tokens.len()
    }

    /// The next token's text; it is empty for a text in quotes and at the end.
    pub fn next(&self) -> &'a str {
        self.after(0)
    }

    /// The text of the token after `skipped` more tokens.
    fn after(&self, skipped: usize) -> &'a str {
        match self.tokens.get(self.at + skipped) {
            Some(token) if token.kind != Kind::Text => {
                self.template.get(token.start..token.end).unwrap_or("")
            }
            _ => "",
        }
    }

    fn kind(&self) -> Option<Kind> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    /// The position of the next token.
    fn start(&self) -> Option<usize> {
        self.tokens.get(self.at).map(|token| token.start)
    }

    /// The end of the token that was read last.
    fn end(&self) -> usize {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        last.map_or(0, |token| token.end)
    }

    /// Reads the token if it is this one.
    pub fn skip(&mut self, text: &str) -> bool {
        let is_next = !text.is_empty() && self.next() == text;
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, text: &str) -> Option<()> {
        self.skip(text).then_some(())
    }

    fn name(&mut self) -> Option<()> {
        let is_name = self.kind() == Some(Kind::Name);
        self.at += usize::from(is_name);
        is_name.then_some(())
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth == DEEPEST {
            return None;
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// The expression from `start` to the token that was read last.
    fn node(&self, start: usize, form: Form) -> Node {
        let end = self.end();
        Node { start, end, form }
    }

    fn verbatim(&self, start: usize, level: Level, parts: Vec<(Level, Node)>) -> Node {
        self.node(start, Form::Verbatim { level, parts })
    }

    /// `a if b else c`.
    pub fn expression(&mut self) -> Option<Node> {
        self.nested(|reader| {
            let start = reader.start()?;
            let mut parts = vec![(Level::Loose, reader.alternative()?)];
            while reader.skip("if") {
                parts.push((Level::Loose, reader.alternative()?));
                if reader.skip("else") {
                    parts.push((Level::Loose, reader.expression()?));
                }
            }
            Some(reader.grouped(start, parts))
        })
    }

    /// The only part, or all parts as they stand.
    fn grouped(&self, start: usize, mut parts: Vec<(Level, Node)>) -> Node {
        match (parts.len(), parts.pop()) {
            (1, Some((_, only))) => only,
            (_, last) => {
                parts.extend(last);
                self.verbatim(start, Level::Loose, parts)
            }
        }
    }

    /// `a or b`, without a condition: what `for` and `if` contain.
    pub fn alternative(&mut self) -> Option<Node> {
        let start = self.start()?;
        let mut parts = Vec::new();
        loop {
            parts.push((Level::Loose, self.negation()?));
            if !self.skip("and") && !self.skip("or") {
                return Some(self.grouped(start, parts));
            }
        }
    }

    fn negation(&mut self) -> Option<Node> {
        let start = self.start()?;
        if !self.skip("not") {
            return self.chain(Rank::Compared);
        }
        let negated = self.nested(Self::negation)?;
        Some(self.verbatim(start, Level::Loose, vec![(Level::Loose, negated)]))
    }

    /// Operators of a rank between operands that bind more tightly.
    fn chain(&mut self, rank: Rank) -> Option<Node> {
        let start = self.start()?;
        let (mut operators, mut operands) = (Vec::new(), Vec::new());
        loop {
            operands.push(match rank {
                Rank::Compared => self.chain(Rank::Sum)?,
                Rank::Sum => self.chain(Rank::Joined)?,
                Rank::Joined => self.chain(Rank::Product)?,
                Rank::Product => self.power()?,
            });
            match self.operator(rank) {
                Some(operator) => operators.push(operator),
                None => break,
            }
        }
        if operators.is_empty() {
            return operands.pop();
        }
        let form = Form::Chain {
            rank,
            operators,
            operands,
        };
        Some(self.node(start, form))
    }

    fn operator(&mut self, rank: Rank) -> Option<Operator> {
        let names: &[&str] = match rank {
            Rank::Compared => &["==", "!=", "<", "<=", ">", ">=", "in", "not"],
            Rank::Sum => &["+", "-"],
            Rank::Joined => &["~"],
            Rank::Product => &["*", "/", "//", "%"],
        };
        let mut name = *names.iter().find(|name| self.skip(name))?;
        if name == "not" {
            self.expect("in")?;
            name = "not in";
        }
        let end = self.end();
        Some(Operator { name, end })
    }

    /// `a ** b`.
    fn power(&mut self) -> Option<Node> {
        let start = self.start()?;
        let mut parts = Vec::new();
        loop {
            let operand = self.signed()?;
            parts.push((Level::Filtered, self.filtered(operand)?));
            if !self.skip("**") {
                return Some(self.grouped(start, parts));
            }
        }
    }

    /// A sign before a value with its attributes, items and calls; filters come after the sign.
    fn signed(&mut self) -> Option<Node> {
        let start = self.start()?;
        let Some(name) = ["-", "+"].into_iter().find(|name| self.skip(name)) else {
            return self.postfix();
        };
        let end = self.end();
        let operator = Operator { name, end };
        let operand = Box::new(self.nested(Self::signed)?);
        Some(self.node(start, Form::Signed { operator, operand }))
    }

    /// Filters and tests.
    fn filtered(&mut self, value: Node) -> Option<Node> {
        let start = value.start;
        let mut value = value;
        loop {
            let is_test = self.next() == "is";
            if !self.skip("|") && !self.skip("is") {
                return Some(value);
            }
            if is_test {
                self.skip("not");
            }
            self.name()?;
            while self.skip(".") {
                self.name()?;
            }
            let mut parts = vec![(Level::Filtered, value)];
            match self.next() {
                "(" => self.arguments(&mut parts)?,
                _ if is_test && self.begins_argument() => {
                    parts.push((Level::Postfix, self.postfix()?));
                }
                _ => {}
            }
            value = self.verbatim(start, Level::Filtered, parts);
        }
    }

    /// Whether the argument of a test without brackets comes next.
    fn begins_argument(&self) -> bool {
        match self.kind() {
            Some(Kind::Name) => !["and", "or", "else", "is"].contains(&self.next()),
            Some(Kind::Sign) => ["[", "{"].contains(&self.next()),
            kind => kind.is_some(),
        }
    }

    /// A value with its attributes, items and calls.
    fn postfix(&mut self) -> Option<Node> {
        let mut value = self.value()?;
        let start = value.start;
        loop {
            match self.next() {
                "." => {
                    self.at += 1;
                    match self.kind() {
                        Some(Kind::Name | Kind::Int) => self.at += 1,
                        _ => return None,
                    }
                    value = self.verbatim(start, Level::Postfix, vec![(Level::Postfix, value)]);
                }
                "(" => {
                    let mut parts = vec![(Level::Postfix, value)];
                    self.arguments(&mut parts)?;
                    value = self.verbatim(start, Level::Postfix, parts);
                }
                "[" => {
                    let form = self.item(value)?;
                    value = self.node(start, form);
                }
                _ => return Some(value),
            }
        }
    }

    /// `[key]` or `[start:stop:step]`.
    fn item(&mut self, base: Node) -> Option<Form> {
        self.expect("[")?;
        let base = Box::new(base);
        let mut bounds = [const { None }; 3];
        let mut colons = 0;
        for bound in &mut bounds {
            if self.next() != ":" && self.next() != "]" {
                *bound = Some(Box::new(self.expression()?));
            }
            if colons == 2 || !self.skip(":") {
                break;
            }
            colons += 1;
        }
        self.expect("]")?;
        match (colons, bounds) {
            (0, [key, ..]) => Some(Form::Item { base, key: key? }),
            (_, bounds) => Some(Form::Slice { base, bounds }),
        }
    }

    /// The arguments of a call, in brackets.
    fn arguments(&mut self, parts: &mut Vec<(Level, Node)>) -> Option<()> {
        self.expect("(")?;
        while !self.skip(")") {
            if !self.skip("*") && !self.skip("**") && self.after(1) == "=" {
                self.name()?;
                self.expect("=")?;
            }
            parts.push((Level::Loose, self.expression()?));
            if self.next() != ")" {
                self.expect(",")?;
            }
        }
        Some(())
    }

    /// A name, a literal, or an expression in brackets.
    fn value(&mut self) -> Option<Node> {
        let start = self.start()?;
        let form = match (self.kind()?, self.next()) {
            (Kind::Name, name) if !OPERATORS.contains(&name) => {
                self.at += 1;
                return Some(self.verbatim(start, Level::Postfix, Vec::new()));
            }
            (Kind::Text, _) => {
                while self.kind() == Some(Kind::Text) {
                    self.at += 1;
                }
                Form::Text
            }
            (kind @ (Kind::Int | Kind::Float), _) => {
                self.at += 1;
                Form::Number {
                    whole: kind == Kind::Int,
                }
            }
            (_, "(") => return self.parenthesized(start),
            (_, "[") => Form::List(self.values("]", false)?),
            (_, "{") => {
                let parts = self.values("}", true)?;
                let parts = parts.into_iter().map(|part| (Level::Loose, part)).collect();
                return Some(self.verbatim(start, Level::Postfix, parts));
            }
            _ => return None,
        };
        Some(self.node(start, form))
    }

    /// Values between brackets and commas; those of a map have keys.
    fn values(&mut self, close: &str, have_keys: bool) -> Option<Vec<Node>> {
        self.at += 1;
        let mut values = Vec::new();
        while !self.skip(close) {
            values.push(self.expression()?);
            if have_keys {
                self.expect(":")?;
                values.push(self.expression()?);
            }
            if self.next() != close {
                self.expect(",")?;
            }
        }
        Some(values)
    }

    /// A tuple, or a single expression in brackets.
    fn parenthesized(&mut self, start: usize) -> Option<Node> {
        let mut values = self.values(")", false)?;
        let before = self.tokens.get(self.at.checked_sub(2)?)?;
        let is_tuple =
            values.len() != 1 || self.template.get(before.start..before.end) == Some(",");
        if is_tuple {
            return Some(self.node(start, Form::List(values)));
        }
        let only = (Level::Loose, values.pop()?);
        Some(self.verbatim(start, Level::Postfix, vec![only]))
    }
}
