//! Dimensions, element types and shapes. Three dimensions stay symbolic until planning.

use std::fmt;

use smallvec::SmallVec;

use crate::blocks::BlockFormat;

/// Elements of a block of int8 activations.
pub const INT8_BLOCK: usize = 32;
/// Words of 4 bytes in a block of int8 activations: the scale, the scaled sum, two 16-bit sums, and the elements.
pub const INT8_BLOCK_WORDS: usize = 3 + INT8_BLOCK / 4;

/// The sizes of the symbolic dimensions in a step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StepSize {
    /// Tokens in the step.
    pub tokens: usize,
    /// Rows whose outputs are wanted.
    pub rows: usize,
    /// Positions in the sequence when the step is done.
    pub context: usize,
}

impl StepSize {
    /// The first token of a sequence, alone. For a weight, whose dimensions are all known, any size will do.
    pub const ONE: StepSize = StepSize {
        tokens: 1,
        rows: 1,
        context: 1,
    };
}

/// One dimension of a shape.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Dim {
    /// Known when the graph is loaded.
    Fixed(usize),
    /// `T`: tokens in this step.
    Tokens,
    /// `R`: rows of this step whose outputs are wanted.
    Rows,
    /// `S`: tokens of the sequence so far, this step's included.
    Context,
}

impl Dim {
    /// The dimension's size in a step of the size `size`.
    pub fn resolve(self, size: StepSize) -> usize {
        match self {
            Dim::Fixed(n) => n,
            Dim::Tokens => size.tokens,
            Dim::Rows => size.rows,
            Dim::Context => size.context,
        }
    }

    /// The size, if it is known before planning.
    pub fn fixed(self) -> Option<usize> {
        match self {
            Dim::Fixed(n) => Some(n),
            _ => None,
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(n) => write!(f, "{n}"),
            Dim::Tokens => f.write_str("T"),
            Dim::Rows => f.write_str("R"),
            Dim::Context => f.write_str("S"),
        }
    }
}

/// Dimensions, outermost first. A scalar has none.
pub type Shape = SmallVec<[Dim; 4]>;

/// The type of an element.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DType {
    /// IEEE single: all activations.
    F32,
    /// IEEE half: weights.
    F16,
    /// bfloat16: weights.
    BF16,
    /// Token ids and positions.
    I32,
    /// Quantized blocks of consecutive elements of a row, as files store them: weights.
    Blocks(BlockFormat),
    /// Blocks of 32 signed bytes with a scale: activations for products with quantized weights.
    Int8,
}

impl DType {
    /// The names of the types that weights can have.
    pub const WEIGHTS: [&str; 3 + BlockFormat::ALL.len()] = {
        let mut all = [""; 3 + BlockFormat::ALL.len()];
        let mut i = 0;
        while i < all.len() {
            all[i] = match i {
                0 => DType::F32.name(),
                1 => DType::F16.name(),
                2 => DType::BF16.name(),
                _ => BlockFormat::ALL[i - 3].name(),
            };
            i += 1;
        }
        all
    };

    /// How many elements are stored together, and how many bytes they take. Rows consist of whole units of this kind.
    pub fn unit(self) -> (usize, usize) {
        match self {
            DType::F32 | DType::I32 => (1, 4),
            DType::F16 | DType::BF16 => (1, 2),
            DType::Blocks(format) => (format.elements(), format.bytes()),
            DType::Int8 => (INT8_BLOCK, INT8_BLOCK_WORDS * size_of::<i32>()),
        }
    }

    /// The types that floats can be quantized or rounded to: the formats that can be written, and the float types.
    pub fn written() -> impl Iterator<Item = DType> {
        let formats = BlockFormat::ALL.into_iter();
        let written = formats.filter(|format| format.is_written());
        let floats = [DType::F16, DType::BF16, DType::F32];
        written.map(DType::Blocks).chain(floats)
    }

    /// Whether the elements are floats, or are read as floats where the value is a weight.
    pub fn is_float(self) -> bool {
        !matches!(self, DType::I32 | DType::Int8)
    }

    /// The name of the type.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I32 => "i32",
            DType::Blocks(format) => format.name(),
            DType::Int8 => "int8",
        }
    }

    /// The weight type called `name`, in upper or lower case.
    pub fn named(name: &str) -> Option<DType> {
        let plain = [DType::F32, DType::F16, DType::BF16].into_iter();
        let mut known = plain.chain(BlockFormat::ALL.map(DType::Blocks));
        known.find(|known| known.name().eq_ignore_ascii_case(name))
    }

    /// The block format, if the type is one.
    pub fn blocks(self) -> Option<BlockFormat> {
        match self {
            DType::Blocks(format) => Some(format),
            _ => None,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The element type and the shape of a value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Type {
    /// The type of its elements.
    pub dtype: DType,
    /// Its dimensions.
    pub shape: Shape,
}

impl Type {
    /// A type from an element type and a shape.
    pub fn new(dtype: DType, shape: impl IntoIterator<Item = Dim>) -> Self {
        Type {
            dtype,
            shape: shape.into_iter().collect(),
        }
    }

    /// The type f32 with the given shape.
    pub fn f32(shape: impl IntoIterator<Item = Dim>) -> Self {
        Type::new(DType::F32, shape)
    }

    /// The innermost dimension, or `None` for a scalar.
    pub fn width(&self) -> Option<Dim> {
        self.shape.last().copied()
    }

    /// The number of elements in a step of the given size, saturating.
    pub fn elements(&self, size: StepSize) -> usize {
        self.shape
            .iter()
            .fold(1, |n, d| n.saturating_mul(d.resolve(size)))
    }

    /// Bytes in a step of the given size, saturating.
    pub fn bytes(&self, size: StepSize) -> usize {
        let (elements, bytes) = self.dtype.unit();
        self.elements(size).div_ceil(elements).saturating_mul(bytes)
    }

    /// The number of elements, if no dimension is symbolic.
    pub fn fixed_elements(&self) -> Option<usize> {
        self.shape
            .iter()
            .try_fold(1usize, |n, d| n.checked_mul(d.fixed()?))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (i, dim) in self.shape.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{dim}")?;
        }
        f.write_str("]")
    }
}
