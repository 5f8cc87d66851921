//! Plans broken on purpose: is each defect found, and is it reported as what it is?

use super::verify;
use crate::graph::{Graph, Input, Value, WeightSource};
use crate::kernels::kv_cache::KvLayout;
use crate::kernels::simd::Isa;
use crate::ops::{Attribute, Op, TAKE_ROWS};
use crate::plan::defect::PlanDefect;
use crate::plan::place::Overlap;
use crate::plan::step::{StepInput, StepPlan};
use crate::plan::{ModelPlan, PlanOptions};
use crate::types::{DType, Dim, Type};

const CONTEXT: usize = 100;
const CHUNK: usize = 48;
/// How many keys a query sees.
const WINDOW: i64 = 48;

/// ```text
/// x = Gather(table, tokens)       a = Silu(x)         b = Add(a, x)         q = Reshape(b)
/// c = CachedAttention(q, q, q)    d = Reshape(c)      s, n = AddRmsNorm(d, b)
/// e = CachedAttention(f, f, f), f = Reshape(n)        y = Add(Reshape(e), s)
/// ```
fn graph() -> Graph {
    let mut graph = Graph::new();
    let mut editor = graph.edit();
    let ints = Type::new(DType::I32, [Dim::Tokens]);
    let tokens: Value = editor.input("tokens", ints.clone()).unwrap().into();
    editor.input("positions", ints).unwrap();
    let source = WeightSource {
        tensor: "table".into(),
    };
    let ty = Type::f32([Dim::Fixed(11), Dim::Fixed(32)]);
    let table: Value = editor.weight("table", source, ty).unwrap().into();
    let mut op =
        |name: &str, attributes: &[(&str, Attribute)], inputs: &[Value], names: &[&str]| {
            let op = Op::new(name, attributes).unwrap();
            let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
            Value::from(editor.op(op, &inputs, names).unwrap())
        };
    let shape = |dims: &[i64]| [("shape", Attribute::Ints(dims.iter().copied().collect()))];
    let (heads, rows) = (shape(&[0, 2, 16]), shape(&[0, 32]));
    let window = [("window", Attribute::Int(WINDOW))];
    let x = op("Gather", &[], &[table, tokens], &["x"]);
    let a = op("Silu", &[], &[x], &["a"]);
    let b = op("Add", &[], &[a, x], &["b"]);
    let q = op("Reshape", &heads, &[b], &["q"]);
    let c = op("CachedAttention", &window, &[q, q, q], &["c"]);
    let d = op("Reshape", &rows, &[c], &["d"]);
    let s = op("AddRmsNorm", &[], &[d, b], &["s", "n"]);
    let f = op("Reshape", &heads, &[Value { output: 1, ..s }], &["f"]);
    let e = op("CachedAttention", &window, &[f, f, f], &["e"]);
    let g = op("Reshape", &rows, &[e], &["g"]);
    let y = op("Add", &[], &[g, s], &["y"]);
    editor.set_outputs(vec![y]);
    graph
}

fn plan(graph: &Graph, reuse_buffers: bool) -> ModelPlan {
    let options = PlanOptions {
        context: CONTEXT,
        chunk: CHUNK,
        rows: Some(1),
        threads: 2,
        fewer_threads: false,
        isa: Isa::detect(),
        in_place: true,
        reuse_buffers,
        sequences: 1,
    };
    ModelPlan::new(graph, options).unwrap()
}

/// What the verifier reports after `change` to a plan in which each buffer has bytes of its own.
fn refused(change: impl FnOnce(&Graph, &mut ModelPlan)) -> PlanDefect {
    let graph = graph();
    let mut plan = plan(&graph, false);
    change(&graph, &mut plan);
    let defect = verify(&graph, &plan).expect_err("the plan is broken");
    assert!(!defect.to_string().is_empty());
    defect
}

/// The first step of the node called `name`.
fn at(plan: &StepPlan, name: &str) -> usize {
    let mut steps = plan.steps.iter();
    steps.position(|step| &*step.name == name).unwrap()
}

/// The number of the buffer that the value lies in.
fn buffer_of(plan: &StepPlan, value: Value) -> usize {
    plan.buffer_of.get(value).copied().unwrap()
}

/// Where `name` lies.
fn offset(graph: &Graph, plan: &StepPlan, name: &str) -> usize {
    plan.placement.offsets[buffer_of(plan, graph.find(name).unwrap())]
}

/// Make every step and the record agree that the values of the buffer of `name` lie at `offset`.
fn relocate(graph: &Graph, plan: &mut StepPlan, name: &str, offset: usize) {
    let buffer = buffer_of(plan, graph.find(name).unwrap());
    let buffer_of = plan.buffer_of.clone();
    let moved = |value: Value| buffer_of.get(value) == Some(&buffer);
    for step in &mut plan.steps {
        let inputs = graph.inputs(step.node);
        for (source, &operand) in step.inputs.iter_mut().zip(&step.operands) {
            if let (StepInput::Arena(slot), Some(&Some(value))) = (source, inputs.get(operand))
                && moved(value)
            {
                slot.offset = offset;
            }
        }
        for (output, slot) in step.outputs.iter_mut().enumerate() {
            let node = step.node;
            if moved(Value { node, output }) {
                slot.offset = offset;
            }
        }
    }
    for (&value, slot) in graph.outputs().iter().zip(&mut plan.outputs) {
        if moved(value) {
            slot.offset = offset;
        }
    }
    plan.placement.offsets[buffer] = offset;
}

macro_rules! assert_refused {
    ($defect:expr, $pattern:pat $(if $guard:expr)?) => {
        let defect = $defect;
        assert!(matches!(&defect, $pattern $(if $guard)?), "{defect:?}");
    };
}

#[test]
fn whole_plans_are_accepted() {
    let graph = graph();
    verify(&graph, &plan(&graph, true)).unwrap();
    let plan = plan(&graph, false);
    verify(&graph, &plan).unwrap();
    // What the tests below speak of is there.
    let steps = &plan.step;
    assert_eq!(steps.steps[at(steps, "c")].phase, (0, 2));
    assert_eq!(plan.caches.len(), 2);
    let bytes = |name| offset(&graph, steps, name);
    assert_ne!(bytes("a"), bytes("x"));
    assert_eq!(bytes("q"), bytes("b"));
}

#[test]
fn swapped_steps_read_what_is_not_there_yet() {
    let defect = refused(|_, plan| {
        let steps = &mut plan.step;
        let (first, second) = (at(steps, "a"), at(steps, "b"));
        steps.steps.swap(first, second);
    });
    assert_refused!(defect, PlanDefect::Unwritten { step: 1, name, value } if name == "b" && value == "a");
    let defect = refused(|_, plan| {
        let steps = &mut plan.step;
        let first = at(steps, "c");
        steps.steps.swap(first, first + 1);
    });
    assert_refused!(defect, PlanDefect::Missing { name, phase: 0, phases: 2 } if name == "c");
}

#[test]
fn an_op_in_place_over_a_value_that_is_read_later_is_found() {
    // A planner that believed x dead after a would do this: one buffer, with both lives.
    let defect = refused(|graph, plan| {
        let steps = &mut plan.step;
        let to = offset(graph, steps, "x");
        relocate(graph, steps, "a", to);
        let (a, x) = (graph.find("a").unwrap(), graph.find("x").unwrap());
        let (from, buffer) = (buffer_of(steps, a), buffer_of(steps, x));
        steps.buffers[buffer].last = steps.buffers[buffer].last.max(steps.buffers[from].last);
        steps.buffers[from].bytes = 0;
        steps.buffer_of.insert(a, buffer);
    });
    assert_refused!(defect, PlanDefect::Gone { step: 2, name, value, .. } if name == "b" && value == "x");
}

#[test]
fn an_output_over_an_operand_that_other_threads_read_is_found() {
    let defect = refused(|graph, plan| {
        let steps = &mut plan.step;
        let to = offset(graph, steps, "b");
        relocate(graph, steps, "c", to);
        let (c, b) = (graph.find("c").unwrap(), graph.find("b").unwrap());
        let buffer = buffer_of(steps, c);
        steps.buffers[buffer].bytes = 0;
        steps.buffer_of.insert(c, buffer_of(steps, b));
    });
    assert_refused!(defect, PlanDefect::Clash { name, output: 0, .. } if name == "c");
    // Two outputs of one step.
    let defect = refused(|graph, plan| {
        let steps = &mut plan.step;
        let step = at(steps, "s");
        steps.steps[step].outputs[1].offset = offset(graph, steps, "s");
    });
    assert_refused!(defect, PlanDefect::Clash { name, output: 1, .. } if name == "s");
}

#[test]
fn a_buffer_over_another_that_lives_is_found() {
    let defect = refused(|graph, plan| {
        let steps = &mut plan.step;
        let to = offset(graph, steps, "x");
        relocate(graph, steps, "a", to);
    });
    assert_refused!(defect, PlanDefect::Overlap(Overlap::Shared { .. }));
    // Half over it, and not recorded.
    let defect = refused(|_, plan| {
        let steps = &mut plan.step;
        let step = at(steps, "s");
        steps.steps[step].outputs[1].offset += 64;
    });
    assert_refused!(defect, PlanDefect::Clash { name, output: 1, .. } if name == "s");
}

#[test]
fn a_step_that_is_not_there_is_missed() {
    let drop = |name: &'static str, phase: usize| {
        refused(move |_, plan| {
            let steps = &mut plan.step;
            let step = at(steps, name) + phase;
            steps.steps.remove(step);
        })
    };
    assert_refused!(drop("a", 0), PlanDefect::Unwritten { value, .. } if value == "a");
    assert_refused!(drop("c", 0), PlanDefect::Missing { name, phase: 0, phases: 2 } if name == "c");
    assert_refused!(drop("c", 1), PlanDefect::Unwritten { value, .. } if value == "d");
    assert_refused!(drop("y", 0), PlanDefect::Missing { name, phase: 0, .. } if name == "y");
    let twice = refused(|_, plan| {
        let steps = &mut plan.step;
        let step = at(steps, "c");
        steps.steps[step + 1].phase = (0, 2);
    });
    assert_refused!(twice, PlanDefect::Missing { name, phase: 1, phases: 2 } if name == "c");
}

#[test]
fn a_life_that_ends_too_early_or_begins_too_late_is_found() {
    let defect = refused(|graph, plan| {
        let steps = &mut plan.step;
        // The norm writes n over b, and e reads n.
        let buffer = buffer_of(steps, graph.find("b").unwrap());
        steps.buffers[buffer].last -= 1;
    });
    assert_refused!(defect, PlanDefect::Dead { name, .. } if name == "e");
    let defect = refused(|graph, plan| {
        let steps = &mut plan.step;
        let buffer = buffer_of(steps, graph.find("x").unwrap());
        steps.buffers[buffer].first += 1;
    });
    assert_refused!(defect, PlanDefect::Dead { step: 0, .. });
    let defect = refused(|graph, plan| {
        let steps = &mut plan.step;
        let buffer = buffer_of(steps, graph.find("y").unwrap());
        steps.buffers[buffer].last -= 1;
    });
    assert_refused!(defect, PlanDefect::Dead { name, .. } if name == "the caller");
}

#[test]
fn an_output_that_does_not_stand_where_the_caller_looks_is_found() {
    let defect = refused(|_, plan| plan.step.outputs[0].offset += 64);
    assert_refused!(defect, PlanDefect::Gone { value, .. } | PlanDefect::Outside { value, .. } if value == "y");
    let defect = refused(|_, plan| plan.step.outputs.clear());
    assert_refused!(defect, PlanDefect::Operand { .. });
    let defect = refused(|_, plan| plan.step.token_ids = None);
    assert_refused!(defect, PlanDefect::Unwritten { value, .. } if value == "tokens");
}

#[test]
fn wanted_rows_that_the_caller_does_not_find_or_that_lie_in_the_way_are_found() {
    let mut graph = graph();
    let mut editor = graph.edit();
    let wanted = editor.given(Input::Wanted).unwrap();
    let y = editor.graph().outputs()[0];
    let take = Op::new(TAKE_ROWS, &[]).unwrap();
    let rows = editor
        .op(take, &[Some(y), Some(wanted)], &["rows"])
        .unwrap();
    editor.set_outputs(vec![rows.into()]);
    let refused = |change: &dyn Fn(&mut StepPlan)| {
        let mut plan = plan(&graph, false);
        change(&mut plan.step);
        verify(&graph, &plan).expect_err("the plan is broken")
    };
    assert!(verify(&graph, &plan(&graph, true)).is_ok());
    let defect = refused(&|plan| plan.wanted = None);
    assert_refused!(defect, PlanDefect::Unwritten { value, .. } if value == "wanted");
    let defect = refused(&|plan| plan.wanted = plan.token_ids.clone());
    assert_refused!(defect, PlanDefect::Operand { name, .. } if name == "the caller");
    let defect = refused(&|plan| {
        let tokens = plan.token_ids.as_ref().map(|slot| slot.offset);
        let (slot, offset) = (plan.wanted.as_mut(), tokens.unwrap());
        slot.unwrap().offset = offset;
    });
    assert_refused!(defect, PlanDefect::Clash { name, .. } if name == "wanted");
}

#[test]
fn operands_that_are_not_the_graphs_are_found() {
    let broken = |name: &'static str, source: StepInput| {
        refused(move |_, plan| {
            let steps = &mut plan.step;
            let step = at(steps, name);
            steps.steps[step].inputs[0] = source;
        })
    };
    assert_refused!(
        broken("x", StepInput::Weight(1)),
        PlanDefect::Operand { operand: 0, .. }
    );
    assert_refused!(
        broken("b", StepInput::Weight(0)),
        PlanDefect::Operand { operand: 0, .. }
    );
    assert_refused!(
        broken("b", StepInput::Absent),
        PlanDefect::Operand { operand: 0, .. }
    );
    // Another value where it lies, of the same type.
    let defect = refused(|_, plan| {
        let steps = &mut plan.step;
        let step = at(steps, "b");
        steps.steps[step].inputs.swap(0, 1);
    });
    assert_refused!(defect, PlanDefect::Gone { value, .. } if value == "a");
    let defect = refused(|_, plan| {
        let steps = &mut plan.step;
        let step = at(steps, "b");
        if let StepInput::Arena(slot) = &mut steps.steps[step].inputs[0] {
            slot.ty = Type::f32([Dim::Tokens, Dim::Fixed(31)]);
        }
    });
    assert_refused!(defect, PlanDefect::Operand { operand: 0, .. });
}

#[test]
fn values_outside_of_the_activations_are_found() {
    let defect = refused(|graph, plan| {
        let steps = &mut plan.step;
        let recorded = steps.placement.clone();
        relocate(graph, steps, "a", plan.regions.activations - 64);
        steps.placement = recorded;
    });
    assert_refused!(defect, PlanDefect::Outside { value, .. } if value == "a");
    let defect = refused(|graph, plan| {
        let steps = &mut plan.step;
        let to = offset(graph, steps, "a") + 4;
        let recorded = steps.placement.clone();
        relocate(graph, steps, "a", to);
        steps.placement = recorded;
    });
    assert_refused!(defect, PlanDefect::Outside { value, .. } if value == "a");
}

#[test]
fn scratch_that_is_too_small_is_found() {
    let defect = refused(|_, plan| plan.step.steps[1].scratch = 1 << 20);
    assert_refused!(defect, PlanDefect::Scratch { name, needed: 4194304, .. } if name == "a");
    let defect = refused(|_, plan| plan.regions.scratch -= 64);
    assert_refused!(defect, PlanDefect::Scratch { threads: 2, .. });
    let defect = refused(|_, plan| plan.step.threads = 3);
    assert_refused!(
        defect,
        PlanDefect::Threads {
            found: 3,
            threads: 2
        }
    );
}

#[test]
fn caches_of_others_or_without_room_are_found() {
    let defect = refused(|_, plan| {
        let steps = &mut plan.step;
        let (c, e) = (at(steps, "c"), at(steps, "e"));
        let other = steps.steps[e].cache;
        steps.steps[c + 1].cache = other;
    });
    assert_refused!(defect, PlanDefect::Cache { name, .. } if name == "c");
    let defect = refused(|_, plan| {
        let steps = &mut plan.step;
        let step = at(steps, "e");
        steps.steps[step].cache = None;
    });
    assert_refused!(defect, PlanDefect::Cache { name, .. } if name == "e");
    for shift in [-1, 1] {
        let defect = refused(|_, plan| {
            let layout = plan.caches[1].layout;
            let first = layout.first().checked_add_signed(shift).unwrap();
            plan.caches[1].layout = layout.placed(first, layout.page_floats());
        });
        assert_refused!(defect, PlanDefect::Entries { name, .. } if name == "e");
    }
    let defect = refused(|_, plan| {
        let layout = plan.caches[0].layout;
        plan.caches[0].layout = layout.placed(0, layout.page_floats() - 16);
    });
    assert_refused!(defect, PlanDefect::Page { name, .. } if name == "c");
    let defect = refused(|_, plan| plan.regions.page -= 64);
    assert_refused!(defect, PlanDefect::Page { name, .. } if name == "c");
    let defect = refused(|_, plan| {
        let layout = plan.caches[1].layout;
        plan.caches[1].layout = KvLayout::new(layout.kv_heads(), layout.head_dim(), 64);
    });
    // A window of 48, the other 47 tokens of a step and a block less one: more than the context of 100.
    assert_refused!(defect, PlanDefect::Room { capacity: 64, needed: 100, name } if name == "e");
    let defect = refused(|_, plan| {
        let layout = plan.caches[1].layout;
        plan.caches[1].layout = KvLayout::new(1, layout.head_dim(), layout.capacity());
    });
    assert_refused!(defect, PlanDefect::Shape { name } if name == "e");
}
