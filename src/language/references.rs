//! Which names an expression reads.

use super::expression::{Expression, Kind, Node};

/// One place where an expression reads a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name.
    pub name: String,
    /// The field read of it: `b` in `a.b`.
    pub field: Option<String>,
    /// Bytes from the beginning of the expression's text to the name.
    pub offset: usize,
}

impl Expression {
    /// Every name the expression reads, whichever arms would be evaluated, in the order in which they stand.
    pub fn references(&self) -> Vec<Reference> {
        let mut found = Vec::new();
        collect(&self.root, &mut found);
        found.sort_by_key(|reference| reference.offset);
        found
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
    fn the_variable_of_a_list_is_no_reference() {
        let expression = Expression::parse("[i + width for i in i]").unwrap();
        let names: Vec<_> = expression
            .references()
            .into_iter()
            .map(|r| r.name)
            .collect();
        assert_eq!(names, ["width", "i"]);
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
