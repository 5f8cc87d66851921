//! Turns a model's files into a plan, without reading any weight.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::limits::limits;
use super::{Activations, Configuration, Logits, ModelError, ModelFiles, Options, Output, Warning};
use crate::architecture::bind::{bind, bind_part, find_tensor};
use crate::architecture::config_keys;
use crate::architecture::expand::{Expanded, expand};
use crate::architecture::parameters::{ParameterSource, SourceKind};
use crate::architecture::used::CONTEXT;
use crate::exec::machine;
use crate::graph::{Graph, Kind, Name, is_bidirectional, keeps_sequences_apart, verify};
use crate::kernels::float_environment::FloatEnvironment;
use crate::kernels::simd::Isa;
use crate::language::diagnostics::{Position, Problem, Problems};
use crate::language::value::Value;
use crate::plan::{ModelPlan, PlanOptions};
use crate::rewrite::{PassOptions, Passes, Report};
use crate::transform::{self, Settings};
use crate::types::StepSize;

/// The context of a session if neither the caller nor the model asks for less.
const DEFAULT_CONTEXT: usize = 4096;
/// The most positions of a session: up to here they are exact as floats, which rotary embeddings use.
const MOST_CONTEXT: usize = 1 << 24;
/// The most tokens of a prompt step if the caller chooses no number: beyond a few hundred, matrix products gain
/// nothing. For a model that reads only whole texts, steps have at least as many tokens as its context.
const DEFAULT_CHUNK: usize = 512;
/// The pass that turns activations into int8.
const QUANTIZE: &str = "quantize_activations";
/// The pass that makes hidden states the output.
const HIDDEN: &str = "hidden_output";
/// The most elements of the output of a prompt step that computes all its rows, if the caller chooses no number: 64 MiB as f32.
const MOST_OUTPUT: usize = 16 << 20;
/// The most threads that can be asked for.
const MOST_THREADS: usize = 1024;

/// A compiled model.
#[derive(Clone)]
pub struct Compiled {
    /// The graph file that it was made from.
    pub graph_file: String,
    /// The family of files that it was made from.
    pub source: SourceKind,
    /// Tensors that the weight files may have although no node reads them; `*` stands for any text.
    #[cfg_attr(not(feature = "internals"), allow(dead_code))] // Shown by the program.
    pub ignore: Vec<String>,
    /// The model's parameters.
    #[cfg_attr(not(feature = "internals"), allow(dead_code))] // Shown by the program.
    pub params: BTreeMap<String, Value>,
    /// The graph that every step runs, after the passes.
    pub graph: Graph,
    /// What the passes did.
    pub report: Report,
    /// The plan.
    pub plan: Arc<ModelPlan>,
    /// What the caller wants the graph to return.
    pub output: Output,
    /// How many token ids the model knows.
    pub vocabulary: usize,
    /// Bytes of the tensors that the graph reads, in the weight files.
    pub weight_bytes: usize,
    /// Tokens that end a text.
    pub eos_tokens: Vec<u32>,
    /// The token that begins a text.
    pub bos_token: Option<u32>,
    /// What the files ask for but the model does not do.
    pub warnings: Vec<Warning>,
}

/// Compile a model: load its graph, run the passes, plan.
pub fn compile(files: &ModelFiles, options: &Options) -> Result<Compiled, ModelError> {
    let _environment = FloatEnvironment::set_default();
    let headers = files.headers();
    let prefixes = &files.graph.prefixes;
    let has = |name: &str| {
        headers
            .as_ref()
            .is_some_and(|headers| find_tensor(headers, prefixes, name).is_some())
    };
    let expanded = expand(&files.graph, &files.config, &has)?;
    let mut warnings = files.warnings()?;
    let mut graph = match options.output {
        Output::Logits => bind(&files.graph.file, &expanded, headers.as_ref())?,
        Output::Hidden => bind_part(&files.graph.file, &expanded, headers.as_ref(), &headless)?,
    };
    graph.edit().sweep();
    verify(&graph)?;
    let limits = limits(&graph).map_err(|unbounded| {
        let problem = |(node, message): (Name, String)| {
            let flat = expanded
                .nodes
                .iter()
                .find(|flat| flat.names.iter().any(|name| **name == *node));
            Problem::new(flat.map_or(Position::START, |flat| flat.position), message).of(&*node)
        };
        let (file, problems) = (
            files.graph.file.clone(),
            unbounded.into_iter().map(problem).collect(),
        );
        Problems { file, problems }
    })?;
    // Of a deep model the rest is large, and nothing else reads it.
    let Expanded { params, ignore, .. } = expanded;
    let passes = match &options.passes {
        Some(folder) => Passes::from_dir(folder)?,
        None => Passes::builtin()?,
    };
    let mut without = options.without.clone();
    if options.activations == Activations::F32 && passes.names().any(|name| name == QUANTIZE) {
        without.insert(QUANTIZE.to_string());
    }
    let pass_options = PassOptions {
        without,
        stop_after: options.stop_after.clone(),
        verify: cfg!(debug_assertions),
        near_misses: options.near_misses,
        settings: Settings {
            weights: options.weights,
            without_head_of: match options.output {
                Output::Logits => None,
                Output::Hidden => limits.vocabulary,
            },
        },
    };
    let report = passes.run(&mut graph, &pass_options)?;
    if !passes.is_on(HIDDEN, &pass_options) && has_head(&graph, &pass_options.settings) {
        return Err(ModelError::PassLeftOut {
            option: "output",
            pass: HIDDEN,
        });
    }
    let bidirectional = is_bidirectional(&graph);
    let stated = stated_context(&files.config, &params)?;
    let context = context(stated, limits.positions, options)?;
    if let Some(stated) = stated.filter(|stated| *stated < context) {
        let config = files.config.describe();
        warnings.push(Warning::Context {
            config,
            context,
            stated,
        });
    }
    let together = bidirectional && keeps_sequences_apart(&graph);
    let default_chunk = match (bidirectional, together, options.logits) {
        (true, true, _) => context.max(DEFAULT_CHUNK),
        (true, false, _) => context,
        (false, _, Logits::Last) => DEFAULT_CHUNK,
        (false, _, Logits::All) => {
            let width = graph.outputs().first().and_then(|&v| graph.ty(v).width());
            let row = width.map_or(1, |width| width.resolve(StepSize::ONE));
            (MOST_OUTPUT / row.max(1)).clamp(1, DEFAULT_CHUNK)
        }
    };
    let chunk = options.chunk.unwrap_or(default_chunk);
    // A step that reads one text has no more tokens than the context has positions.
    let chunk = if together { chunk } else { chunk.min(context) };
    if chunk == 0 || chunk > MOST_CONTEXT {
        let range = match chunk {
            0 => "1 or more".to_string(),
            _ => format!("from 1 to {MOST_CONTEXT}"),
        };
        return Err(ModelError::Option {
            option: "chunk",
            value: chunk,
            range,
        });
    }
    let plan = ModelPlan::new(
        &graph,
        PlanOptions {
            context,
            chunk,
            sequences: options.sequences.max(1),
            rows: match options.logits {
                // The last token's of each sequence.
                Logits::Last => Some(options.sequences.max(1)),
                Logits::All => None,
            },
            threads: threads(options)?,
            fewer_threads: options.threads.is_none(),
            isa: isa(options)?,
            in_place: passes.is_on("in_place", &pass_options),
            reuse_buffers: passes.is_on("reuse_buffers", &pass_options),
        },
    )?;
    let weight_bytes = graph
        .ids()
        .filter(|&id| matches!(graph.node(id).kind, Kind::Weight(_)));
    let weight_bytes = weight_bytes
        .map(|id| graph.ty(id.into()).bytes(StepSize::ONE))
        .sum();
    let (eos, bos) = (files.config.eos_tokens(), files.config.bos_token());
    Ok(Compiled {
        graph_file: files.graph.file.clone(),
        ignore,
        params,
        graph,
        report,
        plan: Arc::new(plan),
        output: options.output,
        vocabulary: limits.vocabulary.unwrap_or(i32::MAX as usize),
        weight_bytes,
        eos_tokens: eos.ids,
        bos_token: bos.ids.first().copied(),
        warnings,
        source: files.config.kind(),
    })
}

/// Runs [`HIDDEN`] alone: whether it changed anything.
fn remove_head(graph: &mut Graph, settings: &Settings) -> bool {
    let changes = transform::find(HIDDEN).map(|pass| (pass.run)(graph, settings));
    changes.is_some_and(|changes| changes.is_ok_and(|changes| !changes.is_empty()))
}

/// Whether the graph computes logits that the settings do not want.
fn has_head(graph: &Graph, settings: &Settings) -> bool {
    settings.without_head_of.is_some() && remove_head(&mut graph.clone(), settings)
}

/// The part of the graph that is needed for hidden states.
fn headless(graph: &Graph) -> Graph {
    let mut part = graph.clone();
    let settings = Settings {
        without_head_of: limits(graph).ok().and_then(|limits| limits.vocabulary),
        ..Settings::default()
    };
    remove_head(&mut part, &settings);
    part
}

/// The most positions that the model states: by the parameter `context`, otherwise by a key that is known to state it.
fn stated_context(
    config: &Configuration,
    params: &BTreeMap<String, Value>,
) -> Result<Option<usize>, ModelError> {
    let found = match params.get(CONTEXT) {
        None | Some(Value::Null) => {
            let stated = config_keys::stated_context(config)?;
            return Ok(stated
                .map(|(_, positions)| positions)
                .filter(|positions| *positions > 0));
        }
        Some(Value::Int(positions @ 1..)) => return Ok(usize::try_from(*positions).ok()),
        Some(Value::Int(positions)) => format!("{positions} positions; it must be 1 or more"),
        Some(other) => format!("{}; it must be an integer", other.kind()),
    };
    let message = format!("the model's context is {found}");
    Err(Problems::one(config.describe(), Problem::new(Position::START, message)).into())
}

/// The session's positions: the caller's number, or otherwise the smaller of the model's number and
/// [`DEFAULT_CONTEXT`].
fn context(
    stated: Option<usize>,
    table: Option<usize>,
    options: &Options,
) -> Result<usize, ModelError> {
    let most = table.unwrap_or(MOST_CONTEXT);
    let context = options
        .context
        .unwrap_or_else(|| DEFAULT_CONTEXT.min(stated.unwrap_or(most)).min(most));
    if context == 0 || context > most {
        let range = match table {
            Some(rows) => format!("from 1 to {rows}, the positions that the model's tables have"),
            None => format!("from 1 to {MOST_CONTEXT}"),
        };
        return Err(ModelError::Option {
            option: "context",
            value: context,
            range,
        });
    }
    Ok(context)
}

/// How many threads the options ask for; without a number, as many as the machine can run at full speed.
pub fn threads(options: &Options) -> Result<usize, ModelError> {
    match options.threads {
        None => Ok(machine::threads().min(MOST_THREADS)),
        Some(threads @ 1..=MOST_THREADS) => Ok(threads),
        Some(value) => Err(ModelError::Option {
            option: "threads",
            value,
            range: format!("from 1 to {MOST_THREADS}"),
        }),
    }
}

fn isa(options: &Options) -> Result<Isa, ModelError> {
    Ok(match &options.isa {
        Some(name) => Isa::named(name)?,
        None => Isa::detect(),
    })
}
