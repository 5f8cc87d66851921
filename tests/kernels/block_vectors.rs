//! Do blocks have the same bits as in the reference? Vectors: tests/data/blocks/make.py.

use std::fs;
use std::path::Path;

use smallmind::blocks::BlockFormat;

fn data(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/blocks");
    fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn floats(name: &str) -> Vec<f32> {
    let bytes = data(name);
    let (floats, rest) = bytes.as_chunks();
    assert!(rest.is_empty(), "{name}");
    floats.iter().copied().map(f32::from_le_bytes).collect()
}

/// The bits, with all NaNs made equal: nobody promises payloads.
fn bits(value: f32) -> u32 {
    if value.is_nan() {
        f32::NAN.to_bits()
    } else {
        value.to_bits()
    }
}

#[test]
fn dequantized_blocks_equal_the_reference_to_the_bit() {
    for format in BlockFormat::ALL {
        let (blocks, expected) = (
            data(&format!("{format}.blocks")),
            floats(&format!("{format}.f32")),
        );
        assert_eq!(
            blocks.len() / format.bytes() * format.elements(),
            expected.len()
        );
        let mut found = vec![0.0; expected.len()];
        format.dequantize(&blocks, &mut found);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let block = i / format.elements();
            assert_eq!(
                bits(*found),
                bits(*expected),
                "{format}, block {block}, element {i}"
            );
        }
    }
}

#[test]
fn lengths_that_disagree_leave_the_rest_alone() {
    for format in BlockFormat::ALL {
        let blocks = data(&format!("{format}.blocks"));
        let (bytes, elements) = (format.bytes(), format.elements());
        // Half a block results in nothing, and an output of half a block receives nothing.
        for (given, room) in [
            (bytes + bytes / 2, 2 * elements),
            (2 * bytes, elements + elements / 2),
        ] {
            let mut out = vec![9.5; room];
            format.dequantize(&blocks[..given], &mut out);
            let mut whole = vec![0.0; elements];
            format.dequantize(&blocks[..bytes], &mut whole);
            assert!(
                out.iter().zip(&whole).all(|(a, b)| bits(*a) == bits(*b)),
                "{format}"
            );
            assert!(out[elements..].iter().all(|&x| x == 9.5), "{format}");
        }
    }
}

#[test]
fn quantized_blocks_equal_the_reference_to_the_byte() {
    let values = floats("values.f32");
    for format in BlockFormat::ALL {
        let mut found = vec![0xa5; values.len() / format.elements() * format.bytes()];
        if format.quantize(&values, &mut found).is_err() {
            continue;
        }
        let expected = data(&format!("{format}.quantized"));
        let blocks = found
            .chunks(format.bytes())
            .zip(expected.chunks(format.bytes()));
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in blocks.enumerate() {
            assert_eq!(found, expected, "{format}, block {i}");
        }
    }
}
