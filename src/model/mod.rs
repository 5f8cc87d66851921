//! A model, ready to run: the whole path from files to an executor, and the options for it.
//!
//! What belongs here: finding a model's files, choosing its graph, compiling it, and the [`Model`] that creates
//! sessions. What does not belong here: any of the steps themselves, each of which has its own module.

#[cfg(feature = "tokenizer")]
mod beside;
mod bytes;
mod compile;
mod configuration;
mod engine_memory;
mod error;
mod file_names;
mod files;
mod graphs;
mod identity;
mod lacking;
mod limits;
mod of_files;
mod options;
mod recipe_source;
mod source;
mod text_model;
#[cfg(feature = "tokenizer")]
mod vocabulary;
mod warning;

use std::fmt;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;

pub use bytes::ModelBytes;
#[cfg(not(feature = "internals"))]
pub(crate) use compile::{Compiled, compile};
#[cfg(feature = "internals")]
pub use compile::{Compiled, compile, threads};
#[cfg(not(feature = "internals"))]
pub(crate) use configuration::Configuration;
#[cfg(feature = "internals")]
pub use configuration::Configuration;
pub use engine_memory::{EngineMemory, TooSmall};
pub use error::ModelError;
#[cfg(not(feature = "internals"))]
pub(crate) use files::ModelFiles;
#[cfg(feature = "internals")]
pub use files::ModelFiles;
pub(crate) use files::read_json;
#[cfg(feature = "tokenizer")]
pub(crate) use files::read_json_up_to;
#[cfg(all(feature = "tokenizer", not(feature = "internals")))]
pub(crate) use graphs::GGUF_GRAPH;
#[cfg(feature = "tokenizer")]
pub(crate) use graphs::choose_graph;
#[cfg(feature = "internals")]
pub use graphs::{GGUF_GRAPH, GraphOrigin, builtin_graphs};
pub use options::{Activations, Logits, OnProgress, Options, Output, Progress, Text, WeightAccess};
pub(crate) use recipe_source::RecipeSource;
pub use source::Source;
#[cfg(feature = "tokenizer")]
use vocabulary::Vocabulary;
#[cfg(feature = "tokenizer")]
pub use vocabulary::open_tokenizer;
pub use warning::Warning;

#[cfg(feature = "tokenizer")]
use self::beside::beside;
use crate::exec::arena::ArenaError;
use crate::exec::batcher::Batcher;
use crate::exec::executor::Executor;
use crate::exec::pool::Pool;
use crate::exec::refused::Refused;
use crate::exec::saved::SavedSessionError;
use crate::exec::session::Session;
use crate::exec::shared_batcher::SharedBatcher;
use crate::exec::shared_texts::{Rows, SharedTexts};
use crate::exec::weights;
use crate::kernels::float_environment::FloatEnvironment;
use crate::kernels::simd::Isa;
use crate::plan::MemoryReport;
use crate::rewrite::Report;
#[cfg(feature = "tokenizer")]
use crate::text::tokenizer::{Tokenizer, TokenizerError};

/// A model, ready to run. It is cheap to clone; clones share weights and threads, and may be used from any thread.
#[derive(Clone)]
pub struct Model {
    shared: Arc<Shared>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("graph", &self.shared.compiled.graph_file)
            .field("context", &self.context())
            .field("vocabulary", &self.vocabulary())
            .field("threads", &self.threads())
            .finish_non_exhaustive()
    }
}

struct Shared {
    executor: Arc<Executor>,
    compiled: Arc<Compiled>,
    recipe_source: RecipeSource,
    /// The approximate size of the tokenizer in bytes.
    tokenizer_estimate: usize,
    #[cfg(feature = "tokenizer")]
    tokenizer: Result<Arc<Tokenizer>, TokenizerError>,
    #[cfg(feature = "chat")]
    template_files: crate::text::template_files::TemplateFiles,
}

impl Model {
    /// Open a model: a folder with `config.json` and safetensors files, a GGUF file, or `demo`, the embedded model (write
    /// `./demo` for a folder with that name). Compiles its graph, packs its weights and starts its threads.
    ///
    /// # Errors
    /// If files are missing or damaged, no graph file describes the model, an option is out of its range, the system refuses
    /// memory or threads, or [`Options::progress`] ends the loading.
    pub fn open(source: impl Into<Source>, options: &Options) -> Result<Model, ModelError> {
        let _environment = FloatEnvironment::set_default();
        let mut files = ModelFiles::open(&source.into(), options)?;
        let compiled = compile(&files, options)?;
        let Some(weight_files) = files.weights.take() else {
            let folder = files.folder.as_ref();
            let instead = folder.map(lacking::instead_of_weights).unwrap_or_default();
            let problem = format!(
                "no weights: neither model.safetensors nor model.safetensors.index.json{instead}"
            );
            return Err(ModelError::NoModel {
                path: files.path,
                problem,
            });
        };
        let threads = compiled.plan.options().threads;
        let progress = |done, all| match &options.progress {
            Some(progress) => progress.tell(Progress { done, all }),
            None => ControlFlow::Continue(()),
        };
        let load = || {
            let (graph, needs) = (&compiled.graph, compiled.plan.weights());
            weights::load(graph, needs, &weight_files, threads, &progress)
        };
        #[cfg(not(feature = "tokenizer"))]
        let weights = load()?;
        #[cfg(feature = "tokenizer")]
        let (weights, tokenizer) = match vocabulary(&files, options.text)? {
            Ok(vocabulary) => {
                let thread = std::thread::Builder::new().name("tokenizer".to_string());
                let (weights, built) = beside(thread, load, || vocabulary.build());
                let panicked = |message| TokenizerError::Malformed {
                    file: files.path.clone(),
                    problem: format!("reading it panicked: {message}"),
                };
                (weights?, Ok(built.map_err(panicked)??))
            }
            Err(missing) => (load()?, Err(missing)),
        };
        #[cfg(feature = "tokenizer")]
        let compiled = Compiled {
            eos_tokens: eos_tokens(compiled.eos_tokens, tokenizer.as_ref().ok()),
            ..compiled
        };
        #[cfg(feature = "tokenizer")]
        let tokenizer_estimate = match &tokenizer {
            Ok(_) => files.tokenizer_estimate(),
            Err(_) => 0,
        };
        #[cfg(not(feature = "tokenizer"))]
        let tokenizer_estimate = 0;
        let pool = Pool::new(threads).map_err(ModelError::Threads)?;
        let plan = compiled.plan.clone();
        let compiled = Arc::new(compiled);
        let recipe_source = RecipeSource::of(&files)?;
        let identity = identity::identity(compiled.clone(), weight_files);
        let executor = Arc::new(Executor::new(plan, weights, pool)?.with_identity(identity));
        Ok(Model {
            shared: Arc::new(Shared {
                executor,
                compiled,
                recipe_source,
                tokenizer_estimate,
                #[cfg(feature = "tokenizer")]
                tokenizer: tokenizer.map(Arc::new),
                #[cfg(feature = "chat")]
                template_files: files.template_files(),
            }),
        })
    }

    /// Open a model whose files are in the program's memory, without reading any other file.
    ///
    /// # Errors
    /// The errors of [`Model::open`]; an error names a file by the name that it would have in a folder (`config.json`,
    /// `model.gguf`).
    pub fn from_bytes(bytes: ModelBytes, options: &Options) -> Result<Model, ModelError> {
        Model::open(bytes, options)
    }

    /// A new sequence. Its memory is what [`Model::plan`] states; it is allocated here and never grows.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub fn session(&self) -> Result<Session, ArenaError> {
        Session::new(self.shared.executor.clone(), self.vocabulary())
    }

    /// A reader of whole texts, for any number of threads.
    pub(crate) fn shared_texts<R: Rows>(&self) -> Result<SharedTexts<R>, ArenaError> {
        SharedTexts::new(self.shared.executor.clone(), self.vocabulary())
    }

    /// A session of an engine that gets at most `positions` positions.
    pub(crate) fn shared_session(
        &self,
        batcher: Arc<SharedBatcher>,
        positions: usize,
    ) -> Result<Session, Refused> {
        Session::shared(self.shared.executor.clone(), batcher, positions)
    }

    /// Many sequences that share `pages` pages.
    #[cfg(feature = "internals")]
    pub fn batcher(&self, pages: usize) -> Result<Batcher, ArenaError> {
        Batcher::new(self.shared.executor.clone(), self.vocabulary(), pages)
    }

    /// Many sequences that share `pages` pages.
    #[cfg(not(feature = "internals"))]
    pub(crate) fn batcher(&self, pages: usize) -> Result<Batcher, ArenaError> {
        Batcher::new(self.shared.executor.clone(), self.vocabulary(), pages)
    }

    /// The session that [`Session::save`] wrote. The model and its passes must be the same, while threads, chunks, the
    /// instruction set and the context may differ. The next output has the same bits as it would have had in the saved session.
    ///
    /// # Errors
    /// If the bytes can't be read, are damaged, or belong to another model or a longer context.
    pub fn load_session(&self, from: &mut impl Read) -> Result<Session, SavedSessionError> {
        self.session()?.load(from)
    }

    /// Every byte of memory that the model and one session take.
    pub fn plan(&self) -> MemoryReport {
        let Compiled {
            plan, weight_bytes, ..
        } = &*self.shared.compiled;
        MemoryReport::new(plan, *weight_bytes).with_tokenizer(self.shared.tokenizer_estimate)
    }

    /// What the model's files ask for but the model does not do, although it runs.
    pub fn warnings(&self) -> &[Warning] {
        &self.shared.compiled.warnings
    }

    /// What the passes did and, if [`Options::near_misses`] asked, where rules nearly fired.
    pub fn report(&self) -> &Report {
        &self.shared.compiled.report
    }

    /// The graphs, the plan and the parameters.
    #[cfg(feature = "internals")]
    pub fn compiled(&self) -> &Compiled {
        &self.shared.compiled
    }

    /// The graphs, the plan and the parameters.
    #[cfg(not(feature = "internals"))]
    pub(crate) fn compiled(&self) -> &Compiled {
        &self.shared.compiled
    }

    /// Number of positions of a session.
    pub fn context(&self) -> usize {
        self.shared.compiled.plan.options().context
    }

    /// How many token ids the model knows.
    pub fn vocabulary(&self) -> usize {
        self.shared.compiled.vocabulary
    }

    /// What the model was asked to return: [`Options::output`].
    pub fn output(&self) -> Output {
        self.shared.compiled.output
    }

    /// Whether tokens see later tokens, as in an encoder. Such a model reads only whole texts and can't continue a
    /// text.
    pub fn is_bidirectional(&self) -> bool {
        self.shared.compiled.plan.is_bidirectional()
    }

    /// Tokens that end a text.
    pub fn eos_tokens(&self) -> &[u32] {
        &self.shared.compiled.eos_tokens
    }

    /// The token that begins a text, if the model has one.
    pub fn bos_token(&self) -> Option<u32> {
        self.shared.compiled.bos_token
    }

    /// The instruction set of the kernels.
    pub fn isa(&self) -> Isa {
        self.shared.compiled.plan.options().isa
    }

    /// Number of threads that run a step.
    pub fn threads(&self) -> usize {
        self.shared.compiled.plan.options().threads
    }

    /// Where to read how this model's hidden states become embeddings.
    pub(crate) fn recipe_source(&self) -> &RecipeSource {
        &self.shared.recipe_source
    }

    /// The tokenizer, if the model has one of a known kind and was not opened without it ([`Options::text`]).
    #[cfg(feature = "tokenizer")]
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.shared.tokenizer.as_deref().ok()
    }

    /// The tokenizer, or why there is none.
    #[cfg(feature = "tokenizer")]
    pub(crate) fn text_tokenizer(&self) -> Result<&Tokenizer, TokenizerError> {
        self.shared.tokenizer.as_deref().map_err(Clone::clone)
    }

    /// The tokenizer, shared with the model.
    #[cfg(feature = "tokenizer")]
    pub(crate) fn shared_tokenizer(&self) -> Result<Arc<Tokenizer>, TokenizerError> {
        self.shared.tokenizer.clone()
    }

    /// Where the chat template may be.
    #[cfg(feature = "chat")]
    pub(crate) fn template_files(&self) -> &crate::text::template_files::TemplateFiles {
        &self.shared.template_files
    }
}

/// The source of the tokenizer. The inner error says what is missing if that is not a reason to refuse the model.
#[cfg(feature = "tokenizer")]
fn vocabulary(
    files: &ModelFiles,
    text: Text,
) -> Result<Result<Vocabulary, TokenizerError>, ModelError> {
    let vocabulary = files.vocabulary();
    match (text, vocabulary.check()) {
        (Text::Never, _) => Ok(Err(TokenizerError::Missing {
            problem: "the model was opened without its tokenizer".to_string(),
        })),
        (Text::IfAny, Err(missing @ TokenizerError::Missing { .. })) => Ok(Err(missing)),
        (_, Err(error)) => Err(error.into()),
        (_, Ok(())) => Ok(Ok(vocabulary)),
    }
}

/// The tokens that the files name as ends of texts, then the tokens that the vocabulary spells like an end of text.
#[cfg(feature = "tokenizer")]
fn eos_tokens(mut named: Vec<u32>, tokenizer: Option<&Tokenizer>) -> Vec<u32> {
    for &id in tokenizer.map(Tokenizer::end_tokens).unwrap_or_default() {
        if !named.contains(&id) {
            named.push(id);
        }
    }
    named
}
