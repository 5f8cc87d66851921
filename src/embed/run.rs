//! The loop that turns texts into embeddings: tokens, steps filled with texts, pooling.

use std::fmt;

use super::pooling::Pooler;
use super::recipe::Recipe;
use super::{EmbedError, EmbedOptions, Pooling};
use crate::exec::session::{Session, StepError};
use crate::kernels::float_environment::FloatEnvironment;
use crate::model::{Model, Output};

/// A model that turns texts into vectors, with its own session. Its memory is allocated once: a step allocates
/// nothing except the embeddings that are returned.
pub struct Embedder {
    model: Model,
    session: Session,
    recipe: Recipe,
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
    pub fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
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
    pub fn embed_tokens(&mut self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let _environment = FloatEnvironment::set_default();
        if let Some(text) = texts.iter().position(|text| text.is_empty()) {
            let error = StepError::Empty;
            return Err(EmbedError::Text { text, error });
        }
        match self.model.is_bidirectional() {
            true => self.embed_whole(texts),
            false => texts
                .iter()
                .enumerate()
                .map(|(number, text)| self.embed_in_order(number, text))
                .collect(),
        }
    }

    /// Texts that are read whole: steps are filled with them, the longest first.
    fn embed_whole(&mut self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let plan = &self.model.compiled().plan;
        let (most_texts, chunk) = (plan.texts(), plan.options().chunk);
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&text| std::cmp::Reverse(texts[text].len()));
        let mut embeddings = vec![Vec::new(); texts.len()];
        let mut batch: Vec<&[u32]> = Vec::with_capacity(most_texts.min(texts.len()));
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let mut tokens = 0;
            batch.clear();
            for &text in rest.iter().take(most_texts) {
                tokens += texts[text].len();
                if tokens > chunk && !batch.is_empty() {
                    break;
                }
                batch.push(texts[text]);
            }
            let (here, later) = rest.split_at(batch.len());
            let encoded = self.session.encode(&batch).map_err(|error| {
                let of_text = |&(place, text): &(usize, &usize)| match error {
                    StepError::UnknownToken { token, .. } => texts[*text].contains(&token),
                    StepError::NotFinite { text, .. } => place == text,
                    // A text that is too long is among the longest, so it comes first.
                    _ => true,
                };
                let text = here.iter().enumerate().find(of_text).map(|(_, text)| text);
                EmbedError::Text {
                    text: text.copied().unwrap_or_default(),
                    error,
                }
            })?;
            for (place, &text) in here.iter().enumerate() {
                let pooled = self.recipe.pooling.pool(encoded.text(place), self.width);
                embeddings[text] = self.recipe.finish(pooled, text)?;
            }
            rest = later;
        }
        Ok(embeddings)
    }

    /// A text that is read chunk by chunk.
    fn embed_in_order(&mut self, number: usize, text: &[u32]) -> Result<Vec<f32>, EmbedError> {
        let mut pooler = Pooler::new(self.recipe.pooling, self.width);
        self.session.truncate(0);
        let read = self
            .session
            .prefill_each(text, &mut |rows| pooler.add(rows));
        read.map_err(|error| EmbedError::Text {
            text: number,
            error,
        })?;
        if pooler.tokens() != text.len() && self.recipe.pooling != Pooling::Last {
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
        let session = self.session()?;
        let width = session.logits_width();
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
            session,
            recipe,
            width,
        })
    }

    /// The embeddings of texts, in their order, as the model's files say: pooled, passed through dense layers if there
    /// are any, and normalised. Texts longer than the files' limit are truncated. Creates a session for this call; to keep a
    /// session, or to choose other options, use [`Model::embedder`].
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
