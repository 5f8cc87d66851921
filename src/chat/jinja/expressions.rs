//! From tokens to expressions, with Jinja's order of operators.

use super::ast::{Arguments, Expr, ExprKind, MACRO_NAMES};
use super::fault::Result;
use super::lexer::Kind;
use super::parser::Parser;

/// The most operators, attributes or filters in a row: each is a level of the tree.
const LONGEST_CHAIN: usize = 1000;

impl Parser {
    /// An expression, or several with commas between them, which are a tuple.
    pub fn tuple(&mut self, with_condition: bool) -> Result<Expr> {
        self.tuple_until(with_condition, "")
    }

    /// The same, also ended by a name.
    pub fn tuple_until(&mut self, with_condition: bool, end: &str) -> Result<Expr> {
        let start = self.span().start;
        let mut values = Vec::new();
        let mut is_tuple = false;
        loop {
            let is_end = matches!(self.kind(), Kind::VariableEnd | Kind::BlockEnd)
                || self.is_operator(")")
                || self.is_name(end);
            if is_end {
                break;
            }
            values.push(match with_condition {
                true => self.expression()?,
                false => self.or()?,
            });
            if !self.skip_operator(",") {
                break;
            }
            is_tuple = true;
        }
        match values.pop() {
            Some(value) if !is_tuple => Ok(value),
            None => self.fail(format!("expected an expression, found {}", self.describe())),
            Some(value) => {
                values.push(value);
                Ok(self.made(start, ExprKind::Tuple(values)))
            }
        }
    }

    /// Fails if a chain of operators, attributes or filters is longer than one may be.
    fn linked(&self, links: &mut usize) -> Result<()> {
        *links += 1;
        match *links > LONGEST_CHAIN {
            true => self.fail(format!("more than {LONGEST_CHAIN} operators in a row")),
            false => Ok(()),
        }
    }

    fn made(&self, start: usize, kind: ExprKind) -> Expr {
        Expr {
            kind,
            span: self.since(start),
        }
    }

    /// An expression, also one with `if`.
    pub fn expression(&mut self) -> Result<Expr> {
        self.deeper(|parser| {
            let start = parser.span().start;
            let mut value = parser.or()?;
            let mut links = 0;
            while parser.skip_name("if") {
                parser.linked(&mut links)?;
                let condition = parser.or()?;
                let otherwise = match parser.skip_name("else") {
                    true => Some(Box::new(parser.expression()?)),
                    false => None,
                };
                value = parser.made(start, ExprKind::If(Box::new([condition, value]), otherwise));
            }
            Ok(value)
        })
    }

    fn or(&mut self) -> Result<Expr> {
        let start = self.span().start;
        let mut left = self.and()?;
        let mut links = 0;
        while self.skip_name("or") {
            self.linked(&mut links)?;
            let right = self.and()?;
            left = self.made(start, ExprKind::Or(Box::new(left), Box::new(right)));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr> {
        let start = self.span().start;
        let mut left = self.not()?;
        let mut links = 0;
        while self.skip_name("and") {
            self.linked(&mut links)?;
            let right = self.not()?;
            left = self.made(start, ExprKind::And(Box::new(left), Box::new(right)));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr> {
        let start = self.span().start;
        if self.skip_name("not") {
            let value = self.deeper(Self::not)?;
            return Ok(self.made(start, ExprKind::Unary("not", Box::new(value))));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expr> {
        const COMPARISONS: [&str; 6] = ["==", "!=", "<=", ">=", "<", ">"];
        let start = self.span().start;
        let left = self.binary(&["+", "-"], Self::concatenation)?;
        let mut others = Vec::new();
        loop {
            let operator = match self.kind() {
                Kind::Operator(operator) if COMPARISONS.contains(operator) => *operator,
                Kind::Name(name) if name == "in" => "in",
                Kind::Name(name) if name == "not" && self.is_before("in") => "not in",
                _ => break,
            };
            self.next();
            if operator == "not in" {
                self.next();
            }
            others.push((operator, self.binary(&["+", "-"], Self::concatenation)?));
        }
        Ok(match others.is_empty() {
            true => left,
            false => self.made(start, ExprKind::Compare(Box::new(left), others)),
        })
    }

    /// Operands with these operators between them, from left to right.
    fn binary(
        &mut self,
        operators: &[&'static str],
        operand: fn(&mut Self) -> Result<Expr>,
    ) -> Result<Expr> {
        let start = self.span().start;
        let mut left = operand(self)?;
        let mut links = 0;
        while let Some(operator) = operators.iter().find(|operator| self.is_operator(operator)) {
            self.linked(&mut links)?;
            self.next();
            let right = operand(self)?;
            left = self.made(
                start,
                ExprKind::Binary(operator, Box::new(left), Box::new(right)),
            );
        }
        Ok(left)
    }

    fn concatenation(&mut self) -> Result<Expr> {
        let start = self.span().start;
        let product = |parser: &mut Self| {
            parser.binary(&["*", "/", "//", "%"], |parser| {
                parser.binary(&["**"], |parser| parser.unary(true))
            })
        };
        let first = product(self)?;
        if !self.is_operator("~") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.skip_operator("~") {
            parts.push(product(self)?);
        }
        Ok(self.made(start, ExprKind::Concat(parts)))
    }

    fn unary(&mut self, with_filter: bool) -> Result<Expr> {
        let start = self.span().start;
        let sign = ["-", "+"].into_iter().find(|sign| self.skip_operator(sign));
        let value = match sign {
            Some(sign) => {
                let value = self.deeper(|parser| parser.unary(false))?;
                self.made(start, ExprKind::Unary(sign, Box::new(value)))
            }
            None => self.primary()?,
        };
        let value = self.postfix(start, value)?;
        match with_filter {
            true => self.filters_and_tests(start, value),
            false => Ok(value),
        }
    }

    fn primary(&mut self) -> Result<Expr> {
        let start = self.span().start;
        let kind = match self.kind().clone() {
            Kind::Name(name) => {
                self.next();
                match name.as_str() {
                    "true" | "True" => ExprKind::Bool(true),
                    "false" | "False" => ExprKind::Bool(false),
                    "none" | "None" => ExprKind::None,
                    _ => {
                        for reads in &mut self.reads {
                            for (read, own) in reads.iter_mut().zip(MACRO_NAMES) {
                                *read |= own == name;
                            }
                        }
                        ExprKind::Name(name)
                    }
                }
            }
            Kind::Text(_) => {
                let mut text = String::new();
                while let Kind::Text(part) = self.kind() {
                    text.push_str(part);
                    self.next();
                }
                ExprKind::Text(text)
            }
            Kind::Integer(value) => {
                self.next();
                ExprKind::Integer(value)
            }
            Kind::Float(value) => {
                self.next();
                ExprKind::Float(value)
            }
            Kind::Operator("(") => {
                self.next();
                let value = match self.is_operator(")") {
                    true => self.made(start, ExprKind::Tuple(Vec::new())),
                    false => self.tuple(true)?,
                };
                self.expect_operator(")")?;
                return Ok(Expr {
                    span: self.since(start),
                    ..value
                });
            }
            Kind::Operator("[") => {
                self.next();
                ExprKind::List(self.values("]")?)
            }
            Kind::Operator("{") => {
                self.next();
                let mut entries = Vec::new();
                while !self.is_operator("}") {
                    if !entries.is_empty() {
                        self.expect_operator(",")?;
                        if self.is_operator("}") {
                            break;
                        }
                    }
                    let key = self.expression()?;
                    self.expect_operator(":")?;
                    entries.push((key, self.expression()?));
                }
                self.expect_operator("}")?;
                ExprKind::Dict(entries)
            }
            _ => return self.fail(format!("expected an expression, found {}", self.describe())),
        };
        Ok(self.made(start, kind))
    }

    /// Expressions with commas between them, up to and with the closing bracket.
    fn values(&mut self, close: &str) -> Result<Vec<Expr>> {
        let mut values = Vec::new();
        while !self.is_operator(close) {
            if !values.is_empty() {
                self.expect_operator(",")?;
                if self.is_operator(close) {
                    break;
                }
            }
            values.push(self.expression()?);
        }
        self.expect_operator(close)?;
        Ok(values)
    }

    fn postfix(&mut self, start: usize, mut value: Expr) -> Result<Expr> {
        let mut links = 0;
        loop {
            self.linked(&mut links)?;
            let kind = if self.skip_operator(".") {
                match self.next() {
                    Kind::Name(name) => ExprKind::Attribute(Box::new(value), name),
                    Kind::Integer(index) => {
                        let index = self.made(start, ExprKind::Integer(index));
                        ExprKind::Item(Box::new(value), Box::new(index))
                    }
                    _ => return self.fail("expected a name or a number after `.`"),
                }
            } else if self.skip_operator("[") {
                let index = self.subscript()?;
                let mut indices = vec![index];
                while self.skip_operator(",") {
                    indices.push(self.subscript()?);
                }
                self.expect_operator("]")?;
                let index = match indices.len() {
                    1 => indices.remove(0),
                    _ => self.made(start, ExprKind::Tuple(indices)),
                };
                ExprKind::Item(Box::new(value), Box::new(index))
            } else if self.is_operator("(") {
                let arguments = self.arguments()?;
                ExprKind::Call(Box::new(value), arguments)
            } else {
                return Ok(value);
            };
            value = self.made(start, kind);
        }
    }

    fn subscript(&mut self) -> Result<Expr> {
        let start = self.span().start;
        let mut parts = [const { None }; 3];
        if !self.is_operator(":") {
            let value = self.expression()?;
            if !self.is_operator(":") {
                return Ok(value);
            }
            parts[0] = Some(Box::new(value));
        }
        for part in parts.iter_mut().skip(1) {
            if !self.skip_operator(":") {
                break;
            }
            let is_empty = [":", "]", ","].iter().any(|end| self.is_operator(end));
            if !is_empty {
                *part = Some(Box::new(self.expression()?));
            }
        }
        Ok(self.made(start, ExprKind::Slice(parts)))
    }

    fn arguments(&mut self) -> Result<Arguments> {
        let mut arguments = Arguments::default();
        let mut is_first = true;
        self.expect_operator("(")?;
        while !self.is_operator(")") {
            if !is_first {
                self.expect_operator(",")?;
                if self.is_operator(")") {
                    break;
                }
            }
            is_first = false;
            if self.skip_operator("*") {
                arguments.rest = Some(Box::new(self.expression()?));
            } else if self.skip_operator("**") {
                arguments.named_rest = Some(Box::new(self.expression()?));
            } else if matches!(self.kind(), Kind::Name(_)) && self.is_before("=") {
                let name = self.name()?;
                self.next();
                arguments.named.push((name, self.expression()?));
            } else if arguments.rest.is_some()
                || arguments.named_rest.is_some()
                || !arguments.named.is_empty()
            {
                return self.fail("an argument without a name after one that has a name");
            } else {
                arguments.positional.push(self.expression()?);
            }
        }
        self.expect_operator(")")?;
        Ok(arguments)
    }

    fn filters_and_tests(&mut self, start: usize, mut value: Expr) -> Result<Expr> {
        let mut links = 0;
        loop {
            self.linked(&mut links)?;
            if self.is_operator("|") {
                value = self.filters(value)?;
            } else if self.skip_name("is") {
                value = self.test(start, value)?;
            } else if self.is_operator("(") {
                let arguments = self.arguments()?;
                value = self.made(start, ExprKind::Call(Box::new(value), arguments));
            } else {
                return Ok(value);
            }
        }
    }

    /// The filters that follow.
    pub fn filters(&mut self, mut value: Expr) -> Result<Expr> {
        let mut links = 0;
        while self.skip_operator("|") {
            self.linked(&mut links)?;
            let name = self.name()?;
            value = self.filter(value, name)?;
        }
        Ok(value)
    }

    /// The rest of a filter whose name has been read.
    pub fn filter(&mut self, value: Expr, mut name: String) -> Result<Expr> {
        while self.skip_operator(".") {
            name = format!("{name}.{}", self.name()?);
        }
        let arguments = match self.is_operator("(") {
            true => self.arguments()?,
            false => Arguments::default(),
        };
        let start = value.span.start;
        Ok(self.made(start, ExprKind::Filter(Box::new(value), name, arguments)))
    }

    fn test(&mut self, start: usize, value: Expr) -> Result<Expr> {
        let negated = self.skip_name("not");
        let mut name = self.name()?;
        while self.skip_operator(".") {
            name = format!("{name}.{}", self.name()?);
        }
        let is_operand = match self.kind() {
            Kind::Name(name) => !["else", "or", "and"].contains(&name.as_str()),
            Kind::Text(_) | Kind::Integer(_) | Kind::Float(_) => true,
            Kind::Operator(operator) => ["(", "[", "{"].contains(operator),
            _ => false,
        };
        let arguments = if self.is_operator("(") {
            self.arguments()?
        } else if is_operand {
            if self.is_name("is") {
                return self.fail("tests can't be chained with `is`");
            }
            let start = self.span().start;
            let operand = self.primary()?;
            let operand = self.postfix(start, operand)?;
            Arguments {
                positional: vec![operand],
                ..Arguments::default()
            }
        } else {
            Arguments::default()
        };
        let kind = ExprKind::Test(Box::new(value), name, arguments, negated);
        Ok(self.made(start, kind))
    }
}
