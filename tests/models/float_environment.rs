//! Do models compute the same bits in any floating-point environment of their caller, and leave it as it was?
#![cfg(all(feature = "cli", target_arch = "x86_64"))]

use std::arch::asm;
use std::fs;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::path::Path;

use smallmind::blocks::BlockFormat;
use smallmind::convert::{Quantization, Types};
use smallmind::exec::pool::Pool;
use smallmind::generate::sampler::Sampler;
use smallmind::graph::interpreter::Interpreter;
use smallmind::model::{ModelFiles, Source, compile};
use smallmind::types::DType;
use smallmind::{
    EmbedOptions, GenerateOptions, Model, Options, Pooling, SamplerOptions, ScoreOptions, Session,
};
use tempfile::TempDir;

use crate::common::damaged::{demo_with, edit, encoder};
use crate::common::sentences::Sentences;
use crate::common::{all_rows, data, write_f32};

/// MXCSR after reset: round to nearest even, denormals kept, no traps.
const DEFAULT: u32 = 0x1F80;
const FLUSH_TO_ZERO: u32 = 1 << 15;
const DENORMALS_ARE_ZERO: u32 = 1 << 6;
const ROUND_DOWN: u32 = 1 << 13;
const ROUND_UP: u32 = 2 << 13;
/// All bits except the sticky flags of exceptions.
const CONTROL: u32 = 0xFFC0;

/// Environments that callers may have set.
const ENVIRONMENTS: [u32; 4] = [
    DEFAULT | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO,
    DEFAULT | ROUND_DOWN,
    DEFAULT | ROUND_UP,
    DEFAULT | FLUSH_TO_ZERO | ROUND_DOWN | ROUND_UP,
];

fn mxcsr() -> u32 {
    let mut value = 0u32;
    // SAFETY: four bytes are written to a live local.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack)) };
    value
}

fn set_mxcsr(value: u32) {
    // SAFETY: no value used here has a reserved bit or unmasks an exception. Code that runs under these values either sets
    // the default first, which is what this test checks, or does not depend on it.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack)) };
}

/// The result of `body` when its caller has set `environment`, which must still be set afterwards, even after a panic.
fn under<T>(environment: u32, body: impl FnOnce() -> T) -> Result<T, String> {
    set_mxcsr(environment);
    let result = catch_unwind(AssertUnwindSafe(body));
    let after = mxcsr();
    set_mxcsr(DEFAULT);
    assert_eq!(
        after & CONTROL,
        environment & CONTROL,
        "{environment:#x} is lost"
    );
    result.map_err(|payload| {
        payload
            .downcast_ref::<&str>()
            .unwrap_or(&"a panic")
            .to_string()
    })
}

fn bits(values: &[f32]) -> Vec<u64> {
    values.iter().map(|x| x.to_bits().into()).collect()
}

/// The llama fixture, with its first layer's up-projections multiplied by `small`, which its down-projections undo.
fn llama(small: f32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(data("llama").join(file), folder.path().join(file)).unwrap();
    }
    let scale = |projection: &str, factor: f32| {
        let tensor = format!("model.layers.0.mlp.{projection}.weight");
        edit(folder.path(), &tensor, |values| {
            values.iter_mut().for_each(|x| *x *= factor);
        });
    };
    scale("up_proj", small);
    scale("down_proj", 1.0 / small);
    folder
}

/// The bits of all logits of a prompt and of some steps.
fn logits(session: &mut Session) -> Vec<u64> {
    let mut all = Vec::new();
    let prompt = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
    session
        .prefill_each(&prompt, &mut |rows| all.extend(bits(rows)))
        .unwrap();
    for token in [5, 8, 9] {
        all.extend(bits(session.step(token).unwrap()));
    }
    all
}

fn quantized(folder: &Path, types: &str) -> Vec<u8> {
    let types = Types::all()
        .find(|known| known.name().eq_ignore_ascii_case(types))
        .unwrap();
    let plan = Quantization::plan(folder, types, None).unwrap();
    let mut file = Vec::new();
    let go_on = |_| ControlFlow::Continue(());
    let pool = Pool::new(2).unwrap();
    plan.write(&mut file, &pool, go_on).unwrap();
    file
}

fn bytes(file: Vec<u8>) -> Vec<u64> {
    file.into_iter().map(u64::from).collect()
}

/// Files that are made once, in the default environment.
struct Inputs {
    /// Weights that are f32 subnormals.
    subnormal: TempDir,
    /// Weights that become f16 subnormals when they are converted to that type, and blocks with small scales.
    small: TempDir,
    /// A GGUF file with f16 subnormals.
    f16: (TempDir, String),
    /// A GGUF file of Q8_0 blocks whose scales are f16 subnormals.
    q8_0: (TempDir, String),
    /// An encoder with a dense layer of f32 subnormals after it.
    sentences: Sentences,
}

impl Inputs {
    fn new() -> Inputs {
        let small = llama(3e-4);
        let gguf = |types: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("model.gguf");
            fs::write(&path, quantized(small.path(), types)).unwrap();
            (folder, path.display().to_string())
        };
        let sentences = Sentences::new();
        let types = ["Transformer", "Pooling", "Dense", "Dense"];
        let types = types.map(|name| format!("sentence_transformers.models.{name}"));
        sentences.modules(&types.each_ref().map(String::as_str));
        sentences.write(
            "1_Pooling/config.json",
            r#"{"pooling_mode_mean_tokens": true}"#,
        );
        for (part, factor) in [("2_Dense", 1e-40f32), ("3_Dense", 1e36)] {
            let identity = r#"{"activation_function": "Identity", "bias": false}"#;
            sentences.write(&format!("{part}/config.json"), identity);
            let weight: Vec<f32> = (0..64 * 64).map(|i| (i % 61) as f32 * factor).collect();
            let path = sentences.path().join(part).join("model.safetensors");
            write_f32(&path, &[("linear.weight", vec![64, 64], weight)]);
        }
        Inputs {
            subnormal: llama(1e-38),
            f16: gguf("f16"),
            q8_0: gguf("q8_0"),
            small,
            sentences,
        }
    }
}

/// A computation, from opening a model to the last number.
type Case = fn(&Inputs) -> Vec<u64>;

fn opened(path: &str, options: Options) -> Vec<u64> {
    let options = options.chunk(4).threads(2);
    logits(&mut Model::open(path, &options).unwrap().session().unwrap())
}

fn cast(inputs: &Inputs, weights: DType) -> Vec<u64> {
    opened(
        inputs.small.path().to_str().unwrap(),
        all_rows().weights(weights),
    )
}

const CASES: [(&str, Case); 14] = [
    ("f32 subnormals", |inputs| {
        opened(inputs.subnormal.path().to_str().unwrap(), all_rows())
    }),
    ("f16 subnormals", |inputs| opened(&inputs.f16.1, all_rows())),
    ("blocks of small scales", |inputs| {
        opened(&inputs.q8_0.1, all_rows())
    }),
    ("cast to F16 when loaded", |inputs| cast(inputs, DType::F16)),
    ("cast to BF16 when loaded", |inputs| {
        cast(inputs, DType::BF16)
    }),
    ("cast to Q8_0 when loaded", |inputs| {
        cast(inputs, DType::Blocks(BlockFormat::Q8_0))
    }),
    ("cast to Q4_0 when loaded", |inputs| {
        cast(inputs, DType::Blocks(BlockFormat::Q4_0))
    }),
    ("the interpreter", |inputs| {
        let source = Source::Path(inputs.subnormal.path().to_path_buf());
        let files = ModelFiles::open(&source, &Options::default()).unwrap();
        let graph = compile(&files, &Options::default()).unwrap().graph;
        let weights = files.weights.as_ref().unwrap();
        let mut interpreter = Interpreter::new(&graph, weights).unwrap();
        let outputs = interpreter.step(&[3, 1, 4]);
        bits(&outputs[0].floats())
    }),
    ("generated text", |_| {
        let model = Model::open("demo", &Options::default()).unwrap();
        let sampler = SamplerOptions::new().temperature(1.3).seed(7);
        let sampler = sampler.repetition_penalty(1.1);
        let options = GenerateOptions::new().max_tokens(100).sampler(sampler);
        let mut session = model.session().unwrap();
        let mut text = String::new();
        let generation = model.generate(&mut session, "KING:", &options, |piece| {
            text.push_str(piece);
            true
        });
        let tokens = generation.unwrap().tokens;
        tokens
            .into_iter()
            .map(u64::from)
            .chain(bytes(text.into_bytes()))
            .collect()
    }),
    ("choices between subnormal logits", |_| {
        let mut sampler = Sampler::new(SamplerOptions::greedy(), 3).unwrap();
        vec![sampler.sample(&[1e-41, 3e-41, 2e-41], &[]).unwrap().into()]
    }),
    ("a score", |inputs| {
        let model = Model::open(inputs.subnormal.path(), &all_rows()).unwrap();
        let tokens: Vec<u32> = (0..60).map(|i| i * 7 % 300).collect();
        let mut session = model.session().unwrap();
        let score = model.score_tokens(&mut session, &tokens, &ScoreOptions::new());
        let score = score.unwrap();
        let next = score.next.iter().map(|(_, log)| log.to_bits());
        [score.mean_nll.to_bits(), score.perplexity.to_bits()]
            .into_iter()
            .chain(next)
            .collect()
    }),
    ("embeddings", |inputs| {
        let model = Model::open(inputs.sentences.path(), &Options::default()).unwrap();
        let mut all = Vec::new();
        for pooling in Pooling::ALL {
            let options = EmbedOptions::new()
                .pooling(pooling)
                .normalize(pooling == Pooling::Mean);
            let embedder = model.embedder(&options).unwrap();
            for row in embedder.embed(&["zero one two", "three"]).unwrap() {
                all.extend(bits(&row));
            }
        }
        all
    }),
    ("pooling alone", |_| {
        // Exact numbers, so that the input is the same in any rounding mode.
        let rows: Vec<f32> = (0..60).map(|i| i as f32 * 0.375 - 9.25).collect();
        let mut row = Pooling::Mean.pool(&rows, 6);
        smallmind::embed::normalize(&mut row);
        bits(&row)
    }),
    ("quantized files", |inputs| {
        let mut all = Vec::new();
        for types in ["q8_0", "q4_0", "q6_k", "f16", "bf16"] {
            all.extend(bytes(quantized(inputs.small.path(), types)));
        }
        all
    }),
];

#[test]
fn every_bit_is_the_same_whatever_the_caller_has_set() {
    let inputs = Inputs::new();
    let mut wrong = Vec::new();
    for (name, case) in CASES {
        let clean = case(&inputs);
        assert!(clean.iter().any(|&bits| bits != 0), "{name}");
        for environment in ENVIRONMENTS {
            if under(environment, || case(&inputs)) != Ok(clean.clone()) {
                wrong.push(format!("{name} under {environment:#06x}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn what_subnormals_add_can_be_seen() {
    let inputs = Inputs::new();
    let with = opened(inputs.subnormal.path().to_str().unwrap(), all_rows());
    let tensor = "model.layers.0.mlp.up_proj.weight";
    edit(inputs.subnormal.path(), tensor, |values| {
        assert!(values.iter().filter(|x| x.is_subnormal()).count() > values.len() / 2);
        values
            .iter_mut()
            .filter(|x| x.is_subnormal())
            .for_each(|x| *x = 0.0);
    });
    assert_ne!(
        with,
        opened(inputs.subnormal.path().to_str().unwrap(), all_rows())
    );
}

#[test]
fn an_error_or_a_panic_leaves_the_callers_environment_too() {
    let not_finite = demo_with("transformer.ln_f.weight", 0..1, f32::NAN);
    let encoder = encoder();
    for environment in ENVIRONMENTS {
        let failed = under(environment, || {
            let nowhere = Model::open("no/such/model", &Options::default()).is_err();
            let model = Model::open(not_finite.path(), &all_rows()).unwrap();
            let mut session = model.session().unwrap();
            let unknown = session.prefill(&[1 << 20]).is_err();
            let logits = session.prefill(&[75]).is_err();
            let score = model
                .score_tokens(&mut session, &[75, 73], &ScoreOptions::new())
                .is_err();
            let mut sampler = Sampler::new(SamplerOptions::greedy(), 1).unwrap();
            let choice = sampler.sample(&[f32::NAN], &[]).is_err();
            let model = Model::open(encoder.path(), &Options::default()).unwrap();
            let vector = model.embed_tokens(&[&[1, 2]]).is_err();
            [nowhere, unknown, logits, score, choice, vector]
        });
        assert_eq!(failed, Ok([true; 6]));
        let panicked = under(environment, || {
            let options = Options::default().progress(|_| panic_any("enough"));
            Model::open("demo", &options)
                .map(|_| ())
                .map_err(|error| error.to_string())
        });
        assert_eq!(panicked, Err("enough".to_string()));
    }
}
