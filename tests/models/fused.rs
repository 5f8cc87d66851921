//! Do models in GGUF files with queries, keys and values in one tensor compute the same as with three tensors?

use smallmind::graph::print_ignoring;
use smallmind::model::Source;
use smallmind::{Model, Options};

use crate::common::gguf::{Meta, Stored, Writer, convert};
use crate::common::quantized::written;
use crate::common::{all_rows, bits, expected, read_keys, run};

/// One model of each architecture whose files have three tensors, and some with biases or other orders of rows.
const MODELS: [&str; 9] = [
    "bert", "gemma", "gemma3", "llama", "mistral", "olmo", "phi", "qwen2", "qwen3",
];

fn opened(writer: &Writer, options: &Options) -> Result<Model, String> {
    Model::open(&written(writer).path, options).map_err(|error| error.to_string())
}

/// The bits of the logits of the model's prompt, and of the steps after it.
fn output(name: &str, model: &Model) -> Vec<u32> {
    let expected = expected(name);
    let mut session = model.session().unwrap();
    let (logits, steps, _) = run(&mut session, &expected.input_ids, expected.greedy.len());
    bits(&[logits, steps.concat()].concat())
}

#[test]
fn one_tensor_has_the_bits_of_three() {
    for name in MODELS {
        for stored in [Stored::F32, Stored::Q8_0] {
            let writer = convert(name, stored);
            let fused = writer.clone().fused();
            assert!(fused.tensors.len() < writer.tensors.len(), "{name}");
            let [three, one] = [writer, fused].map(|writer| {
                let model = opened(&writer, &all_rows()).unwrap_or_else(|error| panic!("{error}"));
                output(name, &model)
            });
            assert!(three == one, "{name}, {stored:?}");
        }
    }
}

#[test]
fn mistrals_own_name_reads_one_tensor_too() {
    let mut writer = convert("mistral", Stored::F32);
    for (key, value) in &mut writer.meta {
        *key = key.replace("llama.", "mistral.");
        if key == "general.architecture" {
            *value = Meta::Text("mistral".into());
        }
    }
    let [three, one] = [writer.clone(), writer.fused()]
        .map(|writer| output("mistral", &opened(&writer, &all_rows()).unwrap()));
    assert!(three == one);
}

#[test]
fn a_dump_of_such_a_file_runs_it() {
    let writer = convert("qwen2", Stored::F32).fused();
    let file = written(&writer);
    let model = Model::open(&file.path, &all_rows()).unwrap();
    let graph = file.folder.path().join("dump.ron");
    let compiled = model.compiled();
    let text = print_ignoring(
        &compiled.graph,
        "gguf",
        &compiled.ignore,
        &read_keys(&Source::from(&file.path)),
    );
    std::fs::write(&graph, text).unwrap();
    let options = all_rows().graph(graph);
    let again = Model::open(&file.path, &options).unwrap();
    assert!(output("qwen2", &model) == output("qwen2", &again));
}

#[test]
fn a_tensor_of_other_rows_than_all_three_is_refused() {
    let mut writer = convert("llama", Stored::F32).fused();
    let fused = writer
        .tensors
        .iter_mut()
        .find(|tensor| tensor.name == "blk.0.attn_qkv.weight")
        .unwrap();
    let row = fused.bytes.len() / *fused.dims.last().unwrap() as usize;
    fused.bytes.truncate(fused.bytes.len() - row);
    *fused.dims.last_mut().unwrap() -= 1;
    let message = opened(&writer, &all_rows()).err().unwrap();
    assert!(message.contains("blk.0.attn_qkv.weight"), "{message}");
}
