//! A caller's say in the logits, before a token is chosen.

use std::error::Error;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

/// What a hook answers: whether to go on and choose a token, to end the text here, or why that is impossible.
pub type HookResult = Result<ControlFlow<()>, Box<dyn Error + Send + Sync>>;

/// A function that is called before each token is chosen. It is given all tokens so far, the prompt's among them, and the
/// logits of the next, `[vocabulary]`, which it may change: -inf forbids a token, as a grammar does. Biases and all other
/// sampling options come after it.
///
/// The logits that it is given are finite. It may leave them at any number or -inf; NaN or +inf ends the text with an
/// error, as does a row in which all are -inf.
///
/// Clones share one function, which is called by one generation at a time; it must not generate with itself. What it keeps
/// from one call to the next is its own affair: after an error the caller decides whether it can go on.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use smallmind::{GenerateOptions, LogitsHook, Model, Options};
///
/// let model = Model::open("demo", &Options::default())?;
/// // The demo's tokens are bytes: no line may end here, and the text after 40 tokens.
/// let one_line = LogitsHook::new(|tokens, logits| {
///     logits[b'\n' as usize] = f32::NEG_INFINITY;
///     Ok(match tokens.len() {
///         ..40 => ControlFlow::Continue(()),
///         _ => ControlFlow::Break(()),
///     })
/// });
/// let options = GenerateOptions::new().logits_hook(one_line);
/// let mut session = model.session()?;
/// let mut line = Vec::new();
/// model.generate_tokens(&mut session, b"KING: ".map(u32::from).as_slice(), &options, |token| {
///     line.push(token);
///     true
/// })?;
/// assert_eq!(line.len(), 34);
/// assert!(!line.contains(&u32::from(b'\n')));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LogitsHook(Arc<Mutex<Function>>);

/// The tokens so far and the logits of the next, which it may change.
type Function = dyn FnMut(&[u32], &mut [f32]) -> HookResult + Send;

impl LogitsHook {
    /// A hook that calls `function`.
    pub fn new(function: impl FnMut(&[u32], &mut [f32]) -> HookResult + Send + 'static) -> Self {
        LogitsHook(Arc::new(Mutex::new(function)))
    }

    /// What the function answers.
    pub(super) fn call(&self, tokens: &[u32], logits: &mut [f32]) -> HookResult {
        let mut function = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        function(tokens, logits)
    }
}

impl fmt::Debug for LogitsHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogitsHook(..)")
    }
}

/// Hooks are equal if they are the same function with the same state.
impl PartialEq for LogitsHook {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
