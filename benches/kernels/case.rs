//! A step's operands, made by hand, and the loop that measures a kernel with them.
//!
//! What belongs here: memory with the layout of the arena, filled with the same numbers on each run. What does not belong:
//! any op.

use std::cell::{Cell, LazyCell};

use criterion::{BenchmarkId, Criterion, Throughput};
use smallmind::blocks::BlockFormat;
use smallmind::kernels::call::{
    Call, Kernel, NOTHING_KEPT, Operand, QuantizedView, Sequence, View, bind,
};
use smallmind::kernels::kv_cache::{KvCache, KvLayout};
use smallmind::kernels::packed::{PackSource, PackedMatrix, RowTable};
use smallmind::kernels::panel_memory::PanelMemory;
use smallmind::kernels::quantized::{
    BlockSource, QuantizeActivations, QuantizedMatrix, activation_words,
};
use smallmind::kernels::simd::Isa;
use smallmind::types::DType;

/// Cases that count more operations or elements than this are left out on the scalar instruction set: each run of its
/// kernel would take a second or more.
const SCALAR_LIMIT: u64 = 400_000_000;

/// The alignment of the planner's buffers, in bytes.
const ALIGNMENT: usize = 64;

/// Arena memory: `len` cells at a multiple of [`ALIGNMENT`].
pub struct Memory {
    cells: Vec<Cell<f32>>,
    start: usize,
    len: usize,
}

impl Memory {
    /// Memory with these contents.
    pub fn new(values: &[f32]) -> Memory {
        let spare = ALIGNMENT / size_of::<f32>();
        let mut cells = vec![Cell::new(0.0); values.len() + spare];
        let start = cells.as_ptr().align_offset(ALIGNMENT).min(spare);
        for (cell, value) in cells[start..].iter_mut().zip(values) {
            cell.set(*value);
        }
        Memory {
            cells,
            start,
            len: values.len(),
        }
    }

    /// The cells.
    pub fn cells(&self) -> &[Cell<f32>] {
        &self.cells[self.start..self.start + self.len]
    }
}

/// One input, with its memory.
pub enum Input {
    /// An optional input that is absent.
    Absent,
    /// An arena tensor and its shape.
    Tensor(Memory, Vec<usize>),
    /// Token ids or positions.
    Ints(Vec<Cell<i32>>),
    /// A dense weight and its shape.
    Constant(Vec<f32>, Vec<usize>),
    /// A weight in panels.
    Packed(PackedMatrix),
    /// A weight of quantized blocks in panels.
    Quantized(QuantizedMatrix),
    /// Activations quantized to int8, [rows, cols].
    QuantizedTensor(Vec<Cell<i32>>, [usize; 2]),
    /// An embedding table.
    Rows(RowTable),
}

impl Input {
    /// An arena tensor of numbers that `seed` determines.
    pub fn tensor(shape: &[usize], seed: u32) -> Input {
        Input::Tensor(
            Memory::new(&numbers(shape.iter().product(), seed)),
            shape.to_vec(),
        )
    }

    /// A dense weight of numbers that `seed` determines.
    pub fn constant(shape: &[usize], seed: u32) -> Input {
        Input::Constant(numbers(shape.iter().product(), seed), shape.to_vec())
    }

    /// A packed weight [rows, cols] of numbers that `seed` determines.
    pub fn packed(rows: usize, cols: usize, weight_type: DType, seed: u32) -> Input {
        let source = Weights {
            rows,
            cols,
            weight_type,
            values: numbers(rows * cols, seed),
        };
        Input::Packed(
            PackedMatrix::pack(&mut PanelMemory::default(), &source, 1)
                .expect("there is memory for the weights"),
        )
    }

    /// A weight of quantized blocks [rows, cols]; every row has the same numbers, which `seed` determines.
    pub fn quantized(rows: usize, cols: usize, format: BlockFormat, seed: u32) -> Input {
        let mut row = vec![0; cols / format.elements() * format.bytes()];
        let written = format.quantize(&numbers(cols, seed), &mut row);
        written.expect("the format can be written");
        let source = Blocks {
            rows,
            cols,
            format,
            row,
        };
        Input::Quantized(
            QuantizedMatrix::pack(&mut PanelMemory::default(), &source, 1)
                .expect("there is memory"),
        )
    }

    /// Quantized activations [rows, cols] of numbers that `seed` determines.
    pub fn quantized_tensor(rows: usize, cols: usize, seed: u32) -> Input {
        let x = Input::tensor(&[rows, cols], seed);
        let case = Case::new(rows, vec![x], &[]).quantized(rows, cols);
        // SAFETY: the case has what the kernel asks for, and one thread.
        case.call(&mut |call| unsafe { bind(QuantizeActivations, Isa::detect()).run(call) });
        let words = case.quantized.map(|(words, _)| words);
        Input::QuantizedTensor(words.unwrap_or_default(), [rows, cols])
    }

    /// The positions 0, 1, … of `tokens` tokens.
    pub fn positions(tokens: usize) -> Input {
        Input::Ints((0..tokens as i32).map(Cell::new).collect())
    }

    fn operand(&self) -> Operand<'_> {
        match self {
            Input::Absent => Operand::Absent,
            Input::Tensor(memory, shape) => Operand::Tensor(View::new(memory.cells(), shape)),
            Input::Ints(cells) => Operand::Ints(cells),
            Input::Constant(data, shape) => Operand::Constant(data, shape),
            Input::Packed(matrix) => Operand::Packed(matrix),
            Input::Quantized(matrix) => Operand::Quantized(matrix),
            Input::QuantizedTensor(words, [rows, cols]) => {
                Operand::QuantizedTensor(QuantizedView::new(words, *rows, *cols))
            }
            Input::Rows(table) => Operand::Rows(table),
        }
    }
}

/// A step of one thread.
pub struct Case {
    inputs: Vec<Input>,
    outputs: Vec<(Memory, Vec<usize>)>,
    /// Words of a quantized output, and its [rows, cols].
    quantized: Option<(Vec<Cell<i32>>, [usize; 2])>,
    scratch: Memory,
    cache: Option<(KvLayout, Memory, Vec<u32>)>,
    tokens: usize,
    past: usize,
}

impl Case {
    /// A step of `tokens` tokens without a past, with outputs of these shapes.
    pub fn new(tokens: usize, inputs: Vec<Input>, outputs: &[&[usize]]) -> Case {
        let output = |shape: &&[usize]| {
            let zeros = vec![0.0; shape.iter().product()];
            (Memory::new(&zeros), shape.to_vec())
        };
        Case {
            inputs,
            outputs: outputs.iter().map(output).collect(),
            quantized: None,
            scratch: Memory::new(&[]),
            cache: None,
            tokens,
            past: 0,
        }
    }

    /// With scratch of `floats`.
    pub fn scratch(mut self, floats: usize) -> Case {
        self.scratch = Memory::new(&vec![0.0; floats]);
        self
    }

    /// With a quantized output [rows, cols].
    pub fn quantized(mut self, rows: usize, cols: usize) -> Case {
        let words = vec![Cell::new(0); activation_words(rows, cols)];
        self.quantized = Some((words, [rows, cols]));
        self
    }

    /// At position `past`.
    pub fn past(mut self, past: usize) -> Case {
        self.past = past;
        self
    }

    /// With a cache, full of numbers.
    pub fn cache(mut self, kv_heads: usize, head_dim: usize, capacity: usize) -> Case {
        let layout = KvLayout::new(kv_heads, head_dim, capacity);
        let floats = layout.blocks() * layout.block_floats();
        let table = (0..layout.blocks() as u32).collect();
        self.cache = Some((layout, Memory::new(&numbers(floats, 101)), table));
        self
    }

    /// Call `run` with the step, as the executor would.
    fn call(&self, run: &mut dyn FnMut(&Call<'_>)) {
        let inputs: Vec<_> = self.inputs.iter().map(Input::operand).collect();
        let outputs = self.outputs.iter();
        let outputs: Vec<_> = outputs
            .map(|(memory, shape)| View::new(memory.cells(), shape))
            .collect();
        let cache = self.cache.as_ref().map(|(layout, pool, table)| KvCache {
            pool: pool.cells(),
            tables: table,
            layout: *layout,
        });
        let quantized = self.quantized.as_ref();
        run(&Call {
            inputs: &inputs,
            outputs: &outputs,
            int_output: &[],
            quantized_output: quantized
                .map(|(words, [rows, cols])| QuantizedView::new(words, *rows, *cols)),
            scratch: self.scratch.cells(),
            cache,
            piece: 0,
            pieces: 1,
            threads: 1,
            kept: Cell::new(NOTHING_KEPT),
            tokens: self.tokens,
            sequences: &[Sequence::alone(self.tokens, self.past)],
        });
    }
}

/// Measures `kernel` over the case on each instruction set. The case is built only if the command line selects it.
pub fn bench<K: Kernel + Clone>(
    criterion: &mut Criterion,
    op: &str,
    name: &str,
    kernel: K,
    counts: Throughput,
    build: impl FnOnce() -> Case,
) {
    let case = LazyCell::new(build);
    let mut group = criterion.benchmark_group(op);
    let many = matches!(counts, Throughput::Elements(count) if count > SCALAR_LIMIT);
    group.throughput(counts);
    for isa in Isa::available() {
        if many && matches!(isa, Isa::Scalar(_)) {
            continue;
        }
        let kernel = bind(kernel.clone(), isa);
        group.bench_function(BenchmarkId::new(name, isa.name()), |bencher| {
            case.call(&mut |call| {
                bencher.iter(|| {
                    call.kept.set(NOTHING_KEPT);
                    // SAFETY: the case has what the kernel asks for, and one piece.
                    unsafe { kernel.run(call) };
                })
            });
        });
    }
    group.finish();
}

/// The bytes of this many f32.
pub fn floats(count: usize) -> Throughput {
    Throughput::BytesDecimal((count * size_of::<f32>()) as u64)
}

/// This many operations or elements.
pub fn count(operations: usize) -> Throughput {
    Throughput::Elements(operations as u64)
}

/// A number of tokens, in words.
pub fn tokens_of(count: usize) -> String {
    format!("{count} token{}", if count == 1 { "" } else { "s" })
}

/// `count` numbers of both signs below 1 in magnitude, the same for the same `seed`.
pub fn numbers(count: usize, seed: u32) -> Vec<f32> {
    // Marsaglia's xorshift.
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Weights [rows, cols] about to be packed.
struct Weights {
    rows: usize,
    cols: usize,
    weight_type: DType,
    values: Vec<f32>,
}

impl PackSource for Weights {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn dtype(&self) -> DType {
        self.weight_type
    }

    fn copy_bits(&self, row: usize, start: usize, out: &mut [u32]) {
        let from = row * self.cols + start;
        for (out, value) in out.iter_mut().zip(&self.values[from..]) {
            *out = match self.weight_type {
                DType::F32 => value.to_bits(),
                DType::F16 => half::f16::from_f32(*value).to_bits().into(),
                _ => half::bf16::from_f32(*value).to_bits().into(),
            };
        }
    }
}

/// Weights of quantized blocks [rows, cols], with equal rows, about to be packed.
struct Blocks {
    rows: usize,
    cols: usize,
    format: BlockFormat,
    row: Vec<u8>,
}

impl BlockSource for Blocks {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn format(&self) -> BlockFormat {
        self.format
    }

    fn copy_blocks(&self, _row: usize, first: usize, out: &mut [u8]) {
        let from = first * self.format.bytes();
        out.copy_from_slice(&self.row[from..from + out.len()]);
    }
}
