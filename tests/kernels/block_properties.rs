//! Do blocks represent any floats as closely as they should?

use proptest::prelude::*;
use smallmind::blocks::BlockFormat;

/// 256 floats whose magnitudes differ a lot or a little.
fn floats() -> impl Strategy<Value = Vec<f32>> {
    let magnitudes = (-8i32..8, 0u32..4);
    (
        magnitudes,
        prop::collection::vec((-1.0f32..1.0, 0u32..4), 256),
    )
        .prop_map(|((power, spread), values)| {
            let scale = |down: u32| 2f32.powi(power - (down * spread) as i32);
            values
                .iter()
                .map(|&(value, down)| value * scale(down))
                .collect()
        })
}

fn quantized(format: BlockFormat, values: &[f32]) -> Vec<u8> {
    let mut blocks = vec![0; values.len() / format.elements() * format.bytes()];
    format.quantize(values, &mut blocks).unwrap();
    blocks
}

fn dequantized(format: BlockFormat, blocks: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; blocks.len() / format.bytes() * format.elements()];
    format.dequantize(blocks, &mut values);
    values
}

fn written() -> impl Iterator<Item = BlockFormat> {
    let formats = BlockFormat::ALL.into_iter();
    formats.filter(|format| format.is_written())
}

/// How much an element may lose, as a part of its block's range (the largest magnitude, or the distance between the least
/// and the greatest of the elements and 0): half a step, and what rounding the scale and, for blocks of 256, the groups'
/// scales may add.
fn tolerance(format: BlockFormat) -> f32 {
    match format {
        BlockFormat::Q8_0 => 0.6 / 127.0,
        BlockFormat::Q6K => 1.2 / 31.0,
        BlockFormat::Q5_0 | BlockFormat::Q5_1 => 1.1 / 16.0,
        BlockFormat::Q5K => 2.0 / 31.0,
        BlockFormat::Q4_0 | BlockFormat::Q4_1 => 1.1 / 8.0,
        // From 6, the greatest level, to 8, where the next power becomes the scale.
        BlockFormat::Mxfp4 => 2.0 / 8.0,
        _ => 2.0 / 15.0,
    }
}

proptest! {
    #[test]
    fn no_element_moves_further_than_its_format_allows(values in floats()) {
        for format in written() {
            let found = dequantized(format, &quantized(format, &values));
            let blocks = values.chunks(format.elements()).zip(found.chunks(format.elements()));
            for (values, found) in blocks {
                let ends = values.iter().fold((0f32, 0f32), |(a, b), &x| (a.min(x), b.max(x)));
                let range = (ends.1 - ends.0).max(1e-2);
                for (value, found) in values.iter().zip(found) {
                    prop_assert!(
                        (value - found).abs() <= tolerance(format) * range,
                        "{format}: {value} became {found} in a range of {range}"
                    );
                }
            }
        }
    }

    #[test]
    fn q8_0_of_what_it_means_is_itself(values in floats()) {
        let format = BlockFormat::Q8_0;
        let blocks = quantized(format, &values);
        prop_assert_eq!(&quantized(format, &dequantized(format, &blocks)), &blocks);
    }

    #[test]
    fn blocks_are_independent_of_their_neighbours(values in floats(), other in floats()) {
        for format in written() {
            let both = quantized(format, &[values.clone(), other.clone()].concat());
            let alone = [quantized(format, &values), quantized(format, &other)].concat();
            prop_assert_eq!(both, alone, "{}", format);
        }
    }

    /// Whatever bytes a file contains, reading its blocks returns the right number of floats.
    #[test]
    fn any_bytes_are_blocks(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in BlockFormat::ALL {
            let mut out = vec![7.5; 600];
            format.dequantize(&bytes, &mut out);
            let read = bytes.len() / format.bytes() * format.elements();
            prop_assert!(out.iter().skip(read).all(|&x| x == 7.5));
        }
    }

    /// Values that are not finite are quantized to something, and do not affect the blocks around them.
    #[test]
    fn values_that_are_not_finite_stay_within_their_block(
        values in floats(),
        bits in any::<u32>(),
        place in 0usize..256,
    ) {
        for format in written() {
            let mut doubled = [values.clone(), values.clone()].concat();
            doubled[place] = f32::from_bits(bits | 0x7f80_0000);
            let found = quantized(format, &doubled);
            let half = found.len() / 2;
            prop_assert_eq!(&found[half..], &quantized(format, &values)[..], "{}", format);
        }
    }
}

#[test]
fn zeros_become_zeros_in_every_format() {
    for format in written() {
        let found = dequantized(format, &quantized(format, &[0.0; 256]));
        assert!(found.iter().all(|&x| x == 0.0), "{format}");
    }
}

#[test]
fn formats_that_are_only_read_say_so() {
    let formats = BlockFormat::ALL.into_iter();
    for format in formats.filter(|format| !format.is_written()) {
        let error = format.quantize(&[0.0; 256], &mut [0; 256]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("blocks of {format} are read, not written")
        );
    }
}
