//! The schedule: a graph as a flat list of steps, each with its kernel and its operands.
//!
//! Every step is one phase: threads do its pieces together, and the next step begins when all are done. An op with
//! several kernels becomes several steps.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::alias::Classes;
use super::cost;
use super::draft::{Draft, Scheduler, is_view};
use super::options::PlanOptions;
use super::place::{Buffer, Placement, place, round_up};
use super::step::{Slot, Step, StepInput, StepPlan, WeightNeed};
use crate::graph::{Class, Graph, Input, Kind, NodeId, Value};
use crate::ops::{Lowering, WeightForm};
use crate::types::{ALIGNMENT, DType, StepSize, Type};

impl<'a> Scheduler<'a> {
    /// For `graph`, before anything is scheduled.
    pub fn new(graph: &'a Graph) -> Self {
        let order = graph.order();
        let has_state = |id: &NodeId| graph.node(*id).op().is_some_and(|op| op.has_state());
        let stateful = order.iter().copied().filter(has_state).collect();
        let classes = graph.classes();
        Scheduler {
            graph,
            order,
            classes,
            weights: Vec::new(),
            weight_index: FxHashMap::default(),
            stateful,
        }
    }

    /// The kernel calls of steps of up to `size`.
    pub fn drafts(&self, size: StepSize, options: &PlanOptions) -> Result<Vec<Draft>, String> {
        let mut drafts = Vec::new();
        for &id in self.order.iter() {
            let Kind::Op(op) = &self.graph.node(id).kind else {
                continue;
            };
            if self.class(id) != Class::Activation || is_view(self.graph, id) {
                continue;
            }
            let inputs = self.graph.inputs(id);
            let slots = op.slots().unwrap_or(inputs.len());
            let mut padded: SmallVec<[Option<Value>; 8]> = inputs.as_slice().into();
            padded.resize(slots.max(inputs.len()), None);
            let types: SmallVec<[Option<&Type>; 8]> =
                padded.iter().map(|v| v.map(|v| self.graph.ty(v))).collect();
            let outputs: SmallVec<[&Type; 4]> =
                self.graph.node(id).outputs.iter().map(|o| &o.ty).collect();
            let weight = |(slot, v): (usize, &Option<Value>)| {
                let value = v.filter(|v| self.class(v.node) != Class::Activation);
                value.map(|_| op.weight_form(slot, &types))
            };
            let weights: SmallVec<[Option<WeightForm>; 8]> =
                padded.iter().enumerate().map(weight).collect();
            self.check_forms(id, &padded, &weights)?;
            let lowering = Lowering {
                inputs: &types,
                outputs: &outputs,
                weights: &weights,
                isa: options.isa,
                size,
            };
            let phases = (op.def().lower)(op, &lowering);
            let count = phases.len();
            for (number, phase) in phases.into_iter().enumerate() {
                drafts.push(Draft {
                    node: id,
                    phase: (number, count),
                    inputs: phase
                        .inputs
                        .iter()
                        .map(|read| padded.get(read.slot).copied().flatten())
                        .collect(),
                    reads: phase.inputs,
                    kernel: phase.kernel,
                    outputs: phase.outputs,
                    scratch: phase.scratch,
                });
            }
        }
        Ok(drafts)
    }

    fn class(&self, id: NodeId) -> Class {
        self.classes[id.index()]
    }

    /// Fail where a kernel would be given a weight for an activation, or an activation for a weight.
    fn check_forms(
        &self,
        id: NodeId,
        inputs: &[Option<Value>],
        weights: &[Option<WeightForm>],
    ) -> Result<(), String> {
        let node = self.graph.node(id);
        let Some(op) = node.op() else { return Ok(()) };
        for (slot, value) in inputs.iter().enumerate() {
            let (Some(value), Some(def)) = (value, op.input_def(slot)) else {
                continue;
            };
            if let Some(wanted) = def.form.misfit(weights[slot].is_some()) {
                let (name, input) = (node.name(), self.graph.name(*value));
                return Err(format!(
                    "node \"{name}\": input {slot} ({}) of {} must be {wanted}: \"{input}\" is not",
                    def.name,
                    op.name()
                ));
            }
        }
        Ok(())
    }

    /// Fail where a value has elements of a type that neither steps nor weights support.
    fn check_types(&self) -> Result<(), String> {
        for &id in self.order.iter() {
            let node = self.graph.node(id);
            for output in node.op().map_or(&[][..], |_| &node.outputs) {
                if let Some(instead) = self.class(id).misfit(output.ty.dtype) {
                    let (name, ty) = (&output.name, &output.ty);
                    return Err(format!("node \"{name}\" gives {ty}, but {instead}"));
                }
            }
        }
        Ok(())
    }

    /// Fail where an output is not computed by steps, in f32.
    fn check_outputs(&self) -> Result<(), String> {
        for &value in self.graph.outputs() {
            let (name, ty) = (self.graph.name(value), self.graph.ty(value));
            let computed = self.graph.node(value.node).op().is_some();
            if !computed || self.class(value.node) != Class::Activation || ty.dtype != DType::F32 {
                return Err(format!(
                    "output \"{name}\" ({ty}) must be an f32 value that an op computes from the tokens"
                ));
            }
        }
        Ok(())
    }

    /// The entry in the list of weights for an operand that is read in the form `form`.
    fn weight(&mut self, value: Value, form: WeightForm) -> usize {
        let ty = self.graph.ty(value).clone();
        let next = self.weights.len();
        let index = *self.weight_index.entry((value, form)).or_insert(next);
        if index == next {
            self.weights.push(WeightNeed { value, form, ty });
        }
        index
    }

    /// The plan for steps of up to a chunk of tokens.
    pub fn plan(&mut self, options: &PlanOptions) -> Result<StepPlan, String> {
        self.check_outputs()?;
        self.check_types()?;
        let size = options.largest();
        let drafts = self.drafts(size, options)?;
        let classes = Classes::find(self, &drafts, options.in_place);
        let bytes_of = |value: Value| self.graph.ty(value).bytes(size);
        let (buffers, buffer_of) = classes.buffers(bytes_of);
        let unshared = classes.unshared(bytes_of);
        let placement = if options.reuse_buffers {
            place(&buffers, ALIGNMENT)
        } else {
            side_by_side(&buffers)
        };
        let graph = self.graph;
        let slot = |value: Value| {
            let buffer = *buffer_of.get(value)?;
            Some(Slot {
                offset: placement.offsets[buffer],
                ty: graph.ty(value).clone(),
            })
        };
        let misplaced =
            |value: Value| format!("\"{}\" has no place in the arena", graph.name(value));
        let mut cache_of = vec![None; graph.id_bound()];
        for (number, id) in self.stateful.iter().enumerate() {
            cache_of[id.index()] = Some(number);
        }
        let mut steps = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let node = self.graph.node(draft.node);
            let name = node.name().clone();
            let outputs = (0..node.outputs.len()).map(|output| Value {
                node: draft.node,
                output,
            });
            let outputs = if draft.outputs {
                let slots = outputs.map(|v| slot(v).ok_or_else(|| misplaced(v)));
                slots.collect::<Result<_, _>>()?
            } else {
                SmallVec::new()
            };
            let mut inputs = SmallVec::new();
            for (value, read) in draft.inputs.iter().zip(&draft.reads) {
                let Some(value) = *value else {
                    inputs.push(StepInput::Absent);
                    continue;
                };
                inputs.push(match read.weight {
                    Some(form) => StepInput::Weight(self.weight(value, form)),
                    None => StepInput::Arena(slot(value).ok_or_else(|| misplaced(value))?),
                });
            }
            steps.push(Step {
                node: draft.node,
                name,
                phase: draft.phase,
                kernel: draft.kernel,
                inputs,
                operands: draft.reads.iter().map(|read| read.slot).collect(),
                outputs,
                scratch: draft.scratch,
                cache: cache_of[draft.node.index()],
            });
        }
        let input = |input| graph.input(input).and_then(slot);
        let (token_ids, positions) = (input(Input::Tokens), input(Input::Positions));
        let wanted = input(Input::Wanted);
        let outputs = self
            .graph
            .outputs()
            .iter()
            .filter_map(|&v| slot(v))
            .collect();
        let all_threads_from = match options.fewer_threads {
            true => cost::all_threads_from(&steps, &self.weights, options.threads),
            false => 0,
        };
        Ok(StepPlan {
            size,
            threads: options.threads,
            all_threads_from,
            steps,
            token_ids,
            positions,
            wanted,
            outputs,
            buffers,
            buffer_of,
            placement,
            unshared,
        })
    }
}

/// A placement without reuse: each buffer has bytes of its own.
fn side_by_side(buffers: &[Buffer]) -> Placement {
    let shared = place(buffers, ALIGNMENT);
    let mut offset = 0usize;
    let mut offsets = Vec::with_capacity(buffers.len());
    for buffer in buffers {
        offsets.push(offset);
        offset = offset.saturating_add(round_up(buffer.bytes, ALIGNMENT));
    }
    Placement {
        offsets,
        bytes: offset,
        ..shared
    }
}
