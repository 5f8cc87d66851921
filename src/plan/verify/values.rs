//! Which value each byte of the activations holds, step by step.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::graph::{Class, Graph, Input, Value};
use crate::plan::defect::PlanDefect;
use crate::plan::draft::is_view;
use crate::plan::model_plan::ModelPlan;
use crate::plan::step::{Slot, Step, StepInput, StepPlan};
use crate::types::ALIGNMENT;

/// Every step of `plan` reads the values that `graph` names, and every node of the graph has its steps.
pub(super) fn verify(graph: &Graph, plan: &ModelPlan) -> Result<(), PlanDefect> {
    let steps = &plan.step;
    let mut walk = Walk {
        graph,
        plan,
        steps,
        classes: graph.classes(),
        held: BTreeMap::new(),
        done: vec![None; graph.id_bound()],
    };
    walk.inputs()?;
    for (number, step) in steps.steps.iter().enumerate() {
        walk.step(number, step)?;
    }
    walk.outputs()
}

struct Walk<'a> {
    graph: &'a Graph,
    plan: &'a ModelPlan,
    steps: &'a StepPlan,
    classes: Arc<[Class]>,
    /// What lies in the activations, keyed by first byte: where it ends, and the value. A view counts as the value it
    /// is a view of.
    held: BTreeMap<usize, (usize, Value)>,
    /// How many of its steps each node has had, and how many it should have; `None` before the first. By
    /// [`NodeId::index`].
    done: Vec<Option<(usize, usize)>>,
}

/// Who uses a value: a step, or the caller before the first step or after the last.
#[derive(Clone, Copy)]
struct User<'a> {
    step: usize,
    name: &'a str,
}

impl Walk<'_> {
    /// Before the first step, the caller writes the step's inputs.
    fn inputs(&mut self) -> Result<(), PlanDefect> {
        let user = User {
            step: 0,
            name: "the caller",
        };
        for input in Input::ALL {
            let slot = match input {
                Input::Tokens => &self.steps.token_ids,
                Input::Positions => &self.steps.positions,
                Input::Wanted => &self.steps.wanted,
            };
            let (Some(value), Some(slot)) = (self.graph.input(input), slot) else {
                continue;
            };
            let bytes = self.bytes(value, slot, user, 0)?;
            self.alive(value, user)?;
            if self.overlapping(&bytes).next().is_some() {
                return Err(PlanDefect::Clash {
                    step: 0,
                    name: input.name().to_string(),
                    output: 0,
                });
            }
            self.write(value, bytes);
            self.done[value.node.index()] = Some((1, 1));
        }
        Ok(())
    }

    fn step(&mut self, number: usize, step: &Step) -> Result<(), PlanDefect> {
        let name: &str = &step.name;
        let user = User { step: number, name };
        let (phase, phases) = step.phase;
        let (done, _) = self.done[step.node.index()].unwrap_or((0, phases));
        if done != phase || phase >= phases {
            return Err(PlanDefect::Missing {
                name: name.to_string(),
                phase: done,
                phases,
            });
        }
        let stateful = self.graph.node(step.node).op();
        let stateful = stateful.is_some_and(|op| op.has_state());
        let cache = step.cache.map(|cache| self.plan.caches.get(cache));
        let owner = cache.map(|cache| cache.map(|cache| cache.node));
        if owner != stateful.then_some(Some(step.node)) {
            return Err(PlanDefect::Cache {
                step: number,
                name: name.to_string(),
            });
        }
        let mut read: SmallVec<[_; 4]> = SmallVec::new();
        if step.inputs.len() != step.operands.len() {
            return Err(not_the_graphs(user, step.inputs.len()));
        }
        let operands = self.graph.inputs(step.node);
        for (source, &operand) in step.inputs.iter().zip(&step.operands) {
            let value = operands.get(operand).copied().flatten();
            match (source, value) {
                (StepInput::Absent, None) => {}
                (StepInput::Arena(slot), Some(value)) => {
                    let bytes = self.bytes(value, slot, user, operand)?;
                    self.read(value, &bytes, user)?;
                    read.push((operand, value, bytes));
                }
                (StepInput::Weight(weight), Some(value)) if self.is_weight(*weight, value) => {}
                _ => return Err(not_the_graphs(user, operand)),
            }
        }
        self.write_outputs(step, user, &read)?;
        self.done[step.node.index()] = Some((done + 1, phases));
        Ok(())
    }

    /// `step` writes its outputs only where nothing lies that its threads still use.
    fn write_outputs(
        &mut self,
        step: &Step,
        user: User<'_>,
        read: &[(usize, Value, Range<usize>)],
    ) -> Result<(), PlanDefect> {
        let count = self.graph.node(step.node).outputs.len();
        if !step.outputs.is_empty() && step.outputs.len() != count {
            return Err(not_the_graphs(user, step.outputs.len()));
        }
        let in_place = self.graph.node(step.node).op().map(|op| op.def().in_place);
        let mut written: SmallVec<[Range<usize>; 2]> = SmallVec::new();
        for (output, slot) in step.outputs.iter().enumerate() {
            let value = Value {
                node: step.node,
                output,
            };
            let bytes = self.bytes(value, slot, user, output)?;
            self.alive(value, user)?;
            let may_replace = |operand: usize, input: Value, at: &Range<usize>| {
                in_place.is_some_and(|pairs| pairs.contains(&(output, operand)))
                    && *at == bytes
                    && self.graph.ty(input) == self.graph.ty(value)
            };
            let mut operands = read.iter();
            let clash = operands
                .any(|(operand, input, at)| meet(at, &bytes) && !may_replace(*operand, *input, at));
            if clash || written.iter().any(|other| meet(other, &bytes)) {
                return Err(PlanDefect::Clash {
                    step: user.step,
                    name: user.name.to_string(),
                    output,
                });
            }
            written.push(bytes);
        }
        for (output, bytes) in written.into_iter().enumerate() {
            let value = Value {
                node: step.node,
                output,
            };
            self.write(value, bytes);
        }
        Ok(())
    }

    /// Every node has had all its steps, and the graph's outputs are where the caller looks.
    fn outputs(&self) -> Result<(), PlanDefect> {
        for id in self.graph.order() {
            let computed = self.graph.node(id).op().is_some() && !is_view(self.graph, id);
            let (done, phases) = self.done[id.index()].unwrap_or((0, 1));
            if computed && self.classes[id.index()] == Class::Activation && done < phases {
                return Err(PlanDefect::Missing {
                    name: self.graph.node(id).name().to_string(),
                    phase: done,
                    phases,
                });
            }
        }
        let user = User {
            step: self.steps.steps.len(),
            name: "the caller",
        };
        let values = self.graph.outputs();
        if values.len() != self.steps.outputs.len() {
            return Err(not_the_graphs(user, self.steps.outputs.len()));
        }
        for (number, (&value, slot)) in values.iter().zip(&self.steps.outputs).enumerate() {
            let bytes = self.bytes(value, slot, user, number)?;
            self.read(value, &bytes, user)?;
        }
        Ok(())
    }

    /// The value that `value` is a view of, or `value` itself.
    fn origin(&self, mut value: Value) -> Value {
        while is_view(self.graph, value.node)
            && let Some(&Some(of)) = self.graph.inputs(value.node).first()
        {
            value = of;
        }
        value
    }

    /// The bytes of `value` in `slot`, in the largest step. They must have the value's type and lie within the
    /// activations.
    fn bytes(
        &self,
        value: Value,
        slot: &Slot,
        user: User<'_>,
        operand: usize,
    ) -> Result<Range<usize>, PlanDefect> {
        if slot.ty != *self.graph.ty(value) || self.classes[value.node.index()] != Class::Activation
        {
            return Err(not_the_graphs(user, operand));
        }
        let bytes = slot.ty.bytes(self.steps.size);
        let (start, end) = (slot.offset, slot.offset.saturating_add(bytes));
        let activations = self.plan.regions.activations;
        if end > activations || !start.is_multiple_of(ALIGNMENT) {
            return Err(PlanDefect::Outside {
                value: self.graph.name(value).to_string(),
                start,
                end,
                activations,
            });
        }
        Ok(start..end)
    }

    /// `bytes` must hold all of `value` now, and the record must say that they live.
    fn read(&self, value: Value, bytes: &Range<usize>, user: User<'_>) -> Result<(), PlanDefect> {
        let origin = self.origin(value);
        let (step, name) = (user.step, || user.name.to_string());
        let value_name = || self.graph.name(value).to_string();
        match self.done[origin.node.index()] {
            Some((done, phases)) if done == phases => {}
            _ => {
                return Err(PlanDefect::Unwritten {
                    step,
                    name: name(),
                    value: value_name(),
                });
            }
        }
        let holds = match self.held.get(&bytes.start) {
            Some(&(end, held)) => held == origin && end >= bytes.end,
            None => false,
        };
        if !holds && !bytes.is_empty() {
            return Err(PlanDefect::Gone {
                step,
                name: name(),
                value: value_name(),
                offset: bytes.start,
            });
        }
        self.alive(value, user)
    }

    /// The record must say that the buffer of `value` lives now.
    fn alive(&self, value: Value, user: User<'_>) -> Result<(), PlanDefect> {
        let buffer = self.steps.buffer_of.get(value);
        let life = buffer.and_then(|&buffer| self.steps.buffers.get(buffer));
        match life {
            Some(life) if (life.first..=life.last).contains(&user.step) => Ok(()),
            life => Err(PlanDefect::Dead {
                step: user.step,
                name: user.name.to_string(),
                first: life.map_or(usize::MAX, |life| life.first),
                last: life.map_or(0, |life| life.last),
            }),
        }
    }

    /// What lies in any of `bytes`, keyed by first byte.
    fn overlapping(&self, bytes: &Range<usize>) -> impl Iterator<Item = usize> {
        // Entries do not overlap: of all that begin before `bytes` ends, only the last ones can reach in.
        let before = self.held.range(..bytes.end).rev();
        let start = bytes.start;
        let reaching = before.take_while(move |(_, (end, _))| *end > start);
        reaching.map(|(&first, _)| first)
    }

    /// `bytes` hold `value` from now on; what lay there is gone.
    fn write(&mut self, value: Value, bytes: Range<usize>) {
        if bytes.is_empty() {
            return;
        }
        let gone: SmallVec<[usize; 4]> = self.overlapping(&bytes).collect();
        for first in gone {
            self.held.remove(&first);
        }
        self.held.insert(bytes.start, (bytes.end, value));
    }

    /// Whether entry `number` of the plan's weights is `value`.
    fn is_weight(&self, number: usize, value: Value) -> bool {
        let need = self.plan.weights.get(number);
        self.classes[value.node.index()] != Class::Activation
            && need.is_some_and(|need| need.value == value && need.ty == *self.graph.ty(value))
    }
}

fn not_the_graphs(user: User<'_>, operand: usize) -> PlanDefect {
    PlanDefect::Operand {
        step: user.step,
        name: user.name.to_string(),
        operand,
    }
}

fn meet(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}
