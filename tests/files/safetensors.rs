//! Are weight files read exactly, and is every lie in them an error instead of a panic or a huge allocation?

use std::path::Path;

use proptest::prelude::*;
use smallmind::files::map::Mapped;
use smallmind::files::safetensors::{Dtype, TensorFile};
use smallmind::files::weight_file::TensorFileError;
use smallmind::files::weight_files::{Open, WeightFiles, WeightFilesError};
use tempfile::TempDir;

use crate::common::safetensors_file::{Elements, NewTensor, write_tensors};

/// A safetensors file from a header's text and its data, with the header's true length.
fn file_of(header: &str, data: &[u8]) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes(),
        header.as_bytes(),
        data,
    ]
    .concat()
}

fn open(bytes: Vec<u8>) -> Result<TensorFile, TensorFileError> {
    TensorFile::from_bytes(Path::new("some.safetensors"), Mapped::from_vec(bytes))
}

/// The error of a file that must be refused, as text.
fn refusal(bytes: Vec<u8>) -> String {
    let message = open(bytes)
        .expect_err("the file must be refused")
        .to_string();
    assert!(message.contains("some.safetensors"), "{message}");
    message
}

fn entry(name: &str, dtype: &str, shape: &str, start: usize, end: usize) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
}

/// `a`: F32 [2, 2]; `b`: I64 [2].
fn small_file() -> Vec<u8> {
    let header = format!(
        "{{{},{}}}",
        entry("a", "F32", "[2,2]", 0, 16),
        entry("b", "I64", "[2]", 16, 32)
    );
    let mut data: Vec<u8> = [1.0f32, -2.5, 0.0, 1e-40]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    data.extend([7i64, -9].iter().flat_map(|v| v.to_le_bytes()));
    file_of(&header, &data)
}

#[test]
fn tensors_are_listed_and_read() {
    let file = open(small_file()).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["a", "b"]);
    let info = file.get("b").unwrap();
    assert_eq!((info.dtype, &info.shape[..]), (Dtype::I64, &[2][..]));
    assert_eq!(file.read_f32("a").unwrap(), [1.0, -2.5, 0.0, 1e-40]);
    assert_eq!(
        file.weight("a")
            .unwrap()
            .transpose(&[1, 0])
            .unwrap()
            .to_f32(),
        [1.0, 0.0, -2.5, 1e-40]
    );
    assert_eq!(file.read_i64("b").unwrap(), [7, -9]);
}

#[test]
fn a_type_that_cannot_be_used_names_tensor_and_type() {
    let error = open(small_file())
        .unwrap()
        .weight("b")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "some.safetensors: tensor `b` has elements of type I64; expected F32, F16 or BF16"
    );
}

#[test]
fn a_length_beyond_the_file_is_refused() {
    let rest = small_file().len() as u64 - 8;
    for length in [rest + 1, 200, u64::MAX, u64::MAX - 7, i64::MAX as u64] {
        let mut bytes = small_file();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        assert!(refusal(bytes).contains(&format!("the header claims {length} bytes")));
    }
}

#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    let whole = small_file();
    for length in 1..whole.len() {
        refusal(whole[..length].to_vec());
    }
    assert!(
        refusal(whole[..whole.len() - 1].to_vec())
            .contains("`b`: the data offsets 16..32 reach beyond the file")
    );
}

#[test]
fn data_that_no_tensor_describes_is_refused() {
    let longer = [small_file(), vec![0]].concat();
    assert!(refusal(longer).contains("describes 32 bytes of data, the file has 33"));
}

#[test]
fn overlaps_and_gaps_are_refused() {
    let overlap = format!(
        "{{{},{}}}",
        entry("a", "F32", "[2]", 0, 8),
        entry("b", "F32", "[2]", 4, 12)
    );
    assert!(refusal(file_of(&overlap, &[0; 12])).contains("`b`: the data offsets 4..12 overlap"));
    let gap = format!(
        "{{{},{}}}",
        entry("a", "F32", "[2]", 0, 8),
        entry("b", "F32", "[2]", 12, 20)
    );
    assert!(refusal(file_of(&gap, &[0; 20])).contains("`b`: the data offsets 12..20 leave a gap"));
}

#[test]
fn a_shape_that_does_not_take_the_bytes_is_refused() {
    let wrong = format!("{{{}}}", entry("a", "F16", "[3]", 0, 8));
    assert!(refusal(file_of(&wrong, &[0; 8])).contains("shape [3] of F16 takes 6 bytes"));
    let backwards = format!("{{{}}}", entry("a", "F16", "[0]", 8, 0));
    assert!(refusal(file_of(&backwards, &[0; 8])).contains("takes 0 bytes"));
    let halves = format!("{{{}}}", entry("a", "F4", "[3]", 0, 2));
    assert!(refusal(file_of(&halves, &[0; 2])).contains("no size in whole bytes"));
}

#[test]
fn sizes_that_overflow_are_refused() {
    let huge = format!(
        "{{{}}}",
        entry("a", "F32", "[4294967296,4294967296]", 0, 16)
    );
    assert!(refusal(file_of(&huge, &[0; 16])).contains("`a`"));
    // Each size fits, and so does the sum; only with the header's length added would it wrap around to the file's length.
    let half = 1usize << 63;
    let rest = usize::MAX - 100;
    let wraps = format!(
        "{{{},{}}}",
        entry("a", "U8", &format!("[{half}]"), 0, half),
        entry("b", "U8", &format!("[{}]", rest - half), half, rest)
    );
    refusal(file_of(&wraps, &[0; 16]));
}

#[test]
fn a_name_that_occurs_twice_is_refused() {
    let twice = format!(
        "{{{},{}}}",
        entry("a", "F32", "[1]", 0, 4),
        entry("a", "F32", "[1]", 0, 4)
    );
    assert!(refusal(file_of(&twice, &[0; 4])).contains("tensor `a` occurs twice"));
}

#[test]
fn a_malformed_entry_names_its_tensor() {
    let unknown = format!("{{{}}}", entry("a", "F99", "[1]", 0, 4));
    assert!(refusal(file_of(&unknown, &[0; 4])).contains("tensor `a`: unknown variant `F99`"));
    let negative = format!("{{{}}}", entry("a", "F32", "[-1]", 0, 4));
    assert!(refusal(file_of(&negative, &[0; 4])).contains("tensor `a`: invalid value"));
}

#[test]
fn an_empty_file_a_folder_and_a_missing_file_are_told_apart() {
    let folder = TempDir::new().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, []).unwrap();
    let message = |path: &Path| TensorFile::open(path).unwrap_err().to_string();
    assert!(message(&empty).ends_with("empty is empty"));
    assert!(message(folder.path()).ends_with("is not a regular file"));
    assert!(message(&folder.path().join("none")).starts_with("cannot open "));
}

#[test]
fn a_header_can_be_read_without_its_data() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cut.safetensors");
    let whole = small_file();
    std::fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    assert!(WeightFiles::open(&path, Open::Data).is_err());
    let files = WeightFiles::open(&path, Open::Headers).unwrap();
    assert_eq!(files.header("a").unwrap().shape, [2, 2]);
    let error = files.weight("a").unwrap_err().to_string();
    assert!(error.contains("only the header was opened"), "{error}");
}

#[test]
fn a_header_alone_is_checked_as_well() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.safetensors");
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        TensorFile::open_header(&path)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(open(&u64::MAX.to_le_bytes()).contains("0 follow"));
    assert!(open(&[1, 2, 3]).contains("too few"));
    let wrong = format!("{{{}}}", entry("a", "F16", "[3]", 0, 8));
    assert!(open(&file_of(&wrong, &[])).contains("takes 6 bytes"));
}

#[test]
fn written_tensors_are_read_back() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new.safetensors");
    let floats = [1.5, f32::MIN_POSITIVE / 2.0, -0.0, f32::MAX];
    let tensors = [
        NewTensor {
            name: "logits",
            shape: &[2, 2],
            elements: Elements::F32(&floats),
        },
        NewTensor {
            name: "ids",
            shape: &[2],
            elements: Elements::I64(&[i64::MIN, 3]),
        },
    ];
    write_tensors(&path, &tensors);
    let file = TensorFile::open(&path).unwrap();
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&file.read_f32("logits").unwrap()), bits(&floats));
    assert_eq!(file.read_i64("ids").unwrap(), [i64::MIN, 3]);
}

/// A model folder with an index and these files.
fn sharded(weight_map: &str, files: &[(&str, &[&str])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let index = format!(r#"{{"metadata":{{}},"weight_map":{weight_map}}}"#);
    std::fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    for (file, names) in files {
        let new = |&name| NewTensor {
            name,
            shape: &[1],
            elements: Elements::F32(&[1.0]),
        };
        let tensors: Vec<_> = names.iter().map(new).collect();
        write_tensors(&folder.path().join(file), &tensors);
    }
    folder
}

fn open_folder(folder: &TempDir) -> Result<WeightFiles, WeightFilesError> {
    WeightFiles::open(folder.path(), Open::Data)
}

#[test]
fn shards_are_one_collection() {
    let folder = sharded(
        r#"{"a":"1.safetensors","b":"2.safetensors","c":"1.safetensors"}"#,
        &[("1.safetensors", &["a", "c"]), ("2.safetensors", &["b"])],
    );
    let files = open_folder(&folder).unwrap();
    assert_eq!(files.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(files.weight("b").unwrap().to_f32(), [1.0]);
    let by_index = WeightFiles::open(
        &folder.path().join("model.safetensors.index.json"),
        Open::Headers,
    )
    .unwrap();
    assert_eq!(by_index.names().count(), 3);
}

#[test]
fn a_shard_outside_the_folder_is_refused() {
    for shard in ["../x.safetensors", "/etc/passwd", "a/../../x", ""] {
        let folder = sharded(&format!(r#"{{"a":"{shard}"}}"#), &[]);
        let error = open_folder(&folder).unwrap_err();
        assert!(
            matches!(&error, WeightFilesError::ShardOutside { shard: found, .. } if found == shard),
            "{error}"
        );
    }
}

#[test]
fn a_missing_shard_is_named() {
    let folder = sharded(
        r#"{"a":"1.safetensors","b":"2.safetensors"}"#,
        &[("1.safetensors", &["a"])],
    );
    let error = open_folder(&folder).unwrap_err().to_string();
    assert!(
        error.contains("shard `2.safetensors` (of tensor `b`): cannot open"),
        "{error}"
    );
}

#[test]
fn a_tensor_that_its_shard_lacks_is_named() {
    let folder = sharded(
        r#"{"a":"1.safetensors","b":"1.safetensors"}"#,
        &[("1.safetensors", &["a"])],
    );
    let error = open_folder(&folder).unwrap_err().to_string();
    assert!(
        error.contains("tensor `b` is not in shard `1.safetensors`"),
        "{error}"
    );
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let folder = sharded(
        r#"{"a":"1.safetensors","b":"2.safetensors"}"#,
        &[("1.safetensors", &["a"]), ("2.safetensors", &["a", "b"])],
    );
    assert!(
        matches!(open_folder(&folder), Err(WeightFilesError::Duplicate { tensor, .. }) if tensor == "a")
    );
}

#[test]
fn a_folder_without_weights_and_an_unreadable_index_are_refused() {
    let empty = TempDir::new().unwrap();
    assert!(matches!(
        open_folder(&empty),
        Err(WeightFilesError::NoWeights { .. })
    ));
    for weight_map in ["3", r#"{"a":3}"#, "{"] {
        assert!(matches!(
            open_folder(&sharded(weight_map, &[])),
            Err(WeightFilesError::Index { .. })
        ));
    }
}

#[test]
fn an_unknown_tensor_is_answered_with_the_nearest_name() {
    let files = WeightFiles::from_bytes("demo", Mapped::from_static(DEMO)).unwrap();
    assert!(files.header("transformer.wte.weigth").is_none());
    let error = files
        .weight("transformer.wte.weigth")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "the weights have no tensor `transformer.wte.weigth`; the nearest name is `transformer.wte.weight`"
    );
}

static DEMO: &[u8] = include_bytes!("../../demo/model.safetensors");

/// Uses everything that a file offers; the results may be errors.
fn exercise(file: &TensorFile) {
    for name in file.names() {
        let elements: usize = file.get(name).unwrap().shape.iter().product();
        if let Ok(weight) = file.weight(name) {
            assert_eq!(weight.to_f32().len(), elements);
        }
        if let Ok(values) = file.read_f32(name) {
            assert_eq!(values.len(), elements);
        }
        if let Ok(values) = file.read_i64(name) {
            assert_eq!(values.len(), elements);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let mut bytes = small_file();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(file) = open(bytes) {
            exercise(&file);
        }
    }

    /// Digits are replaced by digits: the header stays JSON, and only its numbers are wrong.
    #[test]
    fn changed_numbers_never_panic(
        shape in prop::collection::vec(prop_oneof![0usize..4, any::<usize>()], 0..4),
        dtype in prop::sample::select(vec!["F32", "F16", "BF16", "I64", "I32", "U8", "F4", "C64"]),
        start in prop_oneof![0usize..20, any::<usize>()],
        end in prop_oneof![0usize..20, any::<usize>()],
        data in 0usize..20,
    ) {
        let header = format!("{{{}}}", entry("a", dtype, &format!("{shape:?}"), start, end));
        if let Ok(file) = open(file_of(&header, &vec![0; data])) {
            exercise(&file);
        }
    }
}
