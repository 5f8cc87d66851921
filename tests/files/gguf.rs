//! Are GGUF files read exactly, and is every lie in them an error instead of a panic or a huge allocation?

use std::path::Path;

use proptest::prelude::*;
use smallmind::files::gguf::{GgufFile, Metadata};
use smallmind::files::map::Mapped;
use smallmind::files::weight_file::TensorFileError;
use smallmind::language::value::Value;
use tempfile::TempDir;

use crate::common::gguf::{Meta, Stored, Writer, text};

fn open(bytes: Vec<u8>) -> Result<GgufFile, TensorFileError> {
    GgufFile::from_bytes(Path::new("some.gguf"), Mapped::from_vec(bytes))
}

/// The error of a file that must be refused, opened whole or only its header, as text.
fn refusal(bytes: &[u8]) -> String {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("some.gguf");
    std::fs::write(&path, bytes).unwrap();
    let header = GgufFile::open_header(&path).expect_err("the header must be refused");
    let message = open(bytes.to_vec())
        .expect_err("the file must be refused")
        .to_string();
    assert!(message.starts_with("some.gguf: "), "{message}");
    let header = header.to_string();
    assert!(header.ends_with(&message), "{header} is not {message}");
    message
}

fn f32s(values: &[f32]) -> Vec<u8> {
    Stored::F32.bytes(values)
}

/// `a`: F32 [2, 3]; `b`: F16 [4]; `c`: Q8_0 [1, 32].
fn small() -> Writer {
    let c: Vec<f32> = (0..32).map(|i| (i - 16) as f32).collect();
    Writer::new()
        .with("general.architecture", Meta::Text("some".into()))
        .with(
            "some.numbers",
            Meta::Array(5, vec![Meta::I32(-1), Meta::I32(7)]),
        )
        .with(
            "some.texts",
            Meta::Array(8, vec![Meta::Text("one".into()), Meta::Text(String::new())]),
        )
        .with("some.yes", Meta::Bool(true))
        .tensor("a", &[3, 2], 0, f32s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
        .tensor("b", &[4], 1, Stored::F16.bytes(&[0.5, -1.0, 2.0, 1e-7]))
        .tensor("c", &[32, 1], 8, Stored::Q8_0.bytes(&c))
}

#[test]
fn tensors_are_read_with_the_innermost_dimension_first() {
    for version in [2, 3] {
        let file = open(Writer { version, ..small() }.bytes()).unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["a", "b", "c"]);
        let a = file.weight("a").unwrap();
        assert_eq!(a.shape(), [2, 3]);
        assert_eq!(a.to_f32(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let b = file.weight("b").unwrap().to_f32();
        assert_eq!(b, Stored::F16.rounded(&[0.5, -1.0, 2.0, 1e-7]));
        let c: Vec<f32> = (0..32).map(|i| (i - 16) as f32).collect();
        assert_eq!(file.weight("c").unwrap().to_f32(), Stored::Q8_0.rounded(&c));
        assert_eq!(file.header("c").unwrap().written, "Q8_0");
    }
}

#[test]
fn scales_that_are_infinite_nan_or_denormal_are_multiplied_like_others() {
    let quants: Vec<u8> = (0..32).map(|i| (i * 8 - 128) as u8).collect();
    for (bits, scale) in [
        (0x7c00u16, f32::INFINITY),
        (0xfc00, f32::NEG_INFINITY),
        (0x7e00, f32::NAN),
        (0x0001, 1.0 / 16_777_216.0),
        (0x83ff, -1023.0 / 16_777_216.0),
    ] {
        let block = [&bits.to_le_bytes()[..], &quants].concat();
        let file = open(Writer::new().tensor("t", &[32], 8, block).bytes()).unwrap();
        for (found, &quant) in file.weight("t").unwrap().to_f32().iter().zip(&quants) {
            let expected = scale * f32::from(quant as i8);
            let equal = found.to_bits() == expected.to_bits();
            assert!(
                equal || (found.is_nan() && expected.is_nan()),
                "{bits:#x} {quant}"
            );
        }
    }
}

#[test]
fn metadata_of_every_type_is_read() {
    let deep = Meta::Array(
        9,
        vec![
            Meta::Array(0, vec![Meta::U8(1)]),
            Meta::Array(7, vec![Meta::Bool(false)]),
        ],
    );
    let values = [
        (Meta::U8(200), Value::Int(200)),
        (Meta::I8(-3), Value::Int(-3)),
        (Meta::U16(65_535), Value::Int(65_535)),
        (Meta::I16(-300), Value::Int(-300)),
        (Meta::U32(u32::MAX), Value::Int(4_294_967_295)),
        (Meta::I32(i32::MIN), Value::Int(-2_147_483_648)),
        (Meta::F32(0.1), Value::Float(f64::from(0.1f32))),
        (Meta::F32(f32::NAN), Value::Str("NaN".into())),
        (Meta::F64(f64::NEG_INFINITY), Value::Str("-Infinity".into())),
        (Meta::Bool(true), Value::Bool(true)),
        (Meta::Text("tëxt".into()), Value::Str("tëxt".into())),
        (Meta::U64(1 << 40), Value::Int(1 << 40)),
        (
            Meta::U64(1 << 63),
            Value::Float(9_223_372_036_854_775_808.0),
        ),
        (Meta::I64(i64::MIN), Value::Int(i64::MIN)),
        (Meta::F64(0.1), Value::Float(0.1)),
        (
            deep,
            Value::List(vec![
                Value::List(vec![Value::Int(1)]),
                Value::List(vec![Value::Bool(false)]),
            ]),
        ),
    ];
    let mut writer = Writer::new();
    for (i, (meta, _)) in values.iter().enumerate() {
        writer = writer.with(&format!("key.{i}"), meta.clone());
    }
    let file = open(writer.bytes()).unwrap();
    for (i, (_, value)) in values.iter().enumerate() {
        assert_eq!(
            file.metadata().get(&format!("key.{i}")).as_ref(),
            Some(value)
        );
    }
    assert_eq!(file.metadata().get("key"), None);
    let last = format!("key.{}.length", values.len() - 1);
    assert_eq!(file.metadata().get(&last), Some(Value::Int(2)));
    assert_eq!(file.metadata().get("key.0.length"), None);
}

#[test]
fn only_the_length_of_a_long_array_is_returned() {
    let tokens = (0..100_000).map(|id| Meta::Text(format!("token {id}")));
    let bytes = Writer::new()
        .with("tokens", Meta::Array(8, tokens.collect()))
        .with("after", Meta::U8(3))
        .bytes();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("some.gguf");
    std::fs::write(&path, &bytes).unwrap();
    for file in [open(bytes).unwrap(), GgufFile::open_header(&path).unwrap()] {
        let metadata: &Metadata = file.metadata();
        assert_eq!(metadata.get("tokens"), None);
        assert_eq!(metadata.get("tokens.length"), Some(Value::Int(100_000)));
        assert_eq!(metadata.array_len("tokens"), Some(100_000));
        assert_eq!(metadata.integer("after"), Some(3));
    }
}

#[test]
fn a_header_is_read_without_its_data() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("some.gguf");
    let bytes = small().bytes();
    std::fs::write(&path, &bytes[..bytes.len() - 34]).unwrap();
    assert!(GgufFile::open(&path).is_err());
    let file = GgufFile::open_header(&path).unwrap();
    assert_eq!(file.header("a").unwrap().shape, [2, 3]);
    assert!(matches!(
        file.weight("a"),
        Err(TensorFileError::HeaderOnly { .. })
    ));
}

#[test]
fn other_alignments_are_honoured() {
    for alignment in [1u32, 8, 64, 4096] {
        let writer = Writer {
            alignment: alignment as usize,
            ..small()
        };
        let file = open(
            writer
                .with("general.alignment", Meta::U32(alignment))
                .bytes(),
        )
        .unwrap();
        assert_eq!(file.weight("a").unwrap().to_f32()[5], 6.0);
        assert_eq!(file.weight("b").unwrap().to_f32()[0], 0.5);
    }
    for (value, named) in [
        (Meta::U32(0), "power of two"),
        (Meta::U32(24), "power of two"),
        (Meta::I32(-32), "power of two"),
        (Meta::U64(1 << 32), "power of two"),
        (Meta::F32(32.0), "power of two"),
        (Meta::Text("32".into()), "power of two"),
    ] {
        let message = refusal(&small().with("general.alignment", value).bytes());
        assert!(
            message.contains("`general.alignment`") && message.contains(named),
            "{message}"
        );
    }
}

#[test]
fn unsupported_types_are_errors_only_when_they_are_read() {
    let file = small()
        .tensor("k", &[256], 16, vec![0; 66])
        .tensor("x", &[7], 77, vec![0; 5]);
    let file = open(file.bytes()).unwrap();
    assert_eq!(file.weight("a").unwrap().to_f32()[0], 1.0);
    assert_eq!(file.header("k").unwrap().dtype, None);
    for (name, found) in [("k", "IQ2_XXS"), ("x", "type 77 (unknown)")] {
        assert_eq!(
            file.weight(name).unwrap_err().to_string(),
            format!(
                "some.gguf: tensor `{name}` has elements of type {found}; expected F32, F16, BF16 or quantized blocks that are known"
            )
        );
    }
    assert!(matches!(
        file.weight("none"),
        Err(TensorFileError::NotFound { .. })
    ));
}

/// The beginning of a file: magic, version 3, counts.
fn head(tensors: u64, keys: u64) -> Vec<u8> {
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend(tensors.to_le_bytes());
    out.extend(keys.to_le_bytes());
    out
}

/// A file with one metadata key, whose type and bytes are given.
fn key(name: &[u8], number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = head(0, 1);
    text(&mut out, name);
    out.extend(number.to_le_bytes());
    out.extend(bytes);
    out.extend([0; 64]);
    out
}

/// A file with one tensor with this description, and 64 bytes of data.
fn tensor(name: &[u8], dims: &[u64], number: u32, offset: u64) -> Vec<u8> {
    let mut out = head(1, 0);
    text(&mut out, name);
    out.extend((dims.len() as u32).to_le_bytes());
    dims.iter().for_each(|dim| out.extend(dim.to_le_bytes()));
    out.extend(number.to_le_bytes());
    out.extend(offset.to_le_bytes());
    out.resize(out.len().next_multiple_of(32) + 64, 0);
    out
}

#[test]
fn a_file_that_is_not_gguf_is_refused() {
    for (bytes, named) in [
        (b"GG".to_vec(), "4 bytes are claimed, but 2 bytes follow"),
        (b"PK\x03\x04 and more".to_vec(), "not a GGUF file"),
        (b"GGUF".to_vec(), "4 bytes are claimed, but 0 bytes follow"),
        (b"GGUF\x01\0\0\0\0\0\0\0".to_vec(), "version 1 of GGUF"),
        (b"GGUF\x04\0\0\0\0\0\0\0".to_vec(), "version 4 of GGUF"),
        (b"GGUF\0\0\0\x03\0\0\0\0".to_vec(), "big-endian"),
    ] {
        let message = refusal(&bytes);
        assert!(message.contains(named), "{message}");
    }
}

#[test]
fn every_truncation_of_a_header_is_refused() {
    let bytes = small().bytes();
    let data = 32 * 3 + 2;
    for length in 1..bytes.len() - data {
        refusal_of_prefix(&bytes[..length]);
    }
    for length in bytes.len() - data..bytes.len() {
        let message = open(bytes[..length].to_vec()).unwrap_err().to_string();
        assert!(message.contains("it is cut off"), "{length}: {message}");
    }
    open(bytes).unwrap();
}

fn refusal_of_prefix(bytes: &[u8]) {
    let message = open(bytes.to_vec()).expect_err("cut off").to_string();
    assert!(message.contains("cut off"), "{message}");
}

#[test]
fn counts_and_lengths_beyond_the_file_are_refused() {
    const HUGE: u64 = 1 << 60;
    let array = |element: u32, count: u64| {
        let mut out = element.to_le_bytes().to_vec();
        out.extend(count.to_le_bytes());
        out
    };
    for (bytes, named) in [
        (head(HUGE, 0), "1152921504606846976 tensors are claimed"),
        (
            head(0, HUGE),
            "1152921504606846976 metadata keys are claimed",
        ),
        (head(u64::MAX, u64::MAX), "metadata keys are claimed"),
        (
            [&head(0, 1)[..], &HUGE.to_le_bytes(), &[0; 64]].concat(),
            "metadata key 0 (from 0): 1152921504606846976 bytes are claimed",
        ),
        (
            key(b"k", 8, &HUGE.to_le_bytes()),
            "metadata key `k`: 1152921504606846976 bytes are claimed",
        ),
        (
            key(b"k", 9, &array(0, HUGE)),
            "values of an array are claimed",
        ),
        (
            key(b"k", 9, &array(10, u64::MAX)),
            "values of an array are claimed",
        ),
        (
            key(b"k", 9, &array(8, HUGE)),
            "values of an array are claimed",
        ),
        (
            key(b"k", 9, &array(9, HUGE)),
            "values of an array are claimed",
        ),
        (
            [&head(1, 0)[..], &HUGE.to_le_bytes(), &[0; 64]].concat(),
            "tensor 0 (from 0): 1152921504606846976 bytes are claimed",
        ),
    ] {
        let message = refusal(&bytes);
        assert!(message.contains(named), "{message}");
    }
}

#[test]
fn metadata_that_means_nothing_is_refused() {
    let mut nested = Meta::U8(1);
    for _ in 0..1000 {
        let number = nested.number();
        nested = Meta::Array(number, vec![nested]);
    }
    let with = |value| Writer::new().with("k", value).bytes();
    for (bytes, named) in [
        (
            key(b"k", 13, &[]),
            "metadata key `k`: unknown value type 13",
        ),
        (key(b"k", 7, &[2]), "metadata key `k`: a boolean can't be 2"),
        (
            key(b"k", 9, &[7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9]),
            "a boolean can't be 9",
        ),
        (
            key(b"k", 9, &[99, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
            "unknown value type 99",
        ),
        (key(b"\xff\xfek", 0, &[1]), "is not UTF-8"),
        (
            with(nested),
            "metadata key `k`: more than 8 arrays lie inside each other",
        ),
        (
            Writer::new()
                .with("k", Meta::U8(1))
                .with("k", Meta::U8(1))
                .bytes(),
            "metadata key `k`: it occurs twice",
        ),
    ] {
        let message = refusal(&bytes);
        assert!(message.contains(named), "{message}");
    }
}

#[test]
fn text_values_that_are_not_utf_8_are_read_with_replacements() {
    let file = open(key(b"k", 8, b"\x02\0\0\0\0\0\0\0\xffa")).unwrap();
    assert_eq!(
        file.metadata().get("k"),
        Some(Value::Str("\u{fffd}a".into()))
    );
}

#[test]
fn impossible_tensors_are_refused() {
    const HUGE: u64 = 1 << 60;
    for (bytes, named) in [
        (tensor(b"t", &[], 0, 0), "tensor `t`: 0 dimensions"),
        (tensor(b"t", &[1; 5], 0, 0), "tensor `t`: 5 dimensions"),
        (
            tensor(b"t", &[4, 0], 0, 0),
            "tensor `t`: a dimension can't be 0",
        ),
        (
            tensor(b"t", &[HUGE, HUGE], 0, 0),
            "tensor `t`: too many elements",
        ),
        (
            tensor(b"t", &[1 << 31, 1 << 31, 2], 0, 0),
            "tensor `t`: too many elements",
        ),
        (
            tensor(b"t", &[HUGE, HUGE], 77, 0),
            "tensor `t`: too many elements (type 77 (unknown)",
        ),
        (
            tensor(b"t", &[HUGE], 0, u64::MAX - 31),
            "beyond what can be addressed",
        ),
        (
            tensor(b"t", &[8], 0, u64::MAX - 31),
            "beyond what can be addressed",
        ),
        (
            tensor(b"t", &[8], 0, 8),
            "not a multiple of the alignment, 32",
        ),
        (
            tensor(b"t", &[33], 8, 0),
            "rows of 33 elements are not made of whole blocks of 32",
        ),
        (tensor(b"\xff", &[8], 0, 0), "is not UTF-8"),
    ] {
        let message = refusal(&bytes);
        assert!(message.contains(named), "{message}");
    }
    for (dims, offset) in [(&[17][..], 0), (&[HUGE][..], 0), (&[8], 64), (&[8], HUGE)] {
        let message = open(tensor(b"t", dims, 0, offset)).unwrap_err().to_string();
        assert!(
            message.starts_with("some.gguf: tensor `t`: it takes"),
            "{message}"
        );
    }
}

#[test]
fn tensors_must_not_share_bytes_or_names() {
    let mut bytes = small().bytes();
    // The offset of `b` is the only number 32 in 64 bits that follows type 1.
    let pattern = [&1u32.to_le_bytes()[..], &32u64.to_le_bytes()].concat();
    let at = bytes
        .windows(12)
        .position(|window| window == pattern)
        .unwrap();
    bytes[at + 4] = 0;
    let message = refusal(&bytes);
    assert!(message.contains("lies in the tensor before"), "{message}");

    let twice = small().tensor("a", &[1], 0, f32s(&[1.0]));
    let message = refusal(&twice.bytes());
    assert!(message.contains("tensor `a`: it occurs twice"), "{message}");
}

/// Uses everything that a file offers; the results may be errors.
fn exercise(file: &GgufFile) {
    for name in file.names() {
        let shape = file.header(name).unwrap().shape;
        if let Ok(weight) = file.weight(name) {
            let elements: usize = shape.iter().product();
            assert_eq!(weight.to_f32().len(), elements);
        }
    }
    for key in file.metadata().keys() {
        file.metadata().get(key);
        file.metadata().get(&format!("{key}.length"));
        file.metadata().integer(key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn changed_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        length in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = small().bytes();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len()));
        }
        if let Ok(file) = open(bytes) {
            exercise(&file);
        }
    }

    /// The layout stays the same; only its numbers are wrong.
    #[test]
    fn changed_numbers_never_panic(
        dims in prop::collection::vec(prop_oneof![0u64..70, any::<u64>()], 0..6),
        number in prop_oneof![0u32..45, any::<u32>()],
        offset in prop_oneof![(0u64..4).prop_map(|n| n * 32), any::<u64>()],
        alignment in prop_oneof![0u32..70, any::<u32>()],
        count in prop_oneof![0u64..4, any::<u64>()],
    ) {
        if let Ok(file) = open(tensor(b"t", &dims, number, offset)) {
            exercise(&file);
        }
        let aligned = small().with("general.alignment", Meta::U32(alignment));
        if let Ok(file) = open(aligned.bytes()) {
            exercise(&file);
        }
        let array = [&(number % 14).to_le_bytes()[..], &count.to_le_bytes()].concat();
        if let Ok(file) = open(key(b"k", 9, &array)) {
            exercise(&file);
        }
    }
}
