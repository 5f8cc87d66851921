//! The formats, one row each.

use super::group::{GROUP, Group};
use super::{each_block, each_write, iq4, k_quants, k_quants_write, legacy, mxfp4};

/// The properties of a format.
pub(super) struct Row {
    /// The name of the format in GGUF files and on the command line.
    pub name: &'static str,
    /// The number of the format in the tensor tables of GGUF files.
    pub number: u32,
    /// The value of `general.file_type` for files whose matrices mostly have the format, if there is one.
    pub file_type: Option<u32>,
    /// Elements per block: a multiple of 32, at most [`super::MOST_ELEMENTS`].
    pub elements: usize,
    /// Bytes per block in a file, at most [`super::MOST_BYTES`].
    pub bytes: usize,
    /// The group of 32 elements with that number in a block.
    pub group: fn(&[u8], usize) -> Option<Group>,
    /// Reads the floats of blocks.
    pub read: fn(&[u8], &mut [f32]),
    /// Writes blocks, if the format can be written.
    pub write: Option<Write>,
    /// The format with smaller blocks that llama.cpp chooses if rows do not consist of whole blocks of this one.
    pub smaller: Option<BlockFormat>,
    /// The order of the bits of a block in a panel of the kernels.
    pub panel: Panel,
}

/// Writes whole blocks of floats as blocks.
pub(crate) type Write = fn(&[f32], &mut [u8]);

/// The order of the bits of a block in one lane of a panel: 16-bit halves, and everything else as 32-bit words in the order
/// of the file, some of which are regrouped.
pub(crate) struct Panel {
    /// The byte of the block at which the halves begin: 0, or the first byte after everything else.
    pub halves_at: usize,
    /// How many of the halves are binary16 scales. These come first.
    pub scales: usize,
    /// How many of the halves are integers.
    pub integers: usize,
    /// How many of the halves are powers of two: bfloat16 in the panel, a one-byte exponent in the file (see `mxfp4`). If
    /// there are any, all halves are powers of two.
    pub powers: usize,
    /// Ranges of words, and how each is regrouped.
    pub regrouped: &'static [(Regroup, usize, usize)],
}

/// One scale at the beginning, and no regrouping.
const ONE_SCALE: Panel = Panel {
    halves_at: 0,
    scales: 1,
    integers: 0,
    powers: 0,
    regrouped: &[],
};

/// How words of quants are regrouped, so that the bits of each 32 elements can be extracted with a shift and a mask.
#[derive(Clone, Copy)]
pub(crate) enum Regroup {
    /// Eight words contain the 32 elements of one 32-block in their low nibbles and those of another in their high nibbles:
    /// the first four words receive the first 32-block and the last four the second, with elements 0..16 in the low and
    /// 16..32 in the high nibbles.
    Nibbles,
    /// Four words contain 16 elements of each of four 32-blocks, two bits per byte: word f receives the elements of the f-th
    /// 32-block, with element 4i + c in bits 2i of byte c.
    Pairs,
    /// Eight words contain 32 elements of each of eight 32-blocks, one bit per byte: word b receives the elements of the
    /// b-th 32-block, with element 4i + c in bit i of byte c.
    Bits,
    /// A word contains one bit of each of 32 elements: bit 4i + c moves to bit 8c + i.
    SpreadBits,
}

/// Declares [`BlockFormat`] and its rows. The types of `read` and `write` check the numbers of elements and bytes.
macro_rules! formats {
    ($(
        $(#[$doc:meta])*
        $format:ident {
            name: $name:literal,
            number: $number:literal,
            file_type: $file_type:expr,
            elements: $elements:literal,
            bytes: $bytes:literal,
            read: $read:path,
            write: $write:tt,
            smaller: $smaller:expr,
            panel: $panel:expr,
        }
    )*) => {
        /// A format of quantized blocks, as GGUF files define it. The elements of a block are consecutive elements of a row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum BlockFormat {
            $($(#[$doc])* $format,)*
        }

        impl BlockFormat {
            /// Every format.
            pub const ALL: [BlockFormat; [$($name),*].len()] = [$(BlockFormat::$format),*];

            /// The properties of the format.
            pub(super) const fn row(self) -> &'static Row {
                match self {
                    $(BlockFormat::$format => const {
                        &Row {
                            name: $name,
                            number: $number,
                            file_type: $file_type,
                            elements: $elements,
                            bytes: $bytes,
                            group: |block, number| {
                                (number < $elements / GROUP)
                                    .then(|| block.first_chunk::<$bytes>())
                                    .flatten()
                                    .map(|block| $read(block, number))
                            },
                            read: |blocks, out| each_block::<$bytes, $elements>(blocks, out, $read),
                            write: writer!($elements, $bytes, $write),
                            smaller: $smaller,
                            panel: $panel,
                        }
                    },)*
                }
            }
        }
    };
}

/// The function that writes blocks, if there is one.
macro_rules! writer {
    ($elements:literal, $bytes:literal, None) => {
        None
    };
    ($elements:literal, $bytes:literal, ($write:path)) => {
        Some(|values, out| each_write::<$elements, $bytes>(values, out, $write))
    };
}

formats! {
    /// 4 bits per weight and a scale.
    Q4_0 {
        name: "Q4_0",
        number: 2,
        file_type: Some(2),
        elements: 32,
        bytes: 18,
        read: legacy::read_q4_0,
        write: (legacy::write_q4_0),
        smaller: None,
        panel: ONE_SCALE,
    }

    /// 4 bits per weight, a scale and a minimum.
    Q4_1 {
        name: "Q4_1",
        number: 3,
        file_type: Some(3),
        elements: 32,
        bytes: 20,
        read: legacy::read_q4_1,
        write: (legacy::write_q4_1),
        smaller: None,
        panel: Panel { scales: 2, ..ONE_SCALE },
    }

    /// 5 bits per weight and a scale.
    Q5_0 {
        name: "Q5_0",
        number: 6,
        file_type: Some(8),
        elements: 32,
        bytes: 22,
        read: legacy::read_q5_0,
        write: (legacy::write_q5_0),
        smaller: None,
        panel: Panel { regrouped: &[(Regroup::SpreadBits, 0, 1)], ..ONE_SCALE },
    }

    /// 5 bits per weight, a scale and a minimum.
    Q5_1 {
        name: "Q5_1",
        number: 7,
        file_type: Some(9),
        elements: 32,
        bytes: 24,
        read: legacy::read_q5_1,
        write: (legacy::write_q5_1),
        smaller: None,
        panel: Panel { scales: 2, regrouped: &[(Regroup::SpreadBits, 0, 1)], ..ONE_SCALE },
    }

    /// 8 bits per weight and a scale.
    Q8_0 {
        name: "Q8_0",
        number: 8,
        file_type: Some(7),
        elements: 32,
        bytes: 34,
        read: legacy::read_q8_0,
        write: (legacy::write_q8_0),
        smaller: None,
        panel: ONE_SCALE,
    }

    /// 2 bits per weight; 16 scales and minimums of 4 bits.
    Q2K {
        name: "Q2_K",
        number: 10,
        file_type: None,
        elements: 256,
        bytes: 84,
        read: k_quants::read_q2_k,
        write: None,
        smaller: None,
        panel: Panel { halves_at: 80, scales: 2, regrouped: &[(Regroup::Pairs, 4, 20)], ..ONE_SCALE },
    }

    /// 3 bits per weight; 16 scales of 6 bits.
    Q3K {
        name: "Q3_K",
        number: 11,
        file_type: None,
        elements: 256,
        bytes: 110,
        read: k_quants::read_q3_k,
        write: None,
        smaller: None,
        panel: Panel { halves_at: 108, regrouped: &[(Regroup::Bits, 0, 8), (Regroup::Pairs, 8, 24)], ..ONE_SCALE },
    }

    /// 4 bits per weight; 8 scales and minimums of 6 bits.
    Q4K {
        name: "Q4_K",
        number: 12,
        file_type: Some(14),
        elements: 256,
        bytes: 144,
        read: k_quants::read_q4_k,
        write: (k_quants_write::write_q4_k),
        smaller: Some(BlockFormat::Q5_0),
        panel: Panel { scales: 2, regrouped: &[(Regroup::Nibbles, 3, 35)], ..ONE_SCALE },
    }

    /// 5 bits per weight; 8 scales and minimums of 6 bits.
    Q5K {
        name: "Q5_K",
        number: 13,
        file_type: Some(16),
        elements: 256,
        bytes: 176,
        read: k_quants::read_q5_k,
        write: (k_quants_write::write_q5_k),
        smaller: Some(BlockFormat::Q5_1),
        panel: Panel { scales: 2, regrouped: &[(Regroup::Bits, 3, 11), (Regroup::Nibbles, 11, 43)], ..ONE_SCALE },
    }

    /// 6 bits per weight; 16 scales of 8 bits.
    Q6K {
        name: "Q6_K",
        number: 14,
        file_type: Some(18),
        elements: 256,
        bytes: 210,
        read: k_quants::read_q6_k,
        write: (k_quants_write::write_q6_k),
        smaller: Some(BlockFormat::Q8_0),
        panel: Panel { halves_at: 208, regrouped: &[(Regroup::Nibbles, 0, 32), (Regroup::Pairs, 32, 48)], ..ONE_SCALE },
    }

    /// 4 bits per weight, through a table of 16 levels, and a scale.
    Iq4Nl {
        name: "IQ4_NL",
        number: 20,
        file_type: None,
        elements: 32,
        bytes: 18,
        read: iq4::read_iq4_nl,
        write: None,
        smaller: None,
        panel: ONE_SCALE,
    }

    /// 4 bits per weight, through a table of 16 levels; 8 scales of 6 bits.
    Iq4Xs {
        name: "IQ4_XS",
        number: 23,
        file_type: None,
        elements: 256,
        bytes: 136,
        read: iq4::read_iq4_xs,
        write: None,
        smaller: None,
        panel: Panel { integers: 1, ..ONE_SCALE },
    }

    /// 4 bits per weight: floats, 32 of which share a power of two.
    Mxfp4 {
        name: "MXFP4",
        number: 39,
        file_type: Some(38),
        elements: 32,
        bytes: 17,
        read: mxfp4::read_mxfp4,
        write: (mxfp4::write_mxfp4),
        smaller: None,
        panel: Panel { scales: 0, powers: 1, ..ONE_SCALE },
    }
}
