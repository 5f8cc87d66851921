//! The names that an expression reads.

use super::expression::{Expression, Function, Kind, Node, Operator};

/// One place where an expression reads a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name.
    pub name: String,
    /// The field of the name that is read: `b` in `a.b`.
    pub field: Option<String>,
    /// The offset of the name in bytes from the beginning of the expression's text.
    pub offset: usize,
}

impl Expression {
    /// Every name that the expression reads, in the order of the text, in all arms of conditionals.
    pub fn references(&self) -> Vec<Reference> {
        let mut found = Vec::new();
        collect(&self.root, &mut found);
        found.sort_by_key(|reference| reference.offset);
        found
    }

    /// Every name whose elements, fields, length or single values the expression reads.
    pub fn taken_apart(&self) -> Vec<&str> {
        let mut found = Vec::new();
        parts(&self.root, &mut found);
        found
    }
}

/// Adds the names that are taken apart in `node` and below it.
fn parts<'e>(node: &'e Node, found: &mut Vec<&'e str>) {
    let mut whole = |of: &'e Node| {
        if let Kind::Name(name) = &of.kind {
            found.push(name);
        }
    };
    match &node.kind {
        Kind::Index(of, _) | Kind::Field(of, _) | Kind::Binary(Operator::In, _, of) => whole(of),
        Kind::ListFor { parts, .. } => whole(&parts[1]),
        Kind::Call(Function::Len, of) => of.iter().for_each(whole),
        _ => {}
    }
    match &node.kind {
        Kind::Constant(_) | Kind::Name(_) => {}
        Kind::Field(of, _) | Kind::Negate(of) | Kind::Not(of) => parts(of, found),
        Kind::Index(left, right) | Kind::Binary(_, left, right) => {
            parts(left, found);
            parts(right, found);
        }
        Kind::Conditional(of) => of.iter().for_each(|of| parts(of, found)),
        Kind::Call(_, of) | Kind::List(of) => of.iter().for_each(|of| parts(of, found)),
        Kind::ListFor { parts: of, .. } => of.iter().for_each(|of| parts(of, found)),
    }
}

fn collect(node: &Node, found: &mut Vec<Reference>) {
    match &node.kind {
        Kind::Constant(_) => {}
        Kind::Name(name) => found.push(Reference {
            name: name.clone(),
            field: None,
            offset: node.offset,
        }),
        Kind::Field(of, field) => match &of.kind {
            Kind::Name(name) => found.push(Reference {
                name: name.clone(),
                field: Some(field.clone()),
                offset: of.offset,
            }),
            _ => collect(of, found),
        },
        Kind::Negate(of) | Kind::Not(of) => collect(of, found),
        Kind::Index(left, right) | Kind::Binary(_, left, right) => {
            collect(left, found);
            collect(right, found);
        }
        Kind::Conditional(parts) => parts.iter().for_each(|part| collect(part, found)),
        Kind::Call(_, parts) | Kind::List(parts) => {
            parts.iter().for_each(|part| collect(part, found));
        }
        Kind::ListFor { variable, parts } => {
            let [element, over] = parts.as_ref();
            collect(over, found);
            let before = found.len();
            collect(element, found);
            let mut own = found.split_off(before);
            own.retain(|reference| reference.name != *variable);
            found.append(&mut own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_of_a_list_is_not_a_reference() {
        let expression = Expression::parse("[i + width for i in i]").unwrap();
        let names: Vec<_> = expression
            .references()
            .into_iter()
            .map(|r| r.name)
            .collect();
        assert_eq!(names, ["width", "i"]);
    }

    #[test]
    fn a_name_is_taken_apart_where_a_list_or_record_is_needed() {
        let taken = |text: &str| {
            let expression = Expression::parse(text).unwrap();
            let taken = expression.taken_apart().into_iter();
            taken.map(str::to_owned).collect::<Vec<_>>()
        };
        for text in [
            "a[0]",
            "a.b",
            "1 in a",
            "[x for x in a]",
            "len(a)",
            "true ? a[b] : 0",
            "-a[1] + 2",
        ] {
            assert_eq!(taken(text), ["a"], "{text}");
        }
        for text in [
            "a",
            "[1, 2][a]",
            "a in [1]",
            "max(a, 2)",
            "a == 1 ? a : not a",
        ] {
            assert!(taken(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn names_in_arms_that_are_not_taken_are_found_too() {
        let expression = Expression::parse("true ? min(a.b, [c][0]) : not d.e.f").unwrap();
        let names: Vec<_> = expression
            .references()
            .into_iter()
            .map(|r| (r.name, r.field, r.offset))
            .collect();
        let field = |text: &str| Some(text.to_owned());
        assert_eq!(
            names,
            [
                ("a".to_owned(), field("b"), 11),
                ("c".to_owned(), None, 17),
                ("d".to_owned(), field("e"), 30)
            ]
        );
    }
}
