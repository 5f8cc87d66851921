//! Does `quantize` write files that this and other programs can read, without overwriting existing files?

use std::fs;
use std::path::Path;

use smallmind::blocks::BlockFormat;
use smallmind::files::gguf::{GgufFile, TensorType};
use smallmind::language::value::Value;
use tempfile::TempDir;

use super::common::gguf::{Meta, Stored, Writer, convert};
use super::{failure, stdout};

/// A model with a matrix of each width at which types fall back, and tensors that stay as they are.
fn model() -> Writer {
    let values = |count: usize| (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0);
    let f32s = |count| Stored::F32.bytes(&values(count).collect::<Vec<_>>());
    let f16s = |count| Stored::F16.bytes(&values(count).collect::<Vec<_>>());
    Writer::new()
        .with("general.architecture", Meta::Text("llama".into()))
        .with("general.file_type", Meta::U32(1))
        .with(
            "deep",
            Meta::Array(9, vec![Meta::Array(5, vec![Meta::I32(-7)])]),
        )
        .tensor("token_embd.weight", &[256, 4], 1, f16s(1024))
        .tensor("blk.0.ffn_up.weight", &[96, 5], 0, f32s(480))
        .tensor("blk.0.ffn_down.weight", &[40, 3], 0, f32s(120))
        .tensor("blk.0.attn_norm.weight", &[256], 0, f32s(256))
        .tensor("blk.0.attn_q_norm.weight", &[32, 8], 0, f32s(256))
        .tensor("blk.0.attn_q.bias", &[32, 8], 0, f32s(256))
        .tensor("position_embd.weight", &[32, 8], 0, f32s(256))
        .tensor("rows", &[3], 26, vec![7; 12])
}

fn written(folder: &TempDir, writer: &Writer) -> (String, String) {
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("in.gguf"), writer.bytes()).unwrap();
    (path("in.gguf"), path("out.gguf"))
}

fn types(path: &str) -> Vec<(String, String)> {
    let file = GgufFile::open(Path::new(path)).unwrap();
    let written = |name: &str| file.header(name).unwrap().written;
    file.names()
        .map(|name| (name.to_string(), written(name)))
        .collect()
}

#[test]
fn matrices_change_their_type_and_everything_else_stays() {
    let folder = TempDir::new().unwrap();
    let (input, output) = written(&folder, &model());
    for (target, whole, blocks_of_32, rest) in [
        ("q4_k", "Q4_K", "Q5_0", "F16"),
        ("q6_k", "Q6_K", "Q8_0", "F16"),
        ("Q8_0", "Q8_0", "Q8_0", "F16"),
        ("q5_k_s", "Q6_K", "Q5_1", "F16"),
        ("bf16", "BF16", "BF16", "BF16"),
        ("f32", "F32", "F32", "F32"),
    ] {
        let said = stdout(["quantize", &input, &output, "--type", target, "--force"]);
        assert!(said.starts_with(&format!("{output}: ")), "{said}");
        let expected = [
            ("blk.0.attn_norm.weight", "F32"),
            ("blk.0.attn_q.bias", "F32"),
            ("blk.0.attn_q_norm.weight", "F32"),
            ("blk.0.ffn_down.weight", rest),
            ("blk.0.ffn_up.weight", blocks_of_32),
            ("position_embd.weight", "F32"),
            ("rows", "I32"),
            ("token_embd.weight", whole),
        ];
        let expected = expected.map(|(name, found)| (name.to_string(), found.to_string()));
        assert_eq!(types(&output), expected, "{target}");
    }
}

#[test]
fn converted_tensors_have_the_blocks_of_their_elements_and_others_their_bytes() {
    let folder = TempDir::new().unwrap();
    let (input, output) = written(&folder, &model());
    let said = stdout([
        "quantize",
        &input,
        &output,
        "--type",
        "q4_k",
        "--threads",
        "2",
    ]);
    assert!(
        said.contains("1 tensors became Q5_0 (their rows are not whole blocks of Q4_K)"),
        "{said}"
    );
    let (old, new) = (
        GgufFile::open(Path::new(&input)).unwrap(),
        GgufFile::open(Path::new(&output)).unwrap(),
    );
    let mut converted = 0;
    for name in old.names() {
        let (old_tensor, new_tensor) = (old.tensor(name).unwrap(), new.tensor(name).unwrap());
        assert_eq!(old_tensor.shape, new_tensor.shape);
        let expected = match new_tensor.tensor_type.block_format() {
            Some(format) => {
                converted += 1;
                let values = old.weight(name).unwrap().to_f32();
                let mut blocks = vec![0; values.len() / format.elements() * format.bytes()];
                format.quantize(&values, &mut blocks).unwrap();
                blocks
            }
            None if new_tensor.tensor_type != old_tensor.tensor_type => {
                assert_eq!(new_tensor.tensor_type, TensorType::F16);
                Stored::F16.bytes(&old.weight(name).unwrap().to_f32())
            }
            None => old_tensor.bytes.unwrap().to_vec(),
        };
        assert!(new_tensor.bytes.unwrap() == expected, "{name}");
    }
    assert_eq!(converted, 2);
}

#[test]
fn keys_are_copied_except_the_type_and_the_version() {
    let folder = TempDir::new().unwrap();
    let writer = Writer {
        alignment: 128,
        ..model()
    };
    let (input, output) = written(&folder, &writer.with("general.alignment", Meta::U32(128)));
    stdout(["quantize", &input, &output, "--type", "q6_k"]);
    let file = GgufFile::open(Path::new(&output)).unwrap();
    let get = |key| file.metadata().get(key);
    let deep = Value::List(vec![Value::List(vec![Value::Int(-7)])]);
    assert_eq!(get("deep"), Some(deep));
    assert_eq!(
        get("general.architecture"),
        Some(Value::Str("llama".into()))
    );
    assert_eq!(get("general.alignment"), Some(Value::Int(128)));
    assert_eq!(get("general.file_type"), Some(Value::Int(18)));
    assert_eq!(get("general.quantization_version"), Some(Value::Int(2)));
    assert_eq!(file.metadata().keys().count(), 5);
}

#[test]
fn a_quantized_model_runs() {
    let folder = TempDir::new().unwrap();
    let (input, output) = written(&folder, &convert("llama-long", Stored::F32));
    stdout(["quantize", &input, &output, "--type", "q8_0"]);
    let blocks = types(&output)
        .iter()
        .filter(|(_, found)| found == BlockFormat::Q8_0.name())
        .count();
    assert!(blocks > 0, "{:?}", types(&output));
    assert!(stdout(["plan", &output]).contains("arena"));
    let expected = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/llama-long/expected.safetensors"
    );
    let check = super::output(["check", &output, "--expected", expected]);
    let said = String::from_utf8(check.stdout).unwrap();
    assert!(said.contains("bits "), "{said}");
}

#[test]
fn an_existing_file_is_replaced_only_by_force_and_then_at_once() {
    let folder = TempDir::new().unwrap();
    let (input, output) = written(&folder, &model());
    fs::write(&output, "mine").unwrap();
    let message = failure(["quantize", &input, &output, "--type", "q8_0"]);
    assert!(message.contains("exists; --force replaces it"), "{message}");
    assert_eq!(fs::read(&output).unwrap(), b"mine");
    stdout(["quantize", &input, &output, "--type", "q8_0", "--force"]);
    GgufFile::open(Path::new(&output)).unwrap();
    // A file may replace itself: it is read until the last byte is written.
    stdout(["quantize", &input, &input, "--type", "q8_0", "--force"]);
    assert_eq!(fs::read(&input).unwrap(), fs::read(&output).unwrap());
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        2,
        "nothing is left over"
    );
}

#[test]
fn a_tensor_that_cannot_be_quantized_is_an_error_and_leaves_no_file() {
    let folder = TempDir::new().unwrap();
    let matrix = |number, bytes| Writer::new().tensor("a.weight", &[32, 2], number, bytes);
    let mut infinite = vec![1.0; 64];
    infinite[40] = f32::INFINITY;
    let large = Stored::F32.bytes(&[1e9; 64]);
    for (writer, target, named) in [
        (
            matrix(8, vec![0; 68]),
            "q4_0",
            "tensor `a.weight` is already Q8_0",
        ),
        (
            matrix(26, vec![0; 256]),
            "q8_0",
            "tensor `a.weight` is already I32",
        ),
        (
            matrix(77, vec![0; 256]),
            "q8_0",
            "tensor `a.weight` is already type 77 (unknown)",
        ),
        (
            Writer::new().tensor("a.bias", &[32], 2, vec![0; 18]),
            "q8_0",
            "tensor `a.bias` is already Q4_0",
        ),
        (
            matrix(0, Stored::F32.bytes(&infinite)),
            "q8_0",
            "tensor `a.weight` has elements that are not finite, or too large for Q8_0",
        ),
        (matrix(0, large.clone()), "f16", "too large for F16"),
        (matrix(0, large), "q8_0", "too large for Q8_0"),
    ] {
        let (input, output) = written(&folder, &writer);
        let message = failure(["quantize", &input, &output, "--type", target]);
        assert!(message.contains(named), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{named}");
    }
}

#[test]
fn an_input_that_is_not_a_model_is_an_error_that_says_what_is_needed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().display().to_string();
    let text = folder.path().join("model.txt").display().to_string();
    fs::write(&text, "no model").unwrap();
    for (input, expected) in [
        (path.as_str(), "expected a folder with config.json"),
        (text.as_str(), "is neither a GGUF file nor a folder"),
        ("no/such/file", "there is no such file or folder"),
    ] {
        let output = "no/such/folder/out.gguf";
        let message = failure(["quantize", input, output, "--type", "q8_0"]);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_folder_becomes_a_file_that_runs_with_the_same_tokens() {
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("out.gguf").display().to_string();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/llama");
    let said = stdout(["quantize", data, &output, "--type", "f32"]);
    assert!(said.starts_with(&format!("{output}: ")), "{said}");
    let expected = format!("{data}/expected.safetensors");
    let said = stdout(["check", &output, "--expected", &expected]);
    assert!(said.contains("all 16 greedy tokens equal"), "{said}");
    let graph = concat!(env!("CARGO_MANIFEST_DIR"), "/graphs/gpt2.ron");
    let arguments = ["quantize", data, &output, "--type", "f32", "--force"];
    let message = failure(arguments.into_iter().chain(["--graph", graph]));
    assert!(message.contains("gpt2.ron:"), "{message}");
}

#[test]
fn an_output_that_can_not_be_written_is_an_error_that_names_it() {
    let folder = TempDir::new().unwrap();
    let (input, _) = written(&folder, &model());
    let output = folder.path().join("none/out.gguf").display().to_string();
    let message = failure(["quantize", &input, &output, "--type", "q8_0"]);
    assert!(message.contains(&output), "{message}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_without_room_is_an_error_that_names_it() {
    let folder = TempDir::new().unwrap();
    let (input, _) = written(&folder, &model());
    let message = failure(["quantize", &input, "/dev/full", "--type", "q8_0", "--force"]);
    assert!(message.contains("can't write /dev/full: "), "{message}");
}

#[test]
fn no_file_of_a_folder_is_replaced() {
    let folder = TempDir::new().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/llama");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(data.join(name), folder.path().join(name)).unwrap();
    }
    let model = folder.path().to_str().unwrap();
    for name in ["config.json", "model.safetensors"] {
        let output = folder.path().join(name);
        let before = fs::read(&output).unwrap();
        let output = output.to_str().unwrap();
        let message = failure(["quantize", model, output, "--type", "q8_0", "--force"]);
        assert!(message.contains("is a file of the model in"), "{message}");
        assert_eq!(fs::read(output).unwrap(), before);
    }
    // A GGUF file in the folder is none of its model's.
    let output = folder.path().join("model.gguf").display().to_string();
    for _ in 0..2 {
        stdout(["quantize", model, &output, "--type", "q8_0", "--force"]);
    }
}

#[test]
fn no_part_of_a_model_in_several_files_is_replaced() {
    let folder = TempDir::new().unwrap();
    let part = |number: u32| {
        let writer = match number {
            0 => model(),
            _ => Writer::new().tensor("more", &[2], 0, Stored::F32.bytes(&[1.0, 2.0])),
        };
        let count = if number == 0 { 9 } else { 0 };
        let path = folder
            .path()
            .join(format!("m-0000{}-of-00002.gguf", number + 1));
        let writer = writer
            .with("split.no", Meta::U16(number as u16))
            .with("split.count", Meta::U16(2))
            .with("split.tensors.count", Meta::I32(count));
        fs::write(&path, writer.bytes()).unwrap();
        path.display().to_string()
    };
    let [first, second] = [part(0), part(1)];
    let before = fs::read(&second).unwrap();
    let message = failure(["quantize", &first, &second, "--type", "q8_0", "--force"]);
    assert!(message.contains("is a file of the model in"), "{message}");
    assert_eq!(fs::read(&second).unwrap(), before);
}

#[test]
fn a_graph_file_is_for_folders() {
    let folder = TempDir::new().unwrap();
    let (input, output) = written(&folder, &model());
    let graph = concat!(env!("CARGO_MANIFEST_DIR"), "/graphs/llama.ron");
    let message = failure([
        "quantize", &input, &output, "--type", "q8_0", "--graph", graph,
    ]);
    assert!(message.contains("--graph is only for folders"), "{message}");
    assert!(!Path::new(&output).exists());
}

#[cfg(unix)]
#[test]
fn devices_are_written_to_and_two_names_of_one_file_are_refused() {
    use std::os::unix::fs::FileTypeExt;
    let folder = TempDir::new().unwrap();
    let (input, output) = written(&folder, &model());
    stdout(["quantize", &input, "/dev/null", "--type", "Q8_0"]);
    let null = fs::metadata("/dev/null").unwrap();
    assert!(null.file_type().is_char_device());
    fs::hard_link(&input, &output).unwrap();
    let before = fs::read(&input).unwrap();
    let message = failure(["quantize", &input, &output, "--type", "Q8_0", "--force"]);
    assert!(message.contains("are the same file"), "{message}");
    assert_eq!(fs::read(&input).unwrap(), before);
}
