//! What happens when a model's files are wrong?

use std::fs;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize_to_file};
use serde_json::{Value, json};
use smallmind::blocks::BlockFormat;
use smallmind::model::{ModelFiles, Source, compile};
use smallmind::{Model, Options};
use tempfile::TempDir;

use crate::common::data;
use crate::common::tiny::{Tiny, floats};

/// A copy of a fixture whose config.json `edit` has changed.
fn fixture(name: &str, edit: impl FnOnce(&mut Value)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut config =
        serde_json::from_str(&fs::read_to_string(data(name).join("config.json")).unwrap()).unwrap();
    edit(&mut config);
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    fs::copy(
        data(name).join("model.safetensors"),
        folder.path().join("model.safetensors"),
    )
    .unwrap();
    folder
}

/// What is wrong, without the folder's path.
fn refusal(folder: &Path) -> String {
    let error = Model::open(folder, &Options::default())
        .expect_err("the model is wrong")
        .to_string();
    error
        .replace(&format!("{}/", folder.display()), "")
        .replace(&folder.display().to_string(), "FOLDER")
}

/// The first line of what is wrong with a fixture whose configuration has other values.
fn first_problem(name: &str, values: Value) -> String {
    let folder = fixture(name, |config| {
        for (key, value) in values.as_object().unwrap() {
            config[key] = value.clone();
        }
    });
    refusal(folder.path()).lines().next().unwrap().to_string()
}

#[test]
fn an_impossible_value_of_the_configuration_is_named() {
    for (name, values, expected) in [
        (
            "llama",
            json!({"num_attention_heads": 0}),
            "graphs/llama.ron:70:21: weight \"layer.0/q_proj\": a dimension must be an integer from 1 to 2147483648, found 0 in \"heads * head\"",
        ),
        (
            "gpt2",
            json!({"n_head": 0}),
            "graphs/gpt2.ron:19:27: parameter \"head\": 64 / 0: division by zero in \"width / heads\"",
        ),
        (
            "gpt2",
            json!({"n_head": 7}),
            "graphs/gpt2.ron:19:27: parameter \"head\": the integer division 64 / 7 is not exact in \"width / heads\"",
        ),
        (
            "llama",
            json!({"num_key_value_heads": 0}),
            "graphs/llama.ron:58:17: 8 % 0: division by zero in \"heads % kv == 0\"",
        ),
        (
            "llama",
            json!({"num_key_value_heads": -2}),
            "graphs/llama.ron:77:21: weight \"layer.0/k_proj\": a dimension must be an integer from 1 to 2147483648, found -16 in \"kv * head\"",
        ),
        (
            "llama",
            json!({"num_hidden_layers": 1_000_000_000}),
            "graphs/llama.ron:128:25: Repeat needs an integer from 0 to 4096, found 1000000000 in \"layers\"",
        ),
        (
            "llama",
            json!({"num_hidden_layers": -1}),
            "graphs/llama.ron:128:25: Repeat needs an integer from 0 to 4096, found -1 in \"layers\"",
        ),
        (
            "llama",
            json!({"num_hidden_layers": 4}),
            "graphs/llama.ron:1:1: 9 of 39 tensors are missing in the weight file, of layer 3: 'layers.3.input_layernorm.weight', 'layers.3.self_attn.q_proj.weight', 'layers.3.self_attn.k_proj.weight' and 6 more",
        ),
        (
            "llama",
            json!({"num_hidden_layers": 2}),
            "graphs/llama.ron:1:1: no node reads tensor 'model.layers.2.input_layernorm.weight' [64] of the weight file (a forgotten bias?); `ignore` lists tensors to leave out",
        ),
        (
            "llama",
            json!({"vocab_size": 0}),
            "graphs/llama.ron:62:34: weight \"embed\": a dimension must be an integer from 1 to 2147483648, found 0 in \"vocab\"",
        ),
        (
            "llama",
            json!({"vocab_size": -1}),
            "graphs/llama.ron:62:34: weight \"embed\": a dimension must be an integer from 1 to 2147483648, found -1 in \"vocab\"",
        ),
        (
            "llama",
            json!({"vocab_size": 1_000_000_000_000_000_000_i64}),
            "graphs/llama.ron:62:34: weight \"embed\": a dimension must be an integer from 1 to 2147483648, found 1000000000000000000 in \"vocab\"",
        ),
        (
            "llama",
            json!({"vocab_size": 1e18}),
            "graphs/llama.ron:62:34: weight \"embed\": a dimension must be an integer from 1 to 2147483648, found 1e18 in \"vocab\"",
        ),
        (
            "llama",
            json!({"vocab_size": "many"}),
            "graphs/llama.ron:62:34: weight \"embed\": a dimension must be an integer from 1 to 2147483648, found 'many' in \"vocab\"",
        ),
        (
            "llama",
            json!({"vocab_size": null}),
            "graphs/llama.ron:11:9: parameter \"vocab\": 'vocab_size' is null in config.json, and the parameter does not say what null means: add 'null: …' (the default counts only where the key is absent)",
        ),
        (
            "llama",
            json!({"vocab_size": 324}),
            "graphs/llama.ron:62:9: weight \"embed\": tensor 'model.embed_tokens.weight' must be [324, 64], the file has [323, 64]",
        ),
        (
            "llama",
            json!({"head_dim": 7}),
            "graphs/llama.ron:69:9: weight \"layer.0/q_proj\": tensor 'model.layers.0.self_attn.q_proj.weight' must be [56, 64], the file has [64, 64]",
        ),
        (
            "llama",
            json!({"hidden_act": "silu_and_mul"}),
            "graphs/llama.ron:157:13: node \"layer.0/g#2\": unknown activation 'silu_and_mul'; known are relu, silu, swish, gelu, gelu_tanh, gelu_new, gelu_pytorch_tanh, gelu_fast, tanh, sigmoid",
        ),
        (
            "llama",
            json!({"hidden_act": 3}),
            "graphs/llama.ron:157:13: node \"layer.0/g#2\": Activation takes the function's name, Activation(\"act\"), found an integer",
        ),
        (
            "llama",
            json!({"rms_norm_eps": "small"}),
            "graphs/llama.ron:129:13: node \"layer.0/n\": RmsNorm: attribute 'eps' must be a finite number, found \"'small'\"",
        ),
        (
            "llama",
            json!({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}),
            "graphs/llama.ron:139:13: node \"layer.0/q#3\": Rope: attribute 'rope_type' must be one of default, linear, llama3, found \"'yarn'\"",
        ),
        (
            "llama",
            json!({"rope_parameters": {"rope_theta": -1.0}}),
            "graphs/llama.ron:139:13: node \"layer.0/q#3\": Rope: base must be positive, found -1",
        ),
        (
            "llama",
            json!({"rope_parameters": {"rope_type": "linear", "factor": 0}}),
            "graphs/llama.ron:139:13: node \"layer.0/q#3\": Rope: factor must be positive, found 0",
        ),
        (
            "llama",
            json!({"rms_norm_eps": -1.0}),
            "graphs/llama.ron:129:13: node \"layer.0/n\": RmsNorm: eps must not be negative, found -1",
        ),
        (
            "llama",
            json!({"rope_parameters": {"rope_theta": []}}),
            "graphs/llama.ron:139:13: node \"layer.0/q#3\": Rope: attribute 'base' must be a finite number, found []",
        ),
        (
            "llama",
            json!({"max_position_embeddings": 0}),
            "graphs/llama.ron:139:13: node \"layer.0/q#3\": Rope: attribute 'original_context' must be a whole number of 1 or more, found 0",
        ),
        (
            "gpt2",
            json!({"n_positions": 1_000_000_000_000_i64}),
            "graphs/gpt2.ron:30:36: weight \"embed_position\": a dimension must be an integer from 1 to 2147483648, found 1000000000000 in \"context\"",
        ),
        (
            "gpt2",
            json!({"activation_function": "gelu_mew"}),
            "graphs/gpt2.ron:120:13: node \"layer.0/h#3\": unknown activation 'gelu_mew', did you mean 'gelu_new'?",
        ),
        (
            "gpt2",
            json!({"scale_attn_weights": "yes"}),
            "graphs/gpt2.ron:98:17: \"scaled\" must be true or false, found a string",
        ),
        (
            "llama",
            json!({"architectures": ["LlamaForCausalML"], "model_type": null}),
            "config.json:1:1: no graph file for the architecture 'LlamaForCausalML', the nearest is 'LlamaForCausalLM'; known are …",
        ),
        (
            "llama",
            json!({"architectures": ["MambaForCausalLM"], "model_type": "mamba"}),
            "config.json:1:1: no graph file for the architecture 'MambaForCausalLM', the nearest is …",
        ),
        (
            "llama",
            json!({"architectures": null, "model_type": null}),
            "config.json:1:1: neither \"architectures\" nor \"model_type\" names the architecture",
        ),
        (
            "llama",
            json!({"architectures": 3, "model_type": 7}),
            "config.json:1:1: neither \"architectures\" nor \"model_type\" names the architecture",
        ),
    ] {
        let found = first_problem(name, values.clone());
        // An ellipsis stands for the list of all built-in architectures.
        let told = match expected.strip_suffix('…') {
            Some(beginning) => found.starts_with(beginning),
            None => found == expected,
        };
        assert!(told, "{name} {values}: {found}");
    }
}

#[test]
fn a_configuration_that_is_not_an_object_is_refused_with_its_line() {
    for (text, expected) in [
        (
            "",
            "config.json:1:1: EOF while parsing a value at line 1 column 0",
        ),
        (
            "{\n\"a\": 1,\n}",
            "config.json:3:1: trailing comma at line 3 column 1",
        ),
        ("[1, 2]", "config.json:1:1: expected an object {…}"),
        (
            "{\"rms_norm_eps\": nan}",
            "config.json:1:19: expected ident at line 1 column 19",
        ),
    ] {
        let folder = fixture("llama", |_| ());
        fs::write(folder.path().join("config.json"), text).unwrap();
        assert_eq!(refusal(folder.path()), expected, "{text}");
    }
    let folder = fixture("llama", |_| ());
    fs::write(folder.path().join("config.json"), [0xFF, 0xFE]).unwrap();
    assert_eq!(
        refusal(folder.path()),
        "config.json: can't be read: stream did not contain valid UTF-8"
    );
    fs::remove_file(folder.path().join("config.json")).unwrap();
    assert_eq!(
        refusal(folder.path()),
        "FOLDER: no model: expected a folder with config.json and safetensors files, or a GGUF file"
    );
    assert_eq!(
        refusal(&folder.path().join("nothing")),
        "FOLDER: there is no such file or folder"
    );
    assert_eq!(
        refusal(&folder.path().join("model.safetensors")),
        "FOLDER: no model: expected a folder with config.json and safetensors files, or a GGUF file"
    );
}

#[test]
fn a_broken_generation_config_is_refused_with_its_line() {
    let folder = fixture("llama", |_| ());
    fs::write(
        folder.path().join("generation_config.json"),
        "{\n\"eos_token_id\": }",
    )
    .unwrap();
    assert_eq!(
        refusal(folder.path()),
        "generation_config.json:2:17: expected value at line 2 column 17"
    );
}

#[test]
fn a_context_of_no_positions_is_the_configurations_mistake() {
    let tiny = Tiny::new("(\"y\", Neg, [\"x\"]),");
    let graph = fs::read_to_string(tiny.path("graph.ron"))
        .unwrap()
        .replace("params: {", "params: {\"context\": -4, ");
    tiny.write("graph.ron", graph);
    assert_eq!(
        tiny.refusal(),
        "config.json:1:1: the model's context is -4 positions; it must be 1 or more"
    );
}

#[test]
fn a_long_context_in_the_configuration_is_capped() {
    let folder = fixture("llama", |config| {
        config["max_position_embeddings"] = json!(1_000_000_000_000_i64)
    });
    assert_eq!(
        Model::open(folder.path(), &Options::default())
            .unwrap()
            .context(),
        4096
    );
}

#[test]
fn the_longest_context_of_a_rotary_model_runs_or_is_an_error() {
    // 2^24 positions of 3 layers of 2 · 2 · 8 floats are 6 GiB, of 48 layers 96.
    let folder = fixture("llama", |config| config["num_hidden_layers"] = json!(400));
    let options = Options::new().context(1 << 24);
    let config = folder.path().join("config.json");
    let compiled = compile(
        &ModelFiles::open_headers(&config.into(), &options).unwrap(),
        &options,
    )
    .unwrap();
    assert_eq!(compiled.plan.regions().kv_cache(), 400 << 31);
}

#[test]
fn a_tensor_of_another_type_or_shape_is_refused_with_both() {
    let narrow = [0; 128];
    for (dtype, shape, expected) in [
        (
            Dtype::I64,
            vec![16],
            "graph.ron:3:11: weight \"embed\": tensor 'embed' must be [16, 8], the file has [16]\ngraph.ron:3:11: weight \"embed\": tensor 'embed' is I64, expected F32, F16, BF16 or one of GGUF's FORMATS",
        ),
        (
            Dtype::F64,
            vec![16],
            "graph.ron:3:11: weight \"embed\": tensor 'embed' must be [16, 8], the file has [16]\ngraph.ron:3:11: weight \"embed\": tensor 'embed' is F64, expected F32, F16, BF16 or one of GGUF's FORMATS",
        ),
        (
            Dtype::U8,
            vec![16, 8],
            "graph.ron:3:11: weight \"embed\": tensor 'embed' is U8, expected F32, F16, BF16 or one of GGUF's FORMATS",
        ),
        (
            Dtype::F8_E4M3,
            vec![16, 8],
            "graph.ron:3:11: weight \"embed\": tensor 'embed' is F8_E4M3, expected F32, F16, BF16 or one of GGUF's FORMATS",
        ),
        (
            Dtype::F16,
            vec![8, 8],
            "graph.ron:3:11: weight \"embed\": tensor 'embed' must be [16, 8], the file has [8, 8]",
        ),
        (
            Dtype::F32,
            vec![32],
            "graph.ron:3:11: weight \"embed\": tensor 'embed' must be [16, 8], the file has [32]",
        ),
        (
            Dtype::F32,
            vec![],
            "graph.ron:3:11: weight \"embed\": tensor 'embed' must be [16, 8], the file has []",
        ),
        (
            Dtype::F16,
            vec![0, 8],
            "graph.ron:3:11: weight \"embed\": tensor 'embed' must be [16, 8], the file has [0, 8]",
        ),
    ] {
        let tiny = Tiny::new("(\"y\", Neg, [\"x\"]),");
        let elements: usize = shape.iter().product();
        let bytes = &narrow[..elements * dtype.bitsize() / 8];
        let view = TensorView::new(dtype, shape, bytes).unwrap();
        serialize_to_file([("embed", view)], None, &tiny.path("model.safetensors")).unwrap();
        let formats = BlockFormat::ALL.map(BlockFormat::name).join(", ");
        let expected = expected.replace("FORMATS", &formats);
        assert_eq!(tiny.refusal(), expected, "{dtype:?}");
    }
}

#[test]
fn a_missing_tensor_is_named_with_the_nearest_and_an_unread_one_too() {
    let folder = fixture("llama", |_| ());
    let bytes = fs::read(data("llama").join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let rename = |name: String| name.replace("layers.1.mlp.up_proj", "layers.1.mlp.up_porj");
    let views = tensors
        .tensors()
        .into_iter()
        .map(|(name, view)| (rename(name), view));
    serialize_to_file(views, None, &folder.path().join("model.safetensors")).unwrap();
    assert_eq!(
        refusal(folder.path()),
        "graphs/llama.ron:1:1: no node reads tensor 'model.layers.1.mlp.up_porj.weight' [160, 64] of the weight file (a forgotten bias?); `ignore` lists tensors to leave out\ngraphs/llama.ron:105:9: weight \"layer.1/up_proj\": the weight file has no tensor 'layers.1.mlp.up_proj.weight'; the nearest name is 'layers.0.mlp.up_proj.weight'"
    );
}

#[test]
fn broken_weight_files_are_refused_with_their_names() {
    let whole = fs::read(data("llama").join("model.safetensors")).unwrap();
    let header = |length: u64| [&length.to_le_bytes()[..], &whole[8..]].concat();
    let huge =
        br#"{"w":{"dtype":"F32","shape":[1099511627776,8],"data_offsets":[0,35184372088832]}}"#;
    let huge = [&(huge.len() as u64).to_le_bytes()[..], huge].concat();
    for (bytes, expected) in [
        (vec![], "model.safetensors is empty"),
        (
            whole[..7].to_vec(),
            "model.safetensors: 7 bytes are too few for a safetensors file",
        ),
        (
            whole[..100].to_vec(),
            "model.safetensors: the header claims 3072 bytes but 92 follow; the file is cut off or is not a safetensors file",
        ),
        (
            whole[..whole.len() - 1].to_vec(),
            "model.safetensors: tensor `model.norm.weight`: the data offsets 658432..658688 reach beyond the file, which has 658687 bytes of data; it is cut off",
        ),
        (
            header(u64::MAX),
            "model.safetensors: the header claims 18446744073709551615 bytes but 661760 follow; the file is cut off or is not a safetensors file",
        ),
        (
            header(1 << 40),
            "model.safetensors: the header claims 1099511627776 bytes but 661760 follow; the file is cut off or is not a safetensors file",
        ),
        (
            header(3),
            "model.safetensors: cannot read the header: EOF while parsing a string at line 1 column 3",
        ),
        (
            huge,
            "model.safetensors: tensor `w`: the data offsets 0..35184372088832 reach beyond the file, which has 0 bytes of data; it is cut off",
        ),
    ] {
        let folder = fixture("llama", |_| ());
        fs::write(folder.path().join("model.safetensors"), &bytes).unwrap();
        assert_eq!(refusal(folder.path()), expected, "{} bytes", bytes.len());
    }
}

#[test]
fn an_index_that_lies_is_refused() {
    for (index, expected) in [
        (
            "{}",
            "model.safetensors.index.json: cannot read the index: missing field `weight_map` at line 1 column 2",
        ),
        (
            "{\"weight_map\": {\"a\": \"gone.safetensors\"}}",
            "model.safetensors.index.json: shard `gone.safetensors` (of tensor `a`): cannot open gone.safetensors: No such file or directory (os error 2)",
        ),
        (
            "{\"weight_map\": {\"a\": \"../x.safetensors\"}}",
            "model.safetensors.index.json: shard `../x.safetensors` (of tensor `a`) does not lie in the index's folder",
        ),
        (
            "{\"weight_map\": {\"a\": \"shard.safetensors\"}}",
            "model.safetensors.index.json: tensor `a` is not in shard `shard.safetensors`",
        ),
        (
            "{\"weight_map\": {\"a\": 1}}",
            "model.safetensors.index.json: cannot read the index: invalid type: integer `1`, expected a string at line 1 column 22",
        ),
    ] {
        let folder = fixture("llama", |_| ());
        fs::rename(
            folder.path().join("model.safetensors"),
            folder.path().join("shard.safetensors"),
        )
        .unwrap();
        fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        assert_eq!(refusal(folder.path()), expected, "{index}");
    }
}

#[test]
fn a_model_without_weights_compiles_but_does_not_open() {
    let folder = fixture("llama", |_| ());
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let options = Options::default();
    for path in [
        folder.path().to_path_buf(),
        folder.path().join("config.json"),
    ] {
        let files = ModelFiles::open(&Source::Path(path.clone()), &options).unwrap();
        assert_eq!(compile(&files, &options).unwrap().vocabulary, 323);
        let error = Model::open(&path, &options).err().unwrap().to_string();
        assert_eq!(
            error,
            format!(
                "{}: no weights: neither model.safetensors nor model.safetensors.index.json",
                path.display()
            )
        );
    }
}

#[test]
fn a_broken_tokenizer_is_refused_with_its_name() {
    for text in ["", "{}", "[1]", "{\"model\": {\"type\": \"BPE\"}}"] {
        let folder = fixture("llama", |_| ());
        fs::write(folder.path().join("tokenizer.json"), text).unwrap();
        let error = refusal(folder.path());
        assert!(
            error.starts_with("tokenizer.json: cannot use this tokenizer: "),
            "{error}"
        );
    }
}

#[test]
fn the_smallest_of_two_tables_bounds_the_tokens() {
    let tiny = Tiny::new("(\"t\", Gather, [\"cube\", \"tokens\"]), (\"y\", Add, [\"x\", \"t\"]),");
    let graph = fs::read_to_string(tiny.path("graph.ron"))
        .unwrap()
        .replace("[2, 4, 8]", "[4, 8]");
    tiny.write("graph.ron", graph);
    let bytes = (floats(&[16, 8]), floats(&[4, 8]));
    let view = |shape: &[usize], bytes| TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap();
    let tensors = [
        ("embed", view(&[16, 8], &bytes.0[..])),
        ("cube", view(&[4, 8], &bytes.1[..])),
    ];
    serialize_to_file(tensors, None, &tiny.path("model.safetensors")).unwrap();
    let model = tiny.open().unwrap();
    assert_eq!(model.vocabulary(), 4);
    let error = model.session().unwrap().step(4).unwrap_err();
    assert_eq!(error.to_string(), "token 4 is not in the vocabulary of 4");
}
