//! Warnings that follow from a model's files alone, whatever its graph.

use super::{ModelFiles, Warning};
use crate::architecture::config_keys::{Effect, UnreadKey, refuse, unread_keys};
use crate::architecture::parameters::ParameterSource;
use crate::language::diagnostics::Problems;

impl ModelFiles {
    /// Warnings about keys that the graph file does not read, and about invalid token ids.
    ///
    /// # Errors
    /// If a key that the graph file does not read changes so much that the model must not run.
    pub(crate) fn warnings(&self) -> Result<Vec<Warning>, Problems> {
        let unread = unread_keys(&self.graph, &self.config)?;
        refuse(&self.graph, &self.config, &unread)?;
        let mut warnings = self.of_keys(&unread);
        for tokens in [self.config.eos_tokens(), self.config.bos_token()] {
            warnings.extend(tokens.wrong);
        }
        Ok(warnings)
    }

    /// Warnings about keys that the graph file does not read.
    fn of_keys(&self, unread: &[UnreadKey]) -> Vec<Warning> {
        let keys = |replaced: bool| -> Vec<String> {
            let keys = unread.iter();
            let keys = keys.filter(|key| key.effect == Effect::Changes && key.replaced == replaced);
            keys.map(UnreadKey::to_string).collect()
        };
        let config = self.config.describe();
        let mut warnings = Vec::new();
        let replaced = keys(true);
        if !replaced.is_empty() {
            warnings.push(Warning::ReplacedKeys {
                config: config.clone(),
                keys: replaced,
            });
        }
        let unread = keys(false);
        if !unread.is_empty() {
            let graph = self.graph.file.clone();
            warnings.push(Warning::UnreadKeys {
                config,
                graph,
                keys: unread,
            });
        }
        warnings
    }
}
