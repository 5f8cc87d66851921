//! A chat template, which turns messages into the kind of text that a model was trained on.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::time::SystemTime;

use minijinja::{Environment, ErrorKind, Value};
use serde_json::{Map, Value as Json, json};

use super::Message;
use super::environment::{FUEL, TEMPLATE, environment, normalized, strftime_now, value};
use super::jinja::{Origins, Refusal, rewritten};
use crate::kernels::float_environment::FloatEnvironment;
use crate::language::diagnostics::shortened;
use crate::text::template_files::TemplateFileError;

/// The longest template, in bytes.
pub const LONGEST_TEMPLATE: usize = 128 << 10;

/// Stack of the thread that reads and renders a template, in bytes; only the used part takes memory. A template can nest
/// values at most half as deeply as it has fuel, and dropping, printing or comparing a level takes about 1 KiB.
const STACK: usize = 256 << 20;

/// The most characters of an expression that a message shows.
const SHOWN: usize = 120;

/// Why there is no text for the messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// No template could be read from the files.
    #[error(transparent)]
    File(#[from] TemplateFileError),
    /// The template is too long.
    #[error("{file}: a chat template of {bytes} bytes; at most {LONGEST_TEMPLATE} are read")]
    TooLong {
        /// The template's file.
        file: String,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The template is wrong, or does not fit the messages.
    #[error("{place}: {problem}")]
    Failed {
        /// Where the mistake is.
        place: Place,
        /// What is wrong.
        problem: String,
    },
    /// The template itself says that it can't render these messages.
    #[error("{place}: the template refuses the messages: {message}")]
    Refused {
        /// Where the template refuses.
        place: Place,
        /// The template's message.
        message: String,
    },
    /// The template would do more work than a template may.
    #[error("{place}: the template does more work than a chat template may ({FUEL} units)")]
    TooMuchWork {
        /// Where the template stopped.
        place: Place,
    },
    /// The system refuses a thread to render on.
    #[error("can't start a thread for the chat template: {0}")]
    Thread(String),
}

/// A place in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The template's file.
    pub file: String,
    /// The line of the template, from 1, if it is known.
    pub line: Option<usize>,
    /// The expression or tag, if it is known.
    pub expression: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line} of the template")?;
        }
        if let Some(expression) = &self.expression {
            write!(f, ", at `{expression}`")?;
        }
        Ok(())
    }
}

/// A Jinja template that turns messages into a prompt, rendered as transformers does.
///
/// A template is untrusted data: it can't read files, and its work and its recursion, and therefore its output, are bounded.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    file: String,
    /// The text as the author wrote it.
    source: String,
    /// Where the text that the engine reads comes from in the source.
    origins: Origins,
    environment: Environment<'static>,
    tokens: BTreeMap<String, String>,
}

impl ChatTemplate {
    /// Creates a template from its text. Messages call it `file`; `tokens` are the special tokens that it may name, by the
    /// names that it has for them: `bos_token`, `eos_token`.
    ///
    /// # Errors
    /// If the text is not a template.
    pub fn parse(
        file: &str,
        text: &str,
        tokens: BTreeMap<String, String>,
    ) -> Result<ChatTemplate, TemplateError> {
        if text.len() > LONGEST_TEMPLATE {
            return Err(TemplateError::TooLong {
                file: file.to_string(),
                bytes: text.len(),
            });
        }
        let source = normalized(text);
        let read = || {
            let (text, origins) = rewritten(&source);
            match environment(&text) {
                Ok(environment) => Ok((environment, origins)),
                Err(error) => Err(failure(file, &source, &origins, &error)),
            }
        };
        let (environment, origins) = with_roomy_stack(read)??;
        Ok(ChatTemplate {
            file: file.to_string(),
            source,
            origins,
            environment,
            tokens,
        })
    }

    /// The name that messages use for the template.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The special tokens that the template may name.
    pub fn tokens(&self) -> &BTreeMap<String, String> {
        &self.tokens
    }

    /// The text for these messages; with `add_generation_prompt` it ends where the assistant's answer begins. `now` is
    /// the time that the template sees if it asks for it.
    ///
    /// # Errors
    /// If the template fails, as many do for messages in an order that they don't expect.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        now: SystemTime,
    ) -> Result<String, TemplateError> {
        let record = |message: &Message| json!({"role": message.role, "content": message.content});
        let variables = json!({
            "messages": messages.iter().map(record).collect::<Vec<Json>>(),
            "add_generation_prompt": add_generation_prompt,
        });
        match variables {
            Json::Object(variables) => self.render_with(&variables, now),
            _ => self.render_with(&Map::new(), now),
        }
    }

    /// The text for variables of any kind: `messages` with tool calls, `tools`, `enable_thinking` and whatever else the
    /// template reads. The special tokens need not be among them; `tools` and `documents` are none by default.
    ///
    /// # Errors
    /// The errors of [`ChatTemplate::render`].
    pub fn render_with(
        &self,
        variables: &Map<String, Json>,
        now: SystemTime,
    ) -> Result<String, TemplateError> {
        let write = || {
            let _environment = FloatEnvironment::set_default();
            let mut context: BTreeMap<&str, Value> = BTreeMap::new();
            for (name, token) in &self.tokens {
                context.insert(name, Value::from(token.as_str()));
            }
            context.insert("tools", Value::from(()));
            context.insert("documents", Value::from(()));
            context.insert("strftime_now", strftime_now(now));
            for (name, json) in variables {
                context.insert(name, value(json));
            }
            self.environment.get_template(TEMPLATE)?.render(context)
        };
        let failed = |error| failure(&self.file, &self.source, &self.origins, &error);
        with_roomy_stack(|| write().map_err(failed))?
    }
}

/// Run on a thread whose stack is large enough for any values that a bounded template can make. An error of minijinja may
/// contain values of the template, so it must not leave the thread.
fn with_roomy_stack<T: Send>(run: impl FnOnce() -> T + Send) -> Result<T, TemplateError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, run)
            .map_err(|error| TemplateError::Thread(error.to_string()))?;
        thread
            .join()
            .map_err(|_| TemplateError::Thread("the thread panicked".to_string()))
    })
}

/// Translates an error of minijinja, which shows what the author wrote.
fn failure(file: &str, source: &str, origins: &Origins, error: &minijinja::Error) -> TemplateError {
    let expression = error.range().map(|range| origins.of(range));
    let expression = expression.and_then(|range| source.get(range));
    let expression = expression.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let place = Place {
        file: file.to_string(),
        line: error.line(),
        expression: expression
            .filter(|text| !text.is_empty())
            .map(|text| shortened(&text, SHOWN).into()),
    };
    if error.kind() == ErrorKind::OutOfFuel {
        return TemplateError::TooMuchWork { place };
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(Refusal(message)) = inner.downcast_ref() {
            let message = shortened(message, 4 * SHOWN).into();
            return TemplateError::Refused { place, message };
        }
        cause = inner.source();
    }
    let problem = match error.detail() {
        Some(detail) => format!("{}: {}", error.kind(), shortened(detail, 4 * SHOWN)),
        None => error.kind().to_string(),
    };
    TemplateError::Failed { place, problem }
}
