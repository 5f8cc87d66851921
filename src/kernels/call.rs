//! What a kernel sees of one step: its operands, and which piece of the work to do.
//!
//! Inputs and outputs of one step may share memory (the planner lets an elementwise op overwrite its input), so arena memory
//! is exposed as [`Cell`]s: reading an element before writing the same index is always sound.

use std::cell::Cell;
use std::ops::Range;

use super::kv_cache::KvCache;
use super::packed::{PackedMatrix, RowTable};
use super::quantized::{INT8_BLOCK, INT8_BLOCK_WORDS, QuantizedMatrix};
use super::simd::{Isa, LANES, Simd, Work};

/// The fewest elements that make a piece of simple work worthwhile: computing them takes about as long as handing the
/// piece to a thread.
const PIECE_ELEMENTS: usize = 2048;

/// The most pieces of simple work per thread: enough that a thread which comes late finds something to do.
const PIECES: usize = 4;

/// The largest rank of a tensor at run time.
pub const MAX_RANK: usize = 4;

/// `shape` (at most [`MAX_RANK`] dimensions) with leading ones added.
#[inline(always)]
pub fn padded(shape: &[usize]) -> [usize; MAX_RANK] {
    let mut dims = [1; MAX_RANK];
    dims[MAX_RANK - shape.len()..].copy_from_slice(shape);
    dims
}

/// The distance between neighbours along each dimension of a dense row-major tensor with these [`padded`] dimensions.
#[inline(always)]
pub fn strides(dims: [usize; MAX_RANK]) -> [usize; MAX_RANK] {
    let mut strides = [1; MAX_RANK];
    for i in (0..MAX_RANK - 1).rev() {
        strides[i] = strides[i + 1] * dims[i + 1];
    }
    strides
}

/// Where row `row` begins in a tensor with these [`padded`] dimensions, when neighbours along them are `strides` apart.
#[inline(always)]
pub fn row_offset(dims: [usize; MAX_RANK], strides: [usize; MAX_RANK], row: usize) -> usize {
    let (rest, third) = (row / dims[2], row % dims[2]);
    let (first, second) = (rest / dims[1], rest % dims[1]);
    first * strides[0] + second * strides[1] + third * strides[2]
}

/// A dense row-major f32 tensor in the arena, with its shape resolved for this step.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The elements, as many as `shape()` says.
    pub cells: &'a [Cell<f32>],
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl<'a> View<'a> {
    /// `cells` viewed as `shape`.
    ///
    /// # Panics
    /// If the shape has more than [`MAX_RANK`] dimensions, or if their product is not the number of cells: that is a bug in
    /// the caller.
    #[inline]
    pub fn new(cells: &'a [Cell<f32>], shape: &[usize]) -> Self {
        let mut dims = [1; MAX_RANK];
        dims[..shape.len()].copy_from_slice(shape);
        assert_eq!(
            cells.len(),
            dims.iter().product::<usize>(),
            "elements of {shape:?}"
        );
        View {
            cells,
            dims,
            rank: shape.len(),
        }
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// The innermost dimension: the length of a row. 1 for a scalar.
    pub fn width(&self) -> usize {
        self.shape().last().copied().unwrap_or(1)
    }

    /// The number of rows: the product of all dimensions but the innermost.
    pub fn rows(&self) -> usize {
        let rank = self.rank.max(1);
        self.dims[..rank - 1].iter().product()
    }

    /// Row `row`: `width()` elements.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &'a [Cell<f32>] {
        let width = self.width();
        &self.cells[row * width..(row + 1) * width]
    }
}

/// Activations [rows, cols] in the arena, quantized to int8 in blocks of 32 consecutive elements of a row. A row consists of
/// `cols / 32` blocks, each of [`INT8_BLOCK_WORDS`] words in the layout of [`quantized`](super::quantized).
#[derive(Clone, Copy)]
pub struct QuantizedView<'a> {
    /// The blocks of all rows.
    pub blocks: &'a [[Cell<i32>; INT8_BLOCK_WORDS]],
    rows: usize,
    cols: usize,
}

impl<'a> QuantizedView<'a> {
    /// `words` viewed as [rows, cols].
    ///
    /// # Panics
    /// If `cols` is not a multiple of 32, or if the number of words is not
    /// [`activation_words`](super::quantized::activation_words): that is a bug in the caller.
    pub fn new(words: &'a [Cell<i32>], rows: usize, cols: usize) -> Self {
        let (blocks, rest) = words.as_chunks();
        assert!(
            rest.is_empty()
                && cols.is_multiple_of(INT8_BLOCK)
                && blocks.len() == rows * (cols / INT8_BLOCK),
            "{} words are not the blocks of [{rows}, {cols}]",
            words.len()
        );
        QuantizedView { blocks, rows, cols }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Row `row`: `cols() / 32` blocks.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &'a [[Cell<i32>; INT8_BLOCK_WORDS]] {
        let count = self.cols / INT8_BLOCK;
        &self.blocks[row * count..(row + 1) * count]
    }
}

/// One input of a step.
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    /// An optional input that is absent.
    Absent,
    /// An f32 tensor in the arena.
    Tensor(View<'a>),
    /// An i32 tensor in the arena (token ids, positions); kernels do not need its shape.
    Ints(&'a [Cell<i32>]),
    /// A weight or literal converted to dense f32, with its shape.
    Constant(&'a [f32], &'a [usize]),
    /// A weight packed into 16-row panels.
    Packed(&'a PackedMatrix),
    /// A weight of quantized blocks, packed into 16-row panels.
    Quantized(&'a QuantizedMatrix),
    /// Activations quantized to int8, in the arena.
    QuantizedTensor(QuantizedView<'a>),
    /// A weight that is read row by row in the element type of its file (embedding tables).
    Rows(&'a RowTable),
}

/// One sequence's tokens in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The first of its tokens in the step.
    pub start: usize,
    /// One past the last of its tokens in the step; greater than `start`.
    pub end: usize,
    /// Positions that were read before: token `start + i` of the step is at position `past + i` of the sequence.
    pub past: usize,
    /// Where its table of pages begins among the tables of all sequences: see [`KvCache`].
    pub table: usize,
}

impl Sequence {
    /// The only sequence of a step of `tokens` tokens after `past` positions; its table is the first.
    pub fn alone(tokens: usize, past: usize) -> Sequence {
        Sequence {
            start: 0,
            end: tokens,
            past,
            table: 0,
        }
    }

    /// The number of its tokens in the step.
    #[inline(always)]
    pub fn tokens(&self) -> usize {
        self.end - self.start
    }

    /// Positions that will have been read when the step is done.
    #[inline(always)]
    pub fn positions(&self) -> usize {
        self.past + self.tokens()
    }
}

/// One piece of a step, as seen by the thread that computes it.
pub struct Call<'a> {
    /// Inputs in the order of the op.
    pub inputs: &'a [Operand<'a>],
    /// f32 outputs in the order of the op.
    pub outputs: &'a [View<'a>],
    /// Where an op with a single i32 output writes that output; empty for every other op.
    pub int_output: &'a [Cell<i32>],
    /// Where an op whose output is quantized activations writes them.
    pub quantized_output: Option<QuantizedView<'a>>,
    /// This thread's own scratch, with the length that the kernel asked for during planning; the contents are undefined.
    pub scratch: &'a [Cell<f32>],
    /// The cache of the layer, for ops that have one.
    pub cache: Option<KvCache<'a>>,
    /// Which piece of the step to compute, below `pieces`.
    pub piece: usize,
    /// Pieces of the step: any number from 1 on, whatever [`Kernel::pieces`] returned.
    pub pieces: usize,
    /// The most threads that compute pieces at the same time.
    pub threads: usize,
    /// What `scratch` holds from this thread's last piece of the same step, as a number that only the kernel
    /// interprets. [`NOTHING_KEPT`] before the first piece.
    pub kept: Cell<usize>,
    /// Tokens in this step.
    pub tokens: usize,
    /// The sequences of the step's tokens, one after the other: at least one; together they are all tokens.
    pub sequences: &'a [Sequence],
}

impl<'a> Call<'a> {
    /// Positions of the first sequence that were read before this step: for kernels that run one sequence per step.
    #[inline(always)]
    pub fn past(&self) -> usize {
        self.sequences[0].past
    }

    /// Input `i` as an arena tensor.
    ///
    /// # Panics
    /// If the plan chose another kind of operand: that is a bug in the planner, never a fault of a model.
    #[inline(always)]
    pub fn tensor(&self, i: usize) -> View<'a> {
        match self.inputs[i] {
            Operand::Tensor(view) => view,
            _ => unreachable!("input {i} is not an arena tensor"),
        }
    }

    /// Input `i` as ints. Panics like [`Call::tensor`].
    #[inline(always)]
    pub fn ints(&self, i: usize) -> &'a [Cell<i32>] {
        match self.inputs[i] {
            Operand::Ints(cells) => cells,
            _ => unreachable!("input {i} does not hold ints"),
        }
    }

    /// Input `i` as a dense f32 weight. Panics like [`Call::tensor`].
    #[inline(always)]
    pub fn constant(&self, i: usize) -> &'a [f32] {
        match self.inputs[i] {
            Operand::Constant(data, _) => data,
            _ => unreachable!("input {i} is not a constant"),
        }
    }

    /// Input `i` as a dense f32 weight, or `None` if the op has no such input.
    #[inline(always)]
    pub fn optional_constant(&self, i: usize) -> Option<&'a [f32]> {
        match self.inputs.get(i) {
            Some(Operand::Constant(data, _)) => Some(data),
            _ => None,
        }
    }

    /// Input `i` as an arena tensor, or `None` if the op has no such input.
    #[inline(always)]
    pub fn optional_tensor(&self, i: usize) -> Option<View<'a>> {
        match self.inputs.get(i) {
            Some(Operand::Tensor(view)) => Some(*view),
            _ => None,
        }
    }

    /// Input `i` as a packed weight. Panics like [`Call::tensor`].
    #[inline(always)]
    pub fn packed(&self, i: usize) -> &'a PackedMatrix {
        match self.inputs[i] {
            Operand::Packed(matrix) => matrix,
            _ => unreachable!("input {i} is not a packed weight"),
        }
    }

    /// Input `i` as a quantized weight. Panics like [`Call::tensor`].
    #[inline(always)]
    pub fn quantized(&self, i: usize) -> &'a QuantizedMatrix {
        match self.inputs[i] {
            Operand::Quantized(matrix) => matrix,
            _ => unreachable!("input {i} is not a quantized weight"),
        }
    }

    /// Input `i` as quantized activations. Panics like [`Call::tensor`].
    #[inline(always)]
    pub fn quantized_tensor(&self, i: usize) -> QuantizedView<'a> {
        match self.inputs[i] {
            Operand::QuantizedTensor(view) => view,
            _ => unreachable!("input {i} is not a quantized tensor"),
        }
    }

    /// The output for quantized activations. Panics like [`Call::tensor`].
    #[inline(always)]
    pub fn quantized_output(&self) -> QuantizedView<'a> {
        match self.quantized_output {
            Some(view) => view,
            None => unreachable!("the op has no quantized output"),
        }
    }

    /// This piece's share of `units` equal units of work: consecutive, and as even as possible.
    #[inline(always)]
    pub fn share(&self, units: usize) -> Range<usize> {
        let start = units * self.piece / self.pieces;
        let end = units * (self.piece + 1) / self.pieces;
        start..end
    }

    /// This piece's share of `units` consecutive units: whole groups of `group`, except for the last.
    #[inline(always)]
    pub fn share_groups(&self, units: usize, group: usize) -> Range<usize> {
        let groups = self.share(units.div_ceil(group));
        (groups.start * group).min(units)..(groups.end * group).min(units)
    }

    /// This piece's share of `elements` consecutive elements: whole blocks of 16, except for the last.
    #[inline(always)]
    pub fn share_elements(&self, elements: usize) -> Range<usize> {
        self.share_groups(elements, LANES)
    }

    /// Into how many pieces to cut `units` units of simple work, each of which computes `elements` elements.
    pub fn even_pieces(&self, units: usize, elements: usize) -> usize {
        let most = units.min(PIECES * self.threads).max(1);
        (units.saturating_mul(elements) / PIECE_ELEMENTS).clamp(1, most)
    }

    /// Into how many pieces to cut simple work on `elements` elements, which [`Call::share_elements`] divides.
    pub fn element_pieces(&self, elements: usize) -> usize {
        self.even_pieces(elements.div_ceil(LANES), LANES)
    }

    /// The number of rows of the first output, and of elements in each.
    fn output_rows(&self) -> (usize, usize) {
        match (self.outputs.first(), self.quantized_output) {
            (Some(view), _) => (view.rows(), view.width()),
            (None, Some(view)) => (view.rows(), view.cols()),
            (None, None) => (self.int_output.len(), 1),
        }
    }
}

/// The value of [`Call::kept`] before the first piece.
pub const NOTHING_KEPT: usize = usize::MAX;

/// The arithmetic of one op, with its attributes as fields.
///
/// # Safety
/// `run` is called for each piece of a step with the same operands, in any order, by any thread, at the same time. `run`
/// must write only elements of its own piece of each output (and of the cache), must read no element that another piece of
/// the step writes, and must keep within the operands' shapes. The bits of the outputs must not depend on the number of
/// pieces.
pub unsafe trait Kernel: Send + Sync + 'static {
    /// Whether the kernel multiplies int8, and so must be compiled for VNNI too.
    const INT8: bool = false;

    /// Into how many pieces the step should be cut. `call` has the operands' shapes, but their elements, like its scratch
    /// and its piece, must not be looked at. More pieces than threads even out the work; pieces that are too small cost
    /// more than they gain. One piece is computed by one thread while the others wait.
    fn pieces(&self, call: &Call<'_>) -> usize {
        let (rows, width) = call.output_rows();
        call.even_pieces(rows, width)
    }

    /// Compute the call's piece. Implementations are `#[inline(always)]`, as is everything they call over `S`, so that
    /// the whole body is compiled with the instruction set's features.
    ///
    /// # Safety
    /// The same as for [`BoundKernel::run`].
    unsafe fn run<S: Simd>(&self, simd: S, call: &Call<'_>);
}

/// A kernel bound to the instruction set on which it runs. Only [`bind`] makes one; nothing outside this file can.
///
/// # Safety
/// The same as for [`Kernel`].
pub unsafe trait BoundKernel: Send + Sync + sealed::Sealed {
    /// [`Kernel::pieces`].
    fn pieces(&self, call: &Call<'_>) -> usize;

    /// Compute the call's piece.
    ///
    /// # Safety
    /// - The operands are what the kernel requires: their number, kinds and types, matching shapes, ids that are rows
    ///   of their table, scratch of the requested length, and a cache with a page for each position that a sequence's
    ///   tokens stand at or see.
    /// - No output shares memory with another output or with an input, except where the kernel may write over that
    ///   input: the output then has the input's first element, type and shape.
    /// - Other threads that use these operands, or this cache, at the same time run the same kernel on the same call,
    ///   each with another piece of the same number of pieces, and with scratch of its own.
    /// - `piece` is below `pieces`. `kept` is [`NOTHING_KEPT`], or what the same kernel left there on the same call,
    ///   with another piece and the same scratch, which nobody has written since.
    unsafe fn run(&self, call: &Call<'_>);
}

mod sealed {
    /// A trait that only this file can implement.
    pub trait Sealed {}
}

struct Bound<K, S> {
    kernel: K,
    simd: S,
}

impl<K: Kernel, S: Simd> sealed::Sealed for Bound<K, S> {}

// SAFETY: the kernel makes the same promise.
unsafe impl<K: Kernel, S: Simd> BoundKernel for Bound<K, S> {
    fn pieces(&self, call: &Call<'_>) -> usize {
        self.kernel.pieces(call)
    }

    unsafe fn run(&self, call: &Call<'_>) {
        let kernel = &self.kernel;
        self.simd.run(Piece { kernel, call });
    }
}

/// One piece of a step: made only where the caller kept the contract of [`BoundKernel::run`].
struct Piece<'a, K> {
    kernel: &'a K,
    call: &'a Call<'a>,
}

impl<K: Kernel> Work for Piece<'_, K> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // SAFETY: the contract of [`BoundKernel::run`] holds wherever a piece was made.
        unsafe { self.kernel.run(simd, self.call) };
    }
}

/// `kernel` compiled for `isa`.
pub fn bind<K: Kernel>(kernel: K, isa: Isa) -> Box<dyn BoundKernel> {
    match isa {
        Isa::Scalar(simd) => Box::new(Bound { kernel, simd }),
        Isa::Avx2(simd) => Box::new(Bound { kernel, simd }),
        Isa::Avx512(simd) => {
            // The constant is checked first, so that only kernels that use VNNI are compiled for it.
            if K::INT8
                && let Some(simd) = simd.vnni()
            {
                return Box::new(Bound { kernel, simd });
            }
            Box::new(Bound { kernel, simd })
        }
    }
}
