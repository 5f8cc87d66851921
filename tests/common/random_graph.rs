//! Random valid graphs, for property tests: transformers in the forms that exporters and fused graphs have, and ops
//! strung together at random. The same seed makes the same graph.
//!
//! Inputs are `tokens` and `positions`, i32[T]; ids stay below [`VOCAB`].

use smallmind::graph::{Graph, NodeId, Value, WeightSource};
use smallmind::ops::{Attribute, Op, OpDef, table};
use smallmind::types::{DType, Dim, Literal, Type};

use super::random::Random;

/// Rows of the embedding table.
pub const VOCAB: usize = 11;

const HEADS: usize = 4;

/// A graph of about ten to eighty ops with one to three outputs, of width 8.
pub fn arbitrary_graph(seed: u64) -> Graph {
    graph_of_width(seed, 8)
}

/// The same with another width, a multiple of 8.
#[allow(dead_code)] // Each test program uses a part.
pub fn graph_of_width(seed: u64, width: usize) -> Graph {
    let mut graph = Graph::new();
    let mut b = Builder::new(&mut graph, seed, width);
    if b.one_in(2) {
        b.transformer();
    } else {
        b.tangle();
    }
    graph
}

/// The ops of the table that apply a function to this many operands and need no attribute.
pub fn applied_ops(arity: usize) -> Vec<&'static str> {
    let plain = |def: &&OpDef| !def.attributes.iter().any(|attribute| attribute.required);
    let ops = table().filter(plain);
    let ops = ops.filter_map(|def| Op::new(def.name, &[]).ok());
    let applied = ops.filter(|op| op.function().is_some_and(|f| f.arity() == arity));
    applied.map(|op| op.name()).collect()
}

struct Builder<'g> {
    editor: smallmind::graph::Editor<'g>,
    random: Random,
    /// The width of most activations.
    width: usize,
    tokens: Value,
    positions: Value,
    /// Activations to read from, newest last.
    pool: Vec<Value>,
    /// Weights and expressions of weights to read again.
    weights: Vec<Value>,
    /// Ops that were added, to be added again now and then.
    history: Vec<(Op, Vec<Option<Value>>)>,
}

impl<'g> Builder<'g> {
    fn new(graph: &'g mut Graph, seed: u64, width: usize) -> Self {
        let mut editor = graph.edit();
        let mut input = |name: &str| {
            let ty = Type::new(DType::I32, [Dim::Tokens]);
            Value::from(editor.input(name, ty).expect("inputs come first"))
        };
        let (tokens, positions) = (input("tokens"), input("positions"));
        Builder {
            editor,
            random: Random(seed),
            width,
            tokens,
            positions,
            pool: Vec::new(),
            weights: Vec::new(),
            history: Vec::new(),
        }
    }

    fn below(&mut self, n: usize) -> usize {
        self.random.below(n)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn pooled(&mut self) -> Value {
        let at = self.below(self.pool.len());
        self.pool[at]
    }

    fn shape(&self, value: Value) -> Vec<Dim> {
        self.editor.graph().ty(value).shape.to_vec()
    }

    /// The last dimension, if it is known.
    fn width(&self, value: Value) -> Option<usize> {
        self.shape(value).last().and_then(|d| d.fixed())
    }

    /// Add an op if the operands fit it; its outputs join the pool.
    fn try_op(
        &mut self,
        name: &str,
        attributes: &[(&str, Attribute)],
        inputs: &[Option<Value>],
    ) -> Option<NodeId> {
        let op = Op::new(name, attributes).expect("attributes are as the table has them");
        self.again(op, inputs)
    }

    fn again(&mut self, op: Op, inputs: &[Option<Value>]) -> Option<NodeId> {
        let names = vec!["v"; op.output_count()];
        let id = self.editor.op(op.clone(), inputs, &names).ok()?;
        self.history.push((op, inputs.to_vec()));
        for output in 0..names.len() {
            let value = Value { node: id, output };
            // Whole numbers do not join the pool.
            if self.editor.graph().ty(value).dtype != DType::I32 {
                self.pool.push(value);
            }
        }
        Some(id)
    }

    fn op(
        &mut self,
        name: &str,
        attributes: &[(&str, Attribute)],
        inputs: &[Option<Value>],
    ) -> Value {
        let id = self.try_op(name, attributes, inputs);
        id.unwrap_or_else(|| panic!("{name} does not take these operands"))
            .into()
    }

    /// A weight: a tensor of the file, an earlier weight of this shape, or an expression.
    fn weight(&mut self, shape: &[usize]) -> Value {
        let dims: Vec<Dim> = shape.iter().map(|&n| Dim::Fixed(n)).collect();
        let old: Vec<Value> = self.weights.clone();
        let alike: Vec<Value> = old.into_iter().filter(|&v| self.shape(v) == dims).collect();
        if !alike.is_empty() && self.one_in(4) {
            return self.pick(&alike);
        }
        if let ([out, inner], true) = (shape, self.one_in(6)) {
            let stored = self.weight(&[*inner, *out]);
            let perm = Attribute::Ints([1, 0].as_slice().into());
            return self.weight_op("Transpose", &[("perm", perm)], &[stored]);
        }
        if self.one_in(10) {
            let stored = self.weight(shape);
            let one = self.literal();
            return self.weight_op("Mul", &[], &[stored, one]);
        }
        let name = format!("w{}", self.weights.len());
        // Now and then the same tensor under a second name.
        let tensors: Vec<Value> = alike
            .into_iter()
            .filter(|&v| self.editor.graph().node(v.node).op().is_none())
            .collect();
        let tensor = if !tensors.is_empty() && self.one_in(4) {
            let twin = self.pick(&tensors);
            match &self.editor.graph().node(twin.node).kind {
                smallmind::graph::Kind::Weight(source) => source.tensor.clone(),
                _ => name.as_str().into(),
            }
        } else {
            name.as_str().into()
        };
        let node = self
            .editor
            .weight(&name, WeightSource { tensor }, Type::f32(dims));
        let value = Value::from(node.expect("names are counted"));
        self.weights.push(value);
        value
    }

    fn weight_op(&mut self, name: &str, attributes: &[(&str, Attribute)], on: &[Value]) -> Value {
        let op = Op::new(name, attributes).expect("attributes are as the table has them");
        let inputs: Vec<_> = on.iter().copied().map(Some).collect();
        let node = self.editor.op(op, &inputs, &["e"]).expect("weights fit");
        self.weights.push(node.into());
        node.into()
    }

    fn literal(&mut self) -> Value {
        let literal = match self.below(6) {
            0 => Literal::Int(1),
            1 => Literal::Int(2),
            2 | 3 => Literal::Float(1.0),
            4 => Literal::Float(-0.75),
            _ => Literal::Float(0.0),
        };
        let value = Value::from(self.editor.constant(literal));
        if !self.one_in(4) {
            return value;
        }
        let twin = self.editor.constant(Literal::Float(0.3)).into();
        let name = self.pick(&["Add", "Mul", "Sub", "Div"]);
        let op = Op::new(name, &[]).expect("these have no attributes");
        let node = self.editor.op(op, &[Some(twin), Some(value)], &["c"]);
        node.expect("literals broadcast").into()
    }

    fn norm(&mut self, x: Value) -> Value {
        let width = self.width(x).expect("norms are of known widths");
        let gain = match self.one_in(5) {
            true => None,
            false => Some(self.weight(&[width])),
        };
        match self.below(3) {
            0 => self.op("LayerNorm", &[], &[Some(x), gain]),
            1 => {
                let bias = Some(self.weight(&[width]));
                self.op("LayerNorm", &[], &[Some(x), gain, bias])
            }
            _ => self.op(
                "RmsNorm",
                &[("eps", Attribute::Float(1e-6))],
                &[Some(x), gain],
            ),
        }
    }

    fn activation(&mut self) -> (&'static str, Attribute) {
        let word = self.pick(&["none", "none", "silu", "gelu", "relu"]);
        ("activation", Attribute::word(word))
    }

    /// A product with a new weight [out, width], in one of its forms, without activation.
    fn linear(&mut self, x: Value, out: usize) -> Value {
        let width = self.width(x).expect("products are of known widths");
        let weight = Some(self.weight(&[out, width]));
        match self.below(4) {
            0 => self.op("MatMul", &[], &[Some(x), weight]),
            1 => self.op("Linear", &[], &[Some(x), weight]),
            2 => {
                let bias = Some(self.weight(&[out]));
                self.op("Linear", &[], &[Some(x), weight, bias])
            }
            _ => self.op("Linear", &[], &[Some(x), weight, None, None]),
        }
    }

    fn reshape(&mut self, x: Value, shape: &[i64]) -> Value {
        self.op(
            "Reshape",
            &[("shape", Attribute::Ints(shape.into()))],
            &[Some(x)],
        )
    }

    fn rotary_attributes(&mut self, dims: usize) -> Vec<(&'static str, Attribute)> {
        vec![
            (
                "base",
                Attribute::Float(self.pick(&[10_000.0, 10_000.0, 500.0])),
            ),
            ("dims", Attribute::Int(dims as i64)),
        ]
    }

    fn rope(&mut self, x: Value) -> Value {
        let dims = self.width(x).expect("heads have known widths") / 2 * 2;
        let mut attributes = self.rotary_attributes(dims);
        let pairs = self.pick(&["half", "half", "adjacent"]);
        if self.one_in(3) {
            let positions = Some(self.positions);
            let table = self.op("RotaryTable", &attributes, &[positions]);
            let pairs = [("pairs", Attribute::word(pairs))];
            return self.op("ApplyRotary", &pairs, &[Some(x), Some(table)]);
        }
        attributes.push(("pairs", Attribute::word(pairs)));
        let factors = self.one_in(4).then(|| self.weight(&[dims / 2]));
        self.op(
            "Rope",
            &attributes,
            &[Some(x), Some(self.positions), factors],
        )
    }

    /// Attention of q over k and v, [T, heads, width / 4] each; as one op, as two, or spelled out.
    fn attention(&mut self, q: Value, k: Value, v: Value) -> Value {
        let scale = ("scale", Attribute::Float(0.7));
        let window = if self.one_in(3) {
            Attribute::Int(2)
        } else {
            Attribute::Absent
        };
        let attributes = [scale, ("window", window)];
        if self.one_in(3) {
            let inputs = [Some(q), Some(k), Some(v)];
            return self.op("CachedAttention", &attributes, &inputs);
        }
        let node = self.op("Cache", &[], &[Some(k), Some(v)]).node;
        let (keys, values) = (Value { node, output: 0 }, Value { node, output: 1 });
        if self.one_in(2) {
            let inputs = [Some(q), Some(keys), Some(values)];
            return self.op("Attention", &attributes, &inputs);
        }
        let scores = self.op("AttentionScores", &attributes[..1], &[Some(q), Some(keys)]);
        let masked = self.op("CausalMask", &attributes[1..], &[Some(scores)]);
        let weights = self.op("Softmax", &[], &[Some(masked)]);
        let perm = ("perm", Attribute::Ints([1, 0, 2].as_slice().into()));
        let rows = self.op("Transpose", std::slice::from_ref(&perm), &[Some(values)]);
        let plain = [("transpose_b", Attribute::Bool(false))];
        let sums = self.op("MatMul", &plain, &[Some(weights), Some(rows)]);
        self.op("Transpose", &[perm], &[Some(sums)])
    }

    fn transformer(&mut self) {
        let (width, head) = (self.width, self.width / HEADS);
        let table = Some(self.weight(&[VOCAB, width]));
        let mut x = self.op("Gather", &[], &[table, Some(self.tokens)]);
        let kv_heads = self.pick(&[1, 2, HEADS]);
        for _ in 0..1 + self.below(2) {
            let n = self.norm(x);
            let heads = |b: &mut Self, heads: usize| {
                let y = b.linear(n, heads * head);
                b.reshape(y, &[0, heads as i64, head as i64])
            };
            let (q, k) = (heads(self, HEADS), heads(self, kv_heads));
            let v = heads(self, kv_heads);
            let (q, k) = (self.rope(q), self.rope(k));
            let y = self.attention(q, k, v);
            let y = self.reshape(y, &[0, -1]);
            let y = self.linear(y, width);
            let (sum, n) = if self.one_in(3) {
                let gain = Some(self.weight(&[width]));
                let node = self.op("AddRmsNorm", &[], &[Some(y), Some(x), gain]).node;
                (Value { node, output: 0 }, Value { node, output: 1 })
            } else {
                let sum = self.op("Add", &[], &[Some(x), Some(y)]);
                (sum, self.norm(sum))
            };
            let hidden = match self.below(3) {
                0 => {
                    let (gate, up) = (self.weight(&[12, width]), self.weight(&[12, width]));
                    let activation = [("activation", Attribute::word("silu"))];
                    self.op("GatedLinear", &activation, &[Some(n), Some(gate), Some(up)])
                }
                1 => {
                    let (gate, up) = (self.linear(n, 12), self.linear(n, 12));
                    let gate = self.op("Silu", &[], &[Some(gate)]);
                    self.op("Mul", &[], &[Some(gate), Some(up)])
                }
                _ => {
                    let up = self.linear(n, 12);
                    self.op("Gelu", &[], &[Some(up)])
                }
            };
            let down = Some(self.weight(&[width, 12]));
            x = self.op("Linear", &[], &[Some(hidden), down, None, Some(sum)]);
        }
        let n = self.norm(x);
        let logits = self.linear(n, VOCAB);
        let mut outputs = vec![logits];
        if self.one_in(3) {
            outputs.push(x);
        }
        self.editor.set_outputs(outputs);
    }

    fn tangle(&mut self) {
        let table = Some(self.weight(&[VOCAB, self.width]));
        self.op("Gather", &[], &[table, Some(self.tokens)]);
        for _ in 0..10 + self.below(40) {
            let at = self.pool.len() - 1 - self.below(self.pool.len().min(8));
            let x = self.pool[at];
            if self.one_in(6) {
                let at = self.below(self.history.len());
                let (op, inputs) = self.history[at].clone();
                self.again(op, &inputs);
            } else {
                self.any_op(x);
            }
        }
        let mut outputs = vec![self.pool[self.pool.len() - 1]];
        for _ in 0..self.below(3) {
            let value = self.pooled();
            if !outputs.contains(&value) {
                outputs.push(value);
            }
        }
        self.editor.set_outputs(outputs);
    }

    /// Adds an op that reads `x`; none if the op that was drawn does not fit.
    fn any_op(&mut self, x: Value) {
        let shape = self.shape(x);
        let width = self.width(x);
        let operand = Some(x);
        let Some(width) = width else {
            self.try_op("Softmax", &[], &[operand]);
            return;
        };
        let half = ("start", Attribute::Int((width / 2) as i64));
        let y = Some(self.pooled());
        match self.below(20) {
            0 | 1 => {
                let name = self.pick(&applied_ops(1));
                self.try_op(name, &[], &[operand]);
            }
            2 | 3 => {
                let name = self.pick(&applied_ops(2));
                self.try_op(name, &[], &[operand, y]);
            }
            4 | 5 => {
                let literal = Some(self.literal());
                let name = self.pick(&applied_ops(2));
                let swapped = self.one_in(2);
                let pair = [operand, literal];
                self.try_op(name, &[], &if swapped { [pair[1], pair[0]] } else { pair });
            }
            6 => {
                let weight = Some(self.weight(&[width]));
                self.try_op("Mul", &[], &[operand, weight]);
            }
            7 => {
                self.norm(x);
            }
            8 => {
                let gain = Some(self.weight(&[width]));
                self.try_op("AddLayerNorm", &[], &[operand, y, gain]);
            }
            9 | 10 => {
                let out = self.pick(&[self.width, self.width, 6]);
                self.linear(x, out);
            }
            11 => {
                let (weight, activation) = (self.weight(&[self.width, width]), self.activation());
                let residual = if self.one_in(2) { y } else { None };
                let inputs = [operand, Some(weight), None, residual];
                self.try_op("Linear", &[activation], &inputs);
            }
            12 => {
                let weights = [self.weight(&[4, width]), self.weight(&[6, width])];
                let bias = Some(self.weight(&[6]));
                let segments = [("segments", Attribute::Int(2))];
                let inputs = [operand, Some(weights[0]), Some(weights[1]), None, bias];
                self.try_op("MergedLinear", &segments, &inputs);
            }
            13 | 14 => {
                let width = self.width as i64;
                let (flat, inner) = ([0, width], [0, 1, width]);
                let wanted = self.pick(&[
                    &[0, -1][..],
                    &[0, 2, -1],
                    &[0, 4, 2],
                    &flat,
                    &inner,
                    &[0, 0, 0],
                ]);
                let attribute = ("shape", Attribute::Ints(wanted.into()));
                self.try_op("Reshape", &[attribute], &[operand]);
            }
            15 => {
                let wanted = self.pick(&[&[1, 0, 2][..], &[1, 0], &[0, 1], &[0, 2, 1], &[2, 0, 1]]);
                let attribute = ("perm", Attribute::Ints(wanted.into()));
                self.try_op("Transpose", &[attribute], &[operand]);
            }
            16 if self.one_in(4) => {
                let last = ("start", Attribute::Int(-1));
                self.try_op("Slice", &[last], &[operand]);
            }
            16 => {
                let axis = ("axis", Attribute::Int(-1));
                self.try_op("Slice", &[axis.clone(), half], &[operand]);
                self.try_op("Concat", &[axis], &[operand, y]);
            }
            18 => {
                // There and back.
                let to_ints = [("to", Attribute::word("i32"))];
                let whole = match self.one_in(4) {
                    true => Some(self.positions),
                    false => self.try_op("Cast", &to_ints, &[operand]).map(Value::from),
                };
                let to_floats = [("to", Attribute::word("f32"))];
                self.try_op("Cast", &to_floats, &[whole]);
            }
            17 if self.one_in(2) => {
                self.try_op("ReduceMean", &[], &[operand]);
            }
            17 => {
                let one = Some(self.literal());
                let positions = Some(self.positions);
                let table = Some(self.weight(&[64, self.width]));
                if let Some(ids) = self.try_op("Mul", &[], &[positions, one]) {
                    self.try_op("Gather", &[], &[table, Some(ids.into())]);
                }
            }
            _ => {
                let [Dim::Tokens, Dim::Fixed(_), Dim::Fixed(2..)] = shape[..] else {
                    return;
                };
                let turned = self.rope(x);
                self.attention(turned, turned, x);
            }
        }
    }
}
