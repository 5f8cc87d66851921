//! Does `smallmind check` tell right from wrong, and do its bits depend only on the model?

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use smallmind::kernels::simd::Isa;

use super::{EXPECTED, bits, failure, output, stdout};

/// A copy of the demo's expected tensors, each changed by `change`, which receives the name and the bytes.
fn changed(path: &Path, change: impl Fn(&str, &mut Vec<u8>)) {
    let file = fs::read(EXPECTED).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let changed = tensors.iter().map(|(name, view)| {
        let mut bytes = view.data().to_vec();
        change(name, &mut bytes);
        (name.to_string(), view.dtype(), view.shape().to_vec(), bytes)
    });
    let changed: Vec<_> = changed.collect();
    let views = changed.iter().map(|(name, dtype, shape, bytes)| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn check_finds_the_demo_right() {
    let text = stdout(["check", "demo", "--expected", EXPECTED]);
    assert!(text.contains("all 16 greedy tokens equal"), "{text}");
}

#[test]
fn bits_do_not_depend_on_threads_chunks_or_instruction_set() {
    let bits_of_default = bits(&[], None);
    for arguments in [["-t", "1"], ["-t", "2"], ["--chunk", "1"], ["--chunk", "7"]] {
        assert_eq!(bits(&arguments, None), bits_of_default, "{arguments:?}");
    }
    for isa in Isa::available() {
        assert_eq!(
            bits(&[], Some(isa.name())),
            bits_of_default,
            "{}",
            isa.name()
        );
    }
}

#[test]
fn bits_show_that_a_pass_changed_them() {
    assert_ne!(
        bits(&["--without", "raise_attention"], None),
        bits(&[], None)
    );
}

#[test]
fn check_writes_what_it_computed_under_the_same_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("found.safetensors");
    let arguments = [
        "check",
        "demo",
        "--expected",
        EXPECTED,
        "-o",
        path.to_str().unwrap(),
    ];
    stdout(arguments);
    let text = stdout([
        "check",
        "demo",
        "--tolerance",
        "0",
        "--expected",
        path.to_str().unwrap(),
    ]);
    assert!(text.contains("all 16 greedy tokens equal"), "{text}");
}

#[test]
fn check_fails_beyond_the_tolerance() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("expected.safetensors");
    changed(&path, |name, bytes| {
        if name == "logits" {
            let first = f32::from_le_bytes(*bytes.first_chunk().unwrap());
            bytes[..4].copy_from_slice(&(first + 1.0).to_le_bytes());
        }
    });
    let check = ["check", "demo", "--expected", path.to_str().unwrap()];
    let output = output(check);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("logits differs by")
    );
    stdout(check.iter().chain(&["--tolerance", "1"]));
}

#[test]
fn check_fails_if_a_greedy_token_differs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("expected.safetensors");
    changed(&path, |name, bytes| {
        if name == "greedy" {
            bytes[3 * 8] ^= 1;
        }
    });
    let output = output(["check", "demo", "--expected", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("greedy token 3 (from 0) is ")
    );
}

/// Name, element type and shape.
type Tensor<'a> = (&'a str, Dtype, &'a [usize]);

/// A file of tensors, all zero.
fn zeros(path: &Path, tensors: &[Tensor]) {
    let zeros = vec![0; 1 << 20];
    let views = tensors.iter().map(|(name, dtype, shape)| {
        let size = if *dtype == Dtype::I64 { 8 } else { 4 };
        let bytes = &zeros[..shape.iter().product::<usize>() * size];
        (
            name,
            TensorView::new(*dtype, shape.to_vec(), bytes).unwrap(),
        )
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn check_says_what_is_wrong_with_the_expected_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("expected.safetensors");
    let ids: Tensor = ("input_ids", Dtype::I64, &[3]);
    let cases: [(&[Tensor], &str); 7] = [
        (&[("logits", Dtype::F32, &[3, 256])], "no tensor input_ids"),
        (&[ids], "neither logits nor last_hidden_state"),
        (
            &[ids, ("logits", Dtype::F32, &[768])],
            "shape [768]; expected [T, width]",
        ),
        (
            &[ids, ("logits", Dtype::F32, &[4, 256])],
            "shape [4, 256]; expected [3, width]",
        ),
        (
            &[ids, ("logits", Dtype::F32, &[3, 64])],
            "shape [3, 64], but the model's output has [3, 256]",
        ),
        (
            &[ids, ("logits", Dtype::I64, &[3, 256])],
            "elements of type I64; expected F32",
        ),
        (
            &[
                ids,
                ("logits", Dtype::F32, &[3, 256]),
                ("greedy", Dtype::I64, &[255]),
            ],
            "need 257 positions, but the context has 256",
        ),
    ];
    for (tensors, expected) in cases {
        zeros(&path, tensors);
        let message = failure(["check", "demo", "--expected", path.to_str().unwrap()]);
        assert!(message.contains(expected), "{message}\nlacks: {expected}");
    }
    changed(&path, |name, bytes| {
        if name == "input_ids" {
            bytes[1] = 1;
        }
    });
    let message = failure(["check", "demo", "--expected", path.to_str().unwrap()]);
    assert!(
        message.contains("but the model's vocabulary has 256 tokens"),
        "{message}"
    );
}

#[test]
fn check_compares_hidden_states_and_their_mean() {
    // The demo's logits, under the name of an encoder's hidden state.
    let folder = tempfile::tempdir().unwrap();
    let (path, found) = (
        folder.path().join("expected.safetensors"),
        folder.path().join("found.safetensors"),
    );
    let file = fs::read(EXPECTED).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let logits = tensors.tensor("logits").unwrap();
    let (tokens, width) = (logits.shape()[0], logits.shape()[1]);
    let rows: Vec<f32> = logits
        .data()
        .as_chunks()
        .0
        .iter()
        .map(|&b| f32::from_le_bytes(b))
        .collect();
    let mean: Vec<f32> = (0..width)
        .map(|c| rows.chunks(width).map(|row| row[c]).sum::<f32>() / tokens as f32)
        .collect();
    let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
    let pooled: Vec<u8> = mean
        .iter()
        .flat_map(|x| (x / length).to_le_bytes())
        .collect();
    let views = [
        ("input_ids", tensors.tensor("input_ids").unwrap()),
        ("last_hidden_state", logits),
        (
            "mean_pooled",
            TensorView::new(Dtype::F32, vec![width], &pooled).unwrap(),
        ),
    ];
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    let arguments = [
        "check",
        "demo",
        "--expected",
        path.to_str().unwrap(),
        "-o",
        found.to_str().unwrap(),
    ];
    let text = stdout(arguments);
    assert!(
        text.contains("last_hidden_state: ") && text.contains("mean_pooled: "),
        "{text}"
    );
    let found = fs::read(found).unwrap();
    assert_eq!(
        SafeTensors::deserialize(&found)
            .unwrap()
            .tensor("mean_pooled")
            .unwrap()
            .shape(),
        [width]
    );
}

#[test]
fn check_reads_every_row_of_a_dumped_graph() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.ron");
    let path = path.to_str().unwrap();
    stdout(["dump", "demo", "-o", path]);
    assert!(std::fs::read_to_string(path).unwrap().contains("TakeRows"));
    let check = ["check", "demo", "--expected", EXPECTED];
    let dumped = check.into_iter().chain(["--graph", path]);
    assert_eq!(stdout(dumped), stdout(check));
}

#[test]
fn check_reads_an_encoders_text_whole_and_run_refuses_to_continue_it() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bert");
    let expected = format!("{folder}/expected.safetensors");
    let text = stdout(["check", folder, "--expected", &expected]);
    assert!(text.contains("last_hidden_state: "), "{text}");
    let message = failure(["check", folder, "--expected", &expected, "--chunk", "8"]);
    assert!(
        message.contains("the text has 40 tokens, and a step has at most 8"),
        "{message}"
    );
    let copy = tempfile::tempdir().unwrap();
    let tokenizer = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/tokenizer.json");
    let (config, weights) = (
        format!("{folder}/config.json"),
        format!("{folder}/model.safetensors"),
    );
    for file in [&config, &weights, tokenizer] {
        let name = std::path::Path::new(file).file_name().unwrap();
        std::fs::copy(file, copy.path().join(name)).unwrap();
    }
    let message = failure(["run", copy.path().to_str().unwrap(), "a"]);
    assert!(message.contains("it cannot continue a text"), "{message}");
}
