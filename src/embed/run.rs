//! The loop that turns texts into embeddings: tokens, steps filled with texts, pooling.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use super::pooling::Pooler;
use super::recipe::Recipe;
use super::{EmbedError, EmbedOptions, Pooling};
use crate::exec::shared_texts::SharedTexts;
use crate::kernels::float_environment::FloatEnvironment;
use crate::model::{Model, Output};

/// A model that turns texts into vectors. It is cheap to clone: clones share the memory of its steps, which is allocated once,
/// and may be used from any thread. The texts of threads that embed at the same time are read in the same steps, with the
/// bits that each would get alone.
#[derive(Clone)]
pub struct Embedder {
    model: Model,
    texts: Arc<SharedTexts<Pooler>>,
    recipe: Arc<Recipe>,
    /// Elements of a row of hidden state.
    width: usize,
}

impl fmt::Debug for Embedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedder")
            .field("model", &self.model)
            .field("recipe", &self.recipe)
            .finish_non_exhaustive()
    }
}

impl Embedder {
    /// The most tokens of a text, including special tokens: the limit that the model's files state, but at most the context,
    /// and, if texts are read whole, at most as many as fit in one step.
    pub fn max_tokens(&self) -> usize {
        let plan = &self.model.compiled().plan;
        let room = match plan.is_bidirectional() {
            true => self.model.context().min(plan.options().chunk),
            false => self.model.context(),
        };
        self.recipe.max_tokens.map_or(room, |most| most.min(room))
    }

    /// The pooling.
    pub fn pooling(&self) -> Pooling {
        self.recipe.pooling
    }

    /// Steps so far, of all clones: texts that several threads embed at the same time share steps.
    pub fn steps(&self) -> u64 {
        self.texts.steps()
    }

    /// A text as the tokenizer must see it: after the prompt that the model's files name, and in lower case if they say so.
    pub fn prepared(&self, text: &str) -> String {
        let whole = format!("{}{text}", self.recipe.prompt);
        match self.recipe.lower_case {
            true => whole.to_lowercase(),
            false => whole,
        }
    }

    /// The tokens of a text as they are embedded: with the tokens that the tokenizer puts around it, and without the end of
    /// a text that has more than [`Embedder::max_tokens`] tokens. The tokens that the tokenizer puts after a text stay.
    ///
    /// # Errors
    /// If the model has no tokenizer, or the tokenizer fails.
    #[cfg(feature = "tokenizer")]
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>, EmbedError> {
        let tokenizer = self.model.tokenizer().ok_or(EmbedError::NoTokenizer)?;
        let text = self.prepared(text);
        Ok(tokenizer.encode_cut(&text, self.max_tokens())?)
    }

    /// The embeddings of texts, in their order. Texts of more than [`Embedder::max_tokens`] tokens are cut.
    ///
    /// # Errors
    /// If the model has no tokenizer, the tokenizer fails, or a text can't be read.
    #[cfg(feature = "tokenizer")]
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let tokens: Vec<Vec<u32>> = texts
            .iter()
            .map(|text| self.tokens(text))
            .collect::<Result<_, _>>()?;
        let tokens: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        self.embed_tokens(&tokens)
    }

    /// The embeddings of texts given as token ids, in their order. The ids are used as they are; a text longer than the
    /// context is an error.
    ///
    /// # Errors
    /// If a text is empty, is longer than the context, or has ids that the model does not know.
    pub fn embed_tokens(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let _environment = FloatEnvironment::set_default();
        // The longest first, so that the texts of a step leave little room.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&text| Reverse(texts[text].len()));
        let pooler = || Pooler::new(self.recipe.pooling, self.width);
        let given = order.iter().map(|&text| (texts[text].to_vec(), pooler()));
        let answers = self.texts.read(given.collect());
        let mut embeddings = vec![Vec::new(); texts.len()];
        let mut failed = None;
        for (text, answer) in order.into_iter().zip(answers) {
            match answer {
                Ok(pooler) => embeddings[text] = self.finish(pooler, text, texts[text].len())?,
                // The first text that failed, in the caller's order.
                Err(error) if failed.as_ref().is_none_or(|(first, _)| text < *first) => {
                    failed = Some((text, error));
                }
                Err(_) => {}
            }
        }
        match failed {
            None => Ok(embeddings),
            Some((text, error)) => Err(EmbedError::Text { text, error }),
        }
    }

    /// The embedding of the text `number`, which has so many tokens.
    fn finish(&self, pooler: Pooler, number: usize, tokens: usize) -> Result<Vec<f32>, EmbedError> {
        if pooler.tokens() != tokens && self.recipe.pooling != Pooling::Last {
            return Err(EmbedError::LastRowOnly);
        }
        self.recipe.finish(pooler.finish(), number)
    }
}

impl Model {
    /// An embedder, which turns texts into vectors with this model. A language model must have been opened with
    /// [`Output::Hidden`], and with [`Logits::All`](crate::model::Logits::All) for any pooling but the last token.
    ///
    /// # Errors
    /// If the output is logits, the files ask for something that is not supported, or the system has no memory for a
    /// session.
    pub fn embedder(&self, options: &EmbedOptions) -> Result<Embedder, EmbedError> {
        let _environment = FloatEnvironment::set_default();
        let width = self.compiled().plan.logits_width();
        if self.output() == Output::Logits && width >= self.vocabulary() {
            return Err(EmbedError::NoHiddenState { vocabulary: width });
        }
        // A causal model's last token is the only one that has seen the whole text.
        let unstated = match self.is_bidirectional() {
            true => Pooling::Mean,
            false => Pooling::Last,
        };
        let recipe = Recipe::read(self.recipe_source(), options, unstated, width)?;
        Ok(Embedder {
            model: self.clone(),
            texts: Arc::new(self.shared_texts()?),
            recipe: Arc::new(recipe),
            width,
        })
    }

    /// The embeddings of texts, in their order, as the model's files say: pooled, passed through dense layers if there
    /// are any, and normalised. Texts longer than the files' limit are truncated. Allocates memory for this call; to keep the
    /// memory, to share steps with other threads, or to choose other options, use [`Model::embedder`].
    ///
    /// # Errors
    /// The errors of [`Model::embedder`] and [`Embedder::embed`].
    #[cfg(feature = "tokenizer")]
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embedder(&EmbedOptions::default())?.embed(texts)
    }

    /// The embeddings of texts given as token ids. See [`Model::embed`].
    ///
    /// # Errors
    /// The errors of [`Model::embedder`] and [`Embedder::embed_tokens`].
    pub fn embed_tokens(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embedder(&EmbedOptions::default())?.embed_tokens(texts)
    }
}
