//! Finds rules that never fire because an earlier rule fires wherever they would.
//!
//! An earlier rule shadows a later one if its pattern, laid over the later pattern so that the anchors meet, fits and
//! demands nothing that the later rule doesn't demand too.

use super::guard::near;
use super::rule::Condition;
use super::rule::{Formula, Operand, Origin, Reach, Rule, ValueId};

/// What a value of the earlier rule corresponds to in the later rule.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Image {
    Value(ValueId),
    Absent,
    Number(f64),
}

/// Whether `earlier` fires wherever `later` would.
pub(super) fn shadows(earlier: &Rule, later: &Rule) -> bool {
    let overlay = Overlay {
        earlier,
        later,
        nodes: vec![None; earlier.pattern.len()],
        values: vec![None; earlier.values.len()],
    };
    overlay.step(0)
}

#[derive(Clone)]
struct Overlay<'a> {
    earlier: &'a Rule,
    later: &'a Rule,
    /// The later rule's node for each node of the earlier rule.
    nodes: Vec<Option<usize>>,
    values: Vec<Option<Image>>,
}

impl Overlay<'_> {
    fn step(&self, at: usize) -> bool {
        let Some(&(index, reach)) = self.earlier.plan.get(at) else {
            return self.covers();
        };
        let image = |id: ValueId| match self.values.get(id) {
            Some(Some(Image::Value(image))) => Some(*image),
            _ => None,
        };
        match reach {
            Reach::Anchor => match self.later.pattern.len().checked_sub(1) {
                Some(last) => self.place(at, index, last),
                None => false,
            },
            Reach::Giver(id) => {
                let output = |rule: &Rule, id: ValueId| match rule.values.get(id).map(|v| v.origin)
                {
                    Some(Origin::Node { node, output }) => Some((node, output)),
                    _ => None,
                };
                let wanted = output(self.earlier, id).map(|(_, output)| output);
                match image(id).and_then(|id| output(self.later, id)) {
                    Some((node, output)) if Some(output) == wanted => self.place(at, index, node),
                    _ => false,
                }
            }
            Reach::Reader(id) => {
                let Some(value) = image(id) else {
                    return false;
                };
                let reads = |node: usize| {
                    let node = self.later.pattern.get(node);
                    node.is_some_and(|node| node.inputs.contains(&Operand::Value(value)))
                };
                (0..self.later.pattern.len())
                    .filter(|node| reads(*node))
                    .any(|node| self.place(at, index, node))
            }
        }
    }

    /// Lay the earlier rule's node `index` over the later rule's `node`, and go on.
    fn place(&self, at: usize, index: usize, node: usize) -> bool {
        let pair = self
            .earlier
            .pattern
            .get(index)
            .zip(self.later.pattern.get(node));
        let Some((wanted, found)) = pair else {
            return false;
        };
        let attributes = wanted
            .attributes
            .iter()
            .all(|a| found.attributes.contains(a));
        let fits = wanted.op.name == found.op.name
            && attributes
            && wanted.inputs.len() == found.inputs.len()
            && !self.nodes.contains(&Some(node));
        if !fits {
            return false;
        }
        let orders: &[bool] = if wanted.op.commutative {
            &[false, true]
        } else {
            &[false]
        };
        orders.iter().any(|&swapped| {
            let mut next = self.clone();
            if let Some(slot) = next.nodes.get_mut(index) {
                *slot = Some(node);
            }
            let mut operands = found.inputs.clone();
            if swapped {
                operands.swap(0, 1);
            }
            let outputs = wanted.outputs.iter().zip(&found.outputs);
            let outputs =
                outputs.map(|(wanted, found)| (Operand::Value(*wanted), Operand::Value(*found)));
            let inputs = wanted.inputs.iter().copied().zip(operands);
            let pairs: Vec<(Operand, Operand)> = outputs.chain(inputs).collect();
            pairs
                .into_iter()
                .all(|(wanted, found)| next.bind(wanted, found))
                && next.step(at + 1)
        })
    }

    fn bind(&mut self, wanted: Operand, found: Operand) -> bool {
        let id = match (wanted, found) {
            (Operand::Absent, found) => return found == Operand::Absent,
            (Operand::Number(x), Operand::Number(y)) => return near(y, x),
            (Operand::Number(_), _) => return false,
            (Operand::Value(id), _) => id,
        };
        let optional = |rule: &Rule, id: ValueId| {
            let origin = rule.values.get(id).map(|value| value.origin);
            origin == Some(Origin::Leaf { optional: true })
        };
        let image = match found {
            Operand::Value(image) if optional(self.later, image) && !optional(self.earlier, id) => {
                return false;
            }
            Operand::Value(image) => Image::Value(image),
            Operand::Number(x) => Image::Number(x),
            Operand::Absent if optional(self.earlier, id) => Image::Absent,
            Operand::Absent => return false,
        };
        match self.values.get_mut(id) {
            Some(slot) => *slot.get_or_insert(image) == image,
            None => false,
        }
    }

    /// Whether the earlier rule, once all of its nodes are placed, demands no more than the later rule.
    fn covers(&self) -> bool {
        let values = self.earlier.values.iter().zip(&self.values).enumerate();
        for (id, (value, image)) in values {
            let Some(Image::Value(image)) = image else {
                continue;
            };
            let giver = match self.later.values.get(*image).map(|value| value.origin) {
                Some(Origin::Node { node, .. }) => Some(node),
                _ => None,
            };
            let agrees = match value.origin {
                Origin::Leaf { .. } => giver.is_none() || !self.nodes.contains(&giver),
                // A value that stays inside the earlier rule's match must stay inside the later rule's match too.
                Origin::Node { .. } => self.earlier.replaces(id) || !self.later.replaces(*image),
            };
            if !agrees {
                return false;
            }
        }
        self.earlier
            .guards
            .iter()
            .all(|guard| self.implied(&guard.condition))
    }

    /// Whether the later rule asks the same question, or the answer is known.
    fn implied(&self, condition: &Condition) -> bool {
        if let Condition::Literal(id) = condition
            && let Some(Some(Image::Number(_))) = self.values.get(*id)
        {
            return true;
        }
        match self.translate(condition) {
            Some(condition) => {
                let mut guards = self.later.guards.iter();
                guards.any(|guard| spelled(self.later, &guard.condition) == condition)
            }
            None => false,
        }
    }

    /// The earlier rule's condition in terms of the later rule's values.
    fn translate(&self, condition: &Condition) -> Option<String> {
        spell(self.earlier, condition, &|id| match self.values.get(id) {
            Some(Some(Image::Value(image))) => Some(*image),
            _ => None,
        })
    }
}

fn spelled(rule: &Rule, condition: &Condition) -> String {
    spell(rule, condition, &Some).unwrap_or_default()
}

/// A condition as a text with numbers for values, so that conditions of two rules can be compared.
fn spell(
    rule: &Rule,
    condition: &Condition,
    number: &dyn Fn(ValueId) -> Option<ValueId>,
) -> Option<String> {
    let pair = |a: &ValueId, b: &ValueId| {
        let (a, b) = (number(*a)?, number(*b)?);
        Some((a.min(b), a.max(b)))
    };
    Some(match condition {
        Condition::SameShape(a, b) => format!("SameShape{:?}", pair(a, b)?),
        Condition::SameType(a, b) => format!("SameType{:?}", pair(a, b)?),
        Condition::IsWeight(a) => format!("IsWeight {}", number(*a)?),
        Condition::IsActivation(a) => format!("IsActivation {}", number(*a)?),
        Condition::Literal(a) => format!("Literal {}", number(*a)?),
        Condition::Rank(a, rank) => format!("Rank {} {rank}", number(*a)?),
        Condition::Near(formula, x) => {
            format!("Near {} {x}", spell_formula(rule, formula, number)?)
        }
        Condition::Equal(a, b) => {
            let mut sides = [
                spell_formula(rule, a, number)?,
                spell_formula(rule, b, number)?,
            ];
            sides.sort();
            format!("Equal {sides:?}")
        }
        Condition::Not(inner) => format!("Not {}", spell(rule, inner, number)?),
    })
}

fn spell_formula(
    rule: &Rule,
    formula: &Formula,
    number: &dyn Fn(ValueId) -> Option<ValueId>,
) -> Option<String> {
    let mut spelled = String::new();
    let mut rest = 0;
    for reference in formula.expression.references() {
        let Some(id) = rule
            .values
            .iter()
            .position(|value| value.name == reference.name)
        else {
            continue;
        };
        spelled += formula.text.get(rest..reference.offset)?;
        spelled += &format!("#{}", number(id)?);
        rest = reference.offset + reference.name.len();
    }
    spelled += formula.text.get(rest..)?;
    Some(spelled)
}
