//! Are models in several GGUF files read as one, and is a part that does not fit an error that names the file?

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use smallmind::files::gguf::open_parts;
use smallmind::files::weight_files::{Open, WeightFiles};
use smallmind::{Model, Options};
use tempfile::TempDir;

use crate::common::gguf::{Meta, Stored, Writer, convert};

/// Part `number` (from 1) of `count`, with its own tensor.
fn part(number: u16, count: u16) -> Writer {
    let values = Stored::F32.bytes(&[f32::from(number); 8]);
    Writer::new()
        .with("split.no", Meta::U16(number - 1))
        .with("split.count", Meta::U16(count))
        .with("split.tensors.count", Meta::I32(count.into()))
        .tensor(&format!("t{number}"), &[8], 0, values)
}

fn path(folder: &TempDir, number: u16, count: u16) -> PathBuf {
    folder
        .path()
        .join(format!("model-v1-{number:05}-of-{count:05}.gguf"))
}

/// The parts in a folder, each changed by `change`.
fn written(count: u16, change: impl Fn(u16, Writer) -> Writer) -> TempDir {
    let folder = TempDir::new().unwrap();
    for number in 1..=count {
        let part = change(number, part(number, count));
        fs::write(path(&folder, number, count), part.bytes()).unwrap();
    }
    folder
}

fn refusal(path: &Path) -> String {
    let [data, headers] = [Open::Data, Open::Headers].map(|open| {
        let error = WeightFiles::open(path, open).expect_err("must be refused");
        error.to_string()
    });
    assert_eq!(data, headers);
    data
}

#[test]
fn every_part_leads_to_the_whole_model() {
    let folder = written(3, |_, part| part);
    for number in 1..=3 {
        for open in [Open::Data, Open::Headers] {
            let files = WeightFiles::open(&path(&folder, number, 3), open).unwrap();
            assert_eq!(files.names().collect::<Vec<_>>(), ["t1", "t2", "t3"]);
        }
        let files = WeightFiles::open(&path(&folder, number, 3), Open::Data).unwrap();
        assert_eq!(files.weight("t2").unwrap().to_f32(), [2.0; 8]);
    }
}

#[test]
fn the_metadata_comes_from_the_first_part() {
    let folder = written(2, |number, part| match number {
        1 => part.with("general.name", Meta::Text("first".into())),
        _ => part,
    });
    let (first, others) = open_parts(&path(&folder, 2, 2), Open::Headers).unwrap();
    assert_eq!(first.path(), path(&folder, 1, 2));
    assert_eq!(others.len(), 1);
    assert!(first.metadata().keys().any(|key| key == "general.name"));
}

#[test]
fn a_model_in_parts_has_the_bits_of_the_whole() {
    let whole = convert("llama", Stored::F32);
    let folder = TempDir::new().unwrap();
    let single = folder.path().join("single.gguf");
    fs::write(&single, whole.bytes()).unwrap();
    let half = whole.tensors.len() / 2;
    for (number, tensors) in [(1, &whole.tensors[..half]), (2, &whole.tensors[half..])] {
        let meta = if number == 1 {
            whole.meta.clone()
        } else {
            Vec::new()
        };
        let part = Writer {
            meta,
            tensors: tensors.to_vec(),
            ..Writer::new()
        };
        let part = part
            .with("split.no", Meta::U16(number - 1))
            .with("split.count", Meta::U16(2))
            .with("split.tensors.count", Meta::I32(whole.tensors.len() as i32));
        fs::write(path(&folder, number, 2), part.bytes()).unwrap();
    }
    let logits = |path: PathBuf| {
        let model = Model::open(path, &Options::default()).unwrap();
        let mut session = model.session().unwrap();
        let logits = session.prefill(&[3, 1, 4]).unwrap();
        logits.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let expected = logits(single);
    assert_eq!(logits(path(&folder, 1, 2)), expected);
    assert_eq!(logits(path(&folder, 2, 2)), expected);
}

#[test]
fn a_missing_part_is_named() {
    let folder = written(3, |_, part| part);
    fs::remove_file(path(&folder, 2, 3)).unwrap();
    let message = refusal(&path(&folder, 3, 3));
    assert!(
        message.contains("model-v1-00002-of-00003.gguf: part 2 of 3 of the model"),
        "{message}"
    );
    assert!(message.ends_with("is missing"), "{message}");
}

#[test]
fn a_part_whose_name_does_not_identify_the_others_is_refused() {
    let folder = written(3, |_, part| part);
    for name in [
        "model.gguf",
        "model-00001-of-00004.gguf",
        "model-00004-of-00003.gguf",
        "model-00000-of-00003.gguf",
        "model-1-of-3.gguf",
        "model-00001-00003.gguf",
        "model-+0001-of-00003.gguf",
    ] {
        let renamed = folder.path().join(name);
        fs::copy(path(&folder, 1, 3), &renamed).unwrap();
        let message = refusal(&renamed);
        assert!(
            message.contains(name) && message.contains("one of 3 parts of a model"),
            "{message}"
        );
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let replaced = |key: &'static str, value: Option<Meta>| {
        written(3, move |number, mut part| {
            if number == 2 {
                part.meta.retain(|(found, _)| found != key);
                part.meta
                    .extend(value.clone().map(|value| (key.to_string(), value)));
            }
            part
        })
    };
    for (folder, file, named) in [
        (
            replaced("split.count", Some(Meta::U16(2))),
            2,
            "must have 3 for `split.count`, but has 2",
        ),
        (
            replaced("split.count", None),
            2,
            "must have 3 for `split.count`, but has no integer",
        ),
        (
            replaced("split.no", Some(Meta::U16(2))),
            2,
            "must have 1 for `split.no`, but has 2",
        ),
        (
            replaced("split.no", None),
            2,
            "must have 1 for `split.no`, but has no integer",
        ),
        (
            written(3, |number, part| match number {
                3 => part.tensor("t1", &[8], 0, vec![0; 32]),
                _ => part,
            }),
            3,
            "tensor `t1`: it is also in",
        ),
        (
            written(3, |number, mut part| {
                if number == 1 {
                    part.meta.pop();
                    return part.with("split.tensors.count", Meta::I32(4));
                }
                part
            }),
            1,
            "the 3 parts of the model should have 4 tensors",
        ),
    ] {
        let message = refusal(&path(&folder, 1, 3));
        assert!(message.contains(named), "{message}");
        let file = path(&folder, file, 3).display().to_string();
        assert!(message.starts_with(&file), "{message}");
    }
}

#[test]
fn one_part_of_one_is_a_whole_model_of_any_name() {
    for count in [0, 1] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("model.gguf");
        let part = Writer::new().with("split.count", Meta::U16(count));
        fs::write(&path, part.tensor("t", &[8], 0, vec![0; 32]).bytes()).unwrap();
        let files = WeightFiles::open(&path, Open::Data).unwrap();
        assert_eq!(files.names().collect::<Vec<_>>(), ["t"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn damaged_parts_never_panic(
        damaged in 1u16..=2,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        count in any::<u16>(),
        number in any::<u16>(),
    ) {
        let folder = written(2, |_, part| part);
        let target = path(&folder, damaged, 2);
        let mut bytes = fs::read(&target).unwrap();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        fs::write(&target, bytes).unwrap();
        if let Ok(files) = WeightFiles::open(&path(&folder, 1, 2), Open::Data) {
            // A part whose count was damaged may be a complete model.
            prop_assert!(matches!(files.names().count(), 1 | 2));
        }
        let lying = part(1, 2).with("split.count", Meta::U16(count));
        let lying = Writer {
            meta: vec![
                ("split.count".to_string(), Meta::U16(count)),
                ("split.no".to_string(), Meta::U16(number)),
            ],
            ..lying
        };
        fs::write(path(&folder, 1, 2), lying.bytes()).unwrap();
        // Any answer will do, as long as there is an answer.
        let _ = WeightFiles::open(&path(&folder, 2, 2), Open::Headers);
        let _ = WeightFiles::open(&path(&folder, 1, 2), Open::Headers);
    }
}
