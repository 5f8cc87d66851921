//! Does the reader read what the writer writes, and does the writer refuse what is not a file?

use std::path::Path;

use proptest::prelude::*;
use smallmind::convert::gguf_file::{GgufWriter, NewKey, NewTensor};
use smallmind::files::gguf::{GgufFile, TensorType};
use smallmind::files::map::Mapped;
use smallmind::language::value::Value;

fn open(bytes: Vec<u8>) -> GgufFile {
    GgufFile::from_bytes(Path::new("some.gguf"), Mapped::from_vec(bytes)).unwrap()
}

fn tensor(name: &str, number: u32, shape: &[usize]) -> NewTensor {
    NewTensor {
        name: name.to_string(),
        tensor_type: TensorType(number),
        shape: shape.to_vec(),
    }
}

fn refusal(keys: &[NewKey], tensors: &[NewTensor]) -> String {
    GgufWriter::new(Vec::new(), keys, tensors)
        .unwrap_err()
        .to_string()
}

#[test]
fn keys_of_every_kind_come_back() {
    let keys = [
        NewKey::u32("u32", u32::MAX),
        NewKey::f32("f32", 0.1),
        NewKey::bool("bool", true),
        NewKey::text("text", "tëxt"),
        NewKey::texts("texts", ["a", "", "ab"].into_iter()),
    ];
    let first = open(
        GgufWriter::new(Vec::new(), &keys, &[])
            .unwrap()
            .finish()
            .unwrap(),
    );
    // The second is copied key by key from the first.
    let copies: Vec<_> = first
        .metadata()
        .keys()
        .filter_map(|key| NewKey::copied(first.metadata(), key))
        .collect();
    let second = open(
        GgufWriter::new(Vec::new(), &copies, &[])
            .unwrap()
            .finish()
            .unwrap(),
    );
    let texts = ["a", "", "ab"].map(|text| Value::Str(text.into()));
    for file in [first, second] {
        let get = |key| file.metadata().get(key);
        assert_eq!(get("u32"), Some(Value::Int(u32::MAX.into())));
        assert_eq!(get("f32"), Some(Value::Float(0.1f32.into())));
        assert_eq!(get("bool"), Some(Value::Bool(true)));
        assert_eq!(get("text"), Some(Value::Str("tëxt".into())));
        assert_eq!(get("texts"), Some(Value::List(texts.to_vec())));
        assert_eq!(file.metadata().keys().count(), 5);
    }
}

#[test]
fn data_must_be_as_long_as_the_tensors() {
    let tensors = [tensor("a", 0, &[2]), tensor("b", 0, &[1])];
    let begin = || GgufWriter::new(Vec::new(), &[], &tensors).unwrap();
    let mut short = begin();
    short.write(&[0; 9]).unwrap();
    let message = short.finish().unwrap_err().to_string();
    assert_eq!(message, "tensor `b`: 1 of its 4 bytes have been written");
    let message = begin().write(&[0; 13]).unwrap_err().to_string();
    assert_eq!(message, "1 bytes came after the last tensor's data");
}

#[test]
fn what_would_not_be_a_valid_file_is_refused() {
    let key = NewKey::u32("k", 1);
    for (keys, tensors, named) in [
        (
            vec![key.clone(), key],
            vec![],
            "metadata key `k`: it occurs twice",
        ),
        (
            vec![NewKey::u32("general.alignment", 24)],
            vec![],
            "power of two",
        ),
        (
            vec![NewKey::text("general.alignment", "1234")],
            vec![],
            "power of two",
        ),
        (
            vec![],
            vec![tensor("t", 0, &[1]), tensor("t", 0, &[1])],
            "tensor `t`: it occurs twice",
        ),
        (
            vec![],
            vec![tensor("t", 0, &[])],
            "should be 1 to 4 dimensions",
        ),
        (
            vec![],
            vec![tensor("t", 0, &[1; 5])],
            "should be 1 to 4 dimensions",
        ),
        (vec![], vec![tensor("t", 0, &[2, 0])], "none of them 0"),
        (
            vec![],
            vec![tensor("t", 12, &[2, 128])],
            "not made of whole blocks of 256",
        ),
        (vec![], vec![tensor("t", 99, &[1])], "not known"),
        (
            vec![],
            vec![tensor("t", 0, &[usize::MAX, 2])],
            "too many elements",
        ),
    ] {
        let message = refusal(&keys, &tensors);
        assert!(message.contains(named), "{message}");
    }
}

proptest! {
    #[test]
    fn tensors_of_any_shape_come_back_however_the_data_is_cut(
        shapes in prop::collection::vec(prop::collection::vec(1usize..5, 1..5), 1..6),
        alignment in prop_oneof![Just(None), (0u32..9).prop_map(|bits| Some(1 << bits))],
        cut in 1usize..100,
    ) {
        let tensors: Vec<_> = shapes
            .iter()
            .enumerate()
            .map(|(i, shape)| tensor(&format!("t{i}"), [0, 1, 24][i % 3], shape))
            .collect();
        let sizes: Vec<_> = tensors
            .iter()
            .map(|tensor| tensor.tensor_type.bytes_of(&tensor.shape).unwrap() as usize)
            .collect();
        let data: Vec<u8> = (0..sizes.iter().sum()).map(|i: usize| (i * 7) as u8).collect();
        let keys: Vec<_> = alignment.iter().map(|&n| NewKey::u32("general.alignment", n)).collect();
        let mut writer = GgufWriter::new(Vec::new(), &keys, &tensors).unwrap();
        for piece in data.chunks(cut) {
            writer.write(piece).unwrap();
        }
        let bytes = writer.finish().unwrap();
        prop_assert_eq!(bytes.len() % alignment.unwrap_or(32) as usize, 0);
        let file = open(bytes);
        let mut start = 0;
        for (tensor, size) in tensors.iter().zip(sizes) {
            let found = file.tensor(&tensor.name).unwrap();
            prop_assert_eq!(found.tensor_type, tensor.tensor_type);
            prop_assert_eq!(found.shape, &tensor.shape[..]);
            prop_assert_eq!(found.bytes.unwrap(), &data[start..start + size]);
            start += size;
        }
    }
}
