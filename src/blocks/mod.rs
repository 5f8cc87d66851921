//! Block formats: how files store quantized weights, 32 or 256 elements of a row at a time.
//!
//! Here stands what a block is in a file and what floats it means. How files place their tensors is `load`'s, how kernels
//! lay blocks out for themselves is `kernels`'.

use std::fmt;

/// A format of quantized blocks, as GGUF files have them. Elements of a block are consecutive elements of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockFormat {
    /// 4 bits a weight and a scale.
    Q4_0,
    /// 4 bits a weight, a scale and a minimum.
    Q4_1,
    /// 5 bits a weight and a scale.
    Q5_0,
    /// 5 bits a weight, a scale and a minimum.
    Q5_1,
    /// 8 bits a weight and a scale.
    Q8_0,
    /// 2 bits a weight; 16 scales and minimums of 4 bits.
    Q2K,
    /// 3 bits a weight; 16 scales of 6 bits.
    Q3K,
    /// 4 bits a weight; 8 scales and minimums of 6 bits.
    Q4K,
    /// 5 bits a weight; 8 scales and minimums of 6 bits.
    Q5K,
    /// 6 bits a weight; 16 scales of 8 bits.
    Q6K,
    /// 4 bits a weight, through a table of 16 levels, and a scale.
    Iq4Nl,
    /// 4 bits a weight, through a table of 16 levels; 8 scales of 6 bits.
    Iq4Xs,
}

impl BlockFormat {
    /// Every format.
    pub const ALL: [BlockFormat; 12] = [
        BlockFormat::Q4_0,
        BlockFormat::Q4_1,
        BlockFormat::Q5_0,
        BlockFormat::Q5_1,
        BlockFormat::Q8_0,
        BlockFormat::Q2K,
        BlockFormat::Q3K,
        BlockFormat::Q4K,
        BlockFormat::Q5K,
        BlockFormat::Q6K,
        BlockFormat::Iq4Nl,
        BlockFormat::Iq4Xs,
    ];

    /// Elements of a block.
    pub const fn elements(self) -> usize {
        match self {
            BlockFormat::Q4_0
            | BlockFormat::Q4_1
            | BlockFormat::Q5_0
            | BlockFormat::Q5_1
            | BlockFormat::Q8_0
            | BlockFormat::Iq4Nl => 32,
            _ => 256,
        }
    }

    /// Bytes of a block in a file.
    pub const fn bytes(self) -> usize {
        match self {
            BlockFormat::Q4_0 | BlockFormat::Iq4Nl => 18,
            BlockFormat::Q4_1 => 20,
            BlockFormat::Q5_0 => 22,
            BlockFormat::Q5_1 => 24,
            BlockFormat::Q8_0 => 34,
            BlockFormat::Q2K => 84,
            BlockFormat::Q3K => 110,
            BlockFormat::Q4K => 144,
            BlockFormat::Q5K => 176,
            BlockFormat::Q6K => 210,
            BlockFormat::Iq4Xs => 136,
        }
    }

    /// The name that GGUF gives it.
    pub const fn name(self) -> &'static str {
        match self {
            BlockFormat::Q4_0 => "Q4_0",
            BlockFormat::Q4_1 => "Q4_1",
            BlockFormat::Q5_0 => "Q5_0",
            BlockFormat::Q5_1 => "Q5_1",
            BlockFormat::Q8_0 => "Q8_0",
            BlockFormat::Q2K => "Q2_K",
            BlockFormat::Q3K => "Q3_K",
            BlockFormat::Q4K => "Q4_K",
            BlockFormat::Q5K => "Q5_K",
            BlockFormat::Q6K => "Q6_K",
            BlockFormat::Iq4Nl => "IQ4_NL",
            BlockFormat::Iq4Xs => "IQ4_XS",
        }
    }
}

impl fmt::Display for BlockFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
