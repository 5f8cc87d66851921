//! Lets a caller change the logits before a token is chosen.

use std::error::Error;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

/// What a hook returns: whether to go on and choose a token or to end the text here, or an error.
pub type HookResult = Result<ControlFlow<()>, Box<dyn Error + Send + Sync>>;

/// A function that is called before each token is chosen. Its arguments are all tokens so far, including the prompt's, and the
/// logits of the next token, `[vocabulary]`, which it may change: -inf forbids a token, as a grammar does. Biases and all
/// other sampling options are applied after it.
///
/// The logits that it receives are finite. It may set them to any finite number or -inf; NaN or +inf ends the text with an
/// error, and so does a row in which all logits are -inf.
///
/// Clones share one function, which is called by one generation at a time; the function must not start a generation that uses
/// the same hook. The function alone is responsible for its state: after an error, the caller decides whether it can be used
/// again.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use smallmind::{GenerateOptions, LogitsHook, Model, Options};
///
/// let model = Model::open("demo", &Options::default())?;
/// // The demo's tokens are bytes: forbid the end of the line, and end the text after 40 tokens.
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

/// Receives the tokens so far and the logits of the next token, which it may change.
type Function = dyn FnMut(&[u32], &mut [f32]) -> HookResult + Send;

impl LogitsHook {
    /// A hook that calls `function`.
    pub fn new(function: impl FnMut(&[u32], &mut [f32]) -> HookResult + Send + 'static) -> Self {
        LogitsHook(Arc::new(Mutex::new(function)))
    }

    /// Calls the function and returns its answer.
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
