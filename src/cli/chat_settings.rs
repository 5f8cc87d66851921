//! What `/set` changes in a conversation, and what it shows: one row for each setting.

use std::str::FromStr;

use smallmind::SamplerOptions;
use smallmind::chat::{Conversation, Turn};
use smallmind::generate::options::GenerateOptions;

use super::sampling::{Most, Seed};

/// A conversation, how it is answered, and the statistics of the last answer.
pub struct Talk {
    pub conversation: Conversation,
    pub options: GenerateOptions,
    pub seed: Seed,
    /// The last answer, and the seed from which it was drawn.
    pub last: Option<(Turn, u64)>,
}

/// A setting.
struct Setting {
    /// The name that it has on the command line, without dashes.
    name: &'static str,
    show: fn(&Talk) -> String,
    set: fn(&mut Talk, &str) -> Result<(), String>,
}

/// A setting of the sampler that is a number.
macro_rules! sampler {
    ($name:literal, $field:ident) => {
        Setting {
            name: $name,
            show: |talk| talk.options.sampler.$field.to_string(),
            set: |talk, value| read(value).map(|value| talk.options.sampler.$field = value),
        }
    };
}

const SETTINGS: [Setting; 7] = [
    sampler!("temp", temperature),
    sampler!("top-k", top_k),
    sampler!("top-p", top_p),
    sampler!("min-p", min_p),
    sampler!("repeat-penalty", repetition_penalty),
    Setting {
        name: "max-tokens",
        show: |talk| {
            let most = talk.options.max_tokens;
            most.map_or("-1 (until the model ends it)".to_string(), |most| {
                most.to_string()
            })
        },
        set: |talk, value| {
            let Most(most) = value.parse()?;
            talk.options.max_tokens = most;
            Ok(())
        },
    },
    Setting {
        name: "seed",
        show: |talk| match talk.seed {
            Seed::Fixed(seed) => seed.to_string(),
            Seed::New => "-1 (a new seed for each answer)".to_string(),
        },
        set: |talk, value| {
            talk.seed = value.parse()?;
            Ok(())
        },
    },
];

fn read<T: FromStr>(value: &str) -> Result<T, String> {
    let number = value.parse();
    number.map_err(|_| format!("'{value}' is not a number that can be set here"))
}

/// The settings and their values, one on each line.
pub fn all(talk: &Talk) -> String {
    let line = |setting: &Setting| format!("{:<15} {}", setting.name, (setting.show)(talk));
    SETTINGS.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Changes the setting with this name, and says what its value is now. An error leaves it as it was.
pub fn set(talk: &mut Talk, name: &str, value: &str) -> Result<String, String> {
    let known = SETTINGS.iter().find(|setting| setting.name == name);
    let Some(setting) = known else {
        let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        return Err(format!(
            "there is no setting '{name}'; the settings are {}",
            names.join(", ")
        ));
    };
    let before: SamplerOptions = talk.options.sampler.clone();
    (setting.set)(talk, value)?;
    if let Err(error) = talk.options.sampler.validate() {
        talk.options.sampler = before;
        return Err(error.to_string());
    }
    Ok(format!("{name} is {}", (setting.show)(talk)))
}
