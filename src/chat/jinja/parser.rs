//! From tokens to statements. Expressions are read in `expressions`.

use super::ast::{BLOCK_TEXT, Expr, ExprKind, For, MACRO_NAMES, Macro, Statement, Target, Tree};
use super::fault::{Error, Result, Span};
use super::lexer::{Kind, Token, tokens};

/// How deeply statements and expressions may stand in each other.
const DEEPEST: usize = 200;

/// The tree of a normalized text.
pub fn parse(source: &str) -> Result<Tree> {
    let mut parser = Parser {
        tokens: tokens(source)?,
        at: 0,
        depth: 0,
        loops: 0,
        tree: Tree::default(),
        reads: Vec::new(),
    };
    let body = parser.statements(&[])?;
    parser.tree.body = body;
    Ok(parser.tree)
}

pub struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// The loops around, up to the next macro.
    loops: usize,
    tree: Tree,
    /// For each macro around, which of its own names it reads.
    pub reads: Vec<[bool; 3]>,
}

impl Parser {
    pub fn kind(&self) -> &Kind {
        self.tokens
            .get(self.at)
            .map_or(&Kind::End, |token| &token.kind)
    }

    pub fn span(&self) -> Span {
        let token = self.tokens.get(self.at).or(self.tokens.last());
        token.map_or(Span { start: 0, end: 0 }, |token| token.span)
    }

    /// From a place to the end of the token before.
    pub fn since(&self, start: usize) -> Span {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        Span {
            start,
            end: before.map_or(start, |token| token.span.end),
        }
    }

    pub fn next(&mut self) -> Kind {
        let kind = self.kind().clone();
        self.at = (self.at + 1).min(self.tokens.len());
        kind
    }

    pub fn fail<T>(&self, problem: impl Into<String>) -> Result<T> {
        Err(Error::new(problem).at(self.span()))
    }

    pub fn is_operator(&self, operator: &str) -> bool {
        matches!(self.kind(), Kind::Operator(found) if *found == operator)
    }

    pub fn is_name(&self, name: &str) -> bool {
        matches!(self.kind(), Kind::Name(found) if found == name)
    }

    /// Whether the token after the current one is this name, or this operator.
    pub fn is_before(&self, word: &str) -> bool {
        match self.tokens.get(self.at + 1).map(|token| &token.kind) {
            Some(Kind::Name(name)) => name == word,
            Some(Kind::Operator(operator)) => *operator == word,
            _ => false,
        }
    }

    pub fn skip_operator(&mut self, operator: &str) -> bool {
        let is = self.is_operator(operator);
        self.at += usize::from(is);
        is
    }

    pub fn skip_name(&mut self, name: &str) -> bool {
        let is = self.is_name(name);
        self.at += usize::from(is);
        is
    }

    pub fn expect_operator(&mut self, operator: &str) -> Result<()> {
        match self.skip_operator(operator) {
            true => Ok(()),
            false => self.fail(format!("expected `{operator}`, found {}", self.describe())),
        }
    }

    fn expect_name(&mut self, name: &str) -> Result<()> {
        match self.skip_name(name) {
            true => Ok(()),
            false => self.fail(format!("expected `{name}`, found {}", self.describe())),
        }
    }

    /// Any name.
    pub fn name(&mut self) -> Result<String> {
        match self.kind() {
            Kind::Name(name) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => self.fail(format!("expected a name, found {}", self.describe())),
        }
    }

    /// What the current token is called.
    pub fn describe(&self) -> String {
        match self.kind() {
            Kind::Data(_) => "text outside of tags".to_string(),
            Kind::VariableBegin => "`{{`".to_string(),
            Kind::VariableEnd => "`}}`".to_string(),
            Kind::BlockBegin => "`{%`".to_string(),
            Kind::BlockEnd => "`%}`".to_string(),
            Kind::Name(name) => format!("`{name}`"),
            Kind::Integer(value) => format!("`{value}`"),
            Kind::Float(value) => format!("`{value}`"),
            Kind::Text(_) => "a text".to_string(),
            Kind::Operator(operator) => format!("`{operator}`"),
            Kind::End => "the end of the template".to_string(),
        }
    }

    /// Counts a level down, and up again after `read`.
    pub fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEEPEST {
            return self.fail(format!("more than {DEEPEST} levels of recursion"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn block_end(&mut self) -> Result<()> {
        match self.kind() {
            Kind::BlockEnd => {
                self.at += 1;
                Ok(())
            }
            _ => self.fail(format!(
                "expected the end of the tag, found {}",
                self.describe()
            )),
        }
    }

    /// Statements up to a tag of one of these names, which is then the current token; without names, to the end.
    fn statements(&mut self, ends: &[&str]) -> Result<Vec<Statement>> {
        let mut statements = Vec::new();
        loop {
            let span = self.span();
            match self.next() {
                Kind::Data(text) => statements.push(Statement::Text(text)),
                Kind::VariableBegin => {
                    let value = self.tuple(true)?;
                    if self.next() != Kind::VariableEnd {
                        self.at -= 1;
                        return self.fail(format!("expected `}}}}`, found {}", self.describe()));
                    }
                    statements.push(Statement::Output(value));
                }
                Kind::BlockBegin => {
                    if ends.iter().any(|end| self.is_name(end)) {
                        return Ok(statements);
                    }
                    statements.push(self.deeper(|parser| parser.statement(span))?);
                }
                Kind::End if ends.is_empty() => return Ok(statements),
                Kind::End => return self.fail(format!("`{}` is missing", ends.join("` or `"))),
                _ => {
                    self.at -= 1;
                    return self.fail(format!("unexpected {}", self.describe()));
                }
            }
        }
    }

    /// What follows a tag's head, up to and with the tag that ends it.
    fn body(&mut self, end: &str) -> Result<Vec<Statement>> {
        self.skip_operator(":");
        self.block_end()?;
        let body = self.statements(&[end])?;
        self.expect_name(end)?;
        self.block_end()?;
        Ok(body)
    }

    fn statement(&mut self, begin: Span) -> Result<Statement> {
        let tag = self.name()?;
        match tag.as_str() {
            "set" => self.set(begin),
            "if" => self.conditions(),
            "for" => self.for_loop(begin),
            "macro" => {
                let name = self.name()?;
                let parameters = self.parameters()?;
                self.macro_body(name, parameters, "endmacro")
                    .map(Statement::Macro)
            }
            "call" => {
                let parameters = match self.is_operator("(") {
                    true => self.parameters()?,
                    false => Vec::new(),
                };
                let call = self.expression()?;
                if !matches!(call.kind, ExprKind::Call(..)) {
                    return Err(Error::new("expected a call of a macro").at(call.span));
                }
                let place = self.macro_body("caller".to_string(), parameters, "endcall")?;
                Ok(Statement::CallBlock(place, call))
            }
            "filter" => {
                let name = self.name()?;
                let filter = self.filter(block_text(begin), name)?;
                let filter = self.filters(filter)?;
                Ok(Statement::FilterBlock(filter, self.body("endfilter")?))
            }
            "with" => {
                let mut values = Vec::new();
                while *self.kind() != Kind::BlockEnd && !self.is_operator(":") {
                    if !values.is_empty() {
                        self.expect_operator(",")?;
                    }
                    let target = self.target(false)?;
                    self.expect_operator("=")?;
                    values.push((target, self.expression()?));
                }
                Ok(Statement::With(values, self.body("endwith")?))
            }
            "print" => {
                let value = self.tuple(true)?;
                self.block_end()?;
                Ok(Statement::Output(value))
            }
            // What the assistant says, which only training looks at.
            "generation" => self.body("endgeneration").map(Statement::Body),
            "break" | "continue" if self.loops > 0 => {
                self.block_end()?;
                Ok(match tag.as_str() {
                    "break" => Statement::Break,
                    _ => Statement::Continue,
                })
            }
            "break" | "continue" => self.fail(format!("`{tag}` outside of a loop")),
            "include" | "import" | "from" | "extends" | "block" | "autoescape" => self.fail(
                format!("a chat template has no tag `{tag}`: it is one file, and escapes nothing"),
            ),
            _ => self.fail(format!("unknown tag `{tag}`")),
        }
    }

    fn set(&mut self, begin: Span) -> Result<Statement> {
        let target = self.target(true)?;
        if self.skip_operator("=") {
            let value = self.tuple(true)?;
            self.block_end()?;
            return Ok(Statement::Set(target, value, self.since(begin.start)));
        }
        let filter = match self.is_operator("|") {
            true => Some(self.filters(block_text(begin))?),
            false => None,
        };
        let span = self.since(begin.start);
        Ok(Statement::SetBlock(
            target,
            filter,
            self.body("endset")?,
            span,
        ))
    }

    fn conditions(&mut self) -> Result<Statement> {
        let mut branches = Vec::new();
        loop {
            let condition = self.tuple(false)?;
            self.skip_operator(":");
            self.block_end()?;
            let body = self.statements(&["elif", "else", "endif"])?;
            branches.push((condition, body));
            if self.skip_name("elif") {
                continue;
            }
            let otherwise = match self.skip_name("else") {
                true => self.body("endif")?,
                false => {
                    self.expect_name("endif")?;
                    self.block_end()?;
                    Vec::new()
                }
            };
            return Ok(Statement::If(branches, otherwise));
        }
    }

    fn for_loop(&mut self, begin: Span) -> Result<Statement> {
        let target = self.target(false)?;
        self.expect_name("in")?;
        let values = self.tuple_until(false, "recursive")?;
        let condition = match self.skip_name("if") {
            true => Some(self.expression()?),
            false => None,
        };
        let recursive = self.skip_name("recursive");
        let span = self.since(begin.start);
        self.skip_operator(":");
        self.block_end()?;
        self.loops += 1;
        let body = self.statements(&["endfor", "else"]);
        self.loops -= 1;
        let body = body?;
        let otherwise = match self.skip_name("else") {
            true => self.body("endfor")?,
            false => {
                self.expect_name("endfor")?;
                self.block_end()?;
                Vec::new()
            }
        };
        self.tree.loops.push(For {
            target,
            values,
            condition,
            recursive,
            body,
            otherwise,
            span,
        });
        Ok(Statement::For(self.tree.loops.len() - 1))
    }

    fn parameters(&mut self) -> Result<Vec<(String, Option<Expr>)>> {
        let mut parameters: Vec<(String, Option<Expr>)> = Vec::new();
        self.expect_operator("(")?;
        while !self.is_operator(")") {
            if !parameters.is_empty() {
                self.expect_operator(",")?;
            }
            let name = self.name()?;
            let default = match self.skip_operator("=") {
                true => Some(self.expression()?),
                false => None,
            };
            if default.is_none()
                && parameters
                    .last()
                    .is_some_and(|(_, default)| default.is_some())
            {
                return self.fail("a parameter without a default after one that has it");
            }
            parameters.push((name, default));
        }
        self.expect_operator(")")?;
        Ok(parameters)
    }

    fn macro_body(
        &mut self,
        name: String,
        parameters: Vec<(String, Option<Expr>)>,
        end: &str,
    ) -> Result<usize> {
        self.reads.push([false; 3]);
        let loops = std::mem::take(&mut self.loops);
        let body = self.body(end);
        self.loops = loops;
        let mut reads = self.reads.pop().unwrap_or_default();
        for (read, name) in reads.iter_mut().zip(MACRO_NAMES) {
            *read &= parameters.iter().all(|(parameter, _)| parameter != name);
        }
        self.tree.macros.push(Macro {
            name,
            parameters,
            body: body?,
            reads,
        });
        Ok(self.tree.macros.len() - 1)
    }

    /// What is assigned to: names, with commas between them, or an attribute of a namespace.
    fn target(&mut self, with_attributes: bool) -> Result<Target> {
        let mut targets = Vec::new();
        loop {
            targets.push(match self.skip_operator("(") {
                true => {
                    let inner = self.deeper(|parser| parser.target(with_attributes))?;
                    self.expect_operator(")")?;
                    inner
                }
                false => self.single_target(with_attributes)?,
            });
            if !self.skip_operator(",") {
                break;
            }
            if self.is_name("in") || self.is_operator("=") || self.is_operator(")") {
                return Ok(Target::Several(targets));
            }
        }
        Ok(match targets.len() {
            1 => targets.remove(0),
            _ => Target::Several(targets),
        })
    }

    fn single_target(&mut self, with_attributes: bool) -> Result<Target> {
        let name = self.name()?;
        if ["true", "false", "none", "True", "False", "None"].contains(&name.as_str()) {
            self.at -= 1;
            return self.fail(format!("`{name}` can't be assigned to"));
        }
        if with_attributes && self.skip_operator(".") {
            return Ok(Target::Attribute(name, self.name()?));
        }
        Ok(Target::Name(name))
    }
}

/// What a block passes to its filters.
fn block_text(span: Span) -> Expr {
    Expr {
        kind: ExprKind::Name(BLOCK_TEXT.to_string()),
        span,
    }
}
