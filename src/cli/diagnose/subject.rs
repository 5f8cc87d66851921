//! The model that is examined, and what counts as a departure.

use smallmind::Options;
use smallmind::architecture::ast::{ModelFile, Statement};
use smallmind::architecture::bind::{Headers, bind, find_tensor};
use smallmind::architecture::expand::{Expanded, expand};
use smallmind::language::diagnostics::Problems;
use smallmind::model::{ModelFiles, Source};

use super::super::compare::Difference;
use super::super::expected::{Hidden, Outputs};
use super::super::failure::Failure;
use super::trace::Built;

/// Tokens of a prompt whose values are examined, if the first of them show that something is wrong.
const FEWEST_TOKENS: usize = 8;
/// A model whose values are examined.
pub struct Subject<'a> {
    pub(super) files: ModelFiles,
    headers: Option<Headers>,
    pub(super) expected: &'a Outputs,
    pub(super) hidden: &'a Hidden,
    tolerance: f64,
}

impl<'a> Subject<'a> {
    /// The model at `source`, opened once more with its weights.
    pub fn open(
        source: &Source,
        options: &Options,
        expected: &'a Outputs,
        hidden: &'a Hidden,
        tolerance: f64,
    ) -> Result<Subject<'a>, Failure> {
        let files = ModelFiles::open(source, options)?;
        Ok(Subject {
            headers: files.headers(),
            files,
            expected,
            hidden,
            tolerance,
        })
    }

    /// The graph of these nodes in place of the graph file's.
    pub(super) fn build(&self, nodes: &[Statement]) -> Result<(Expanded, Built), Problems> {
        let file = ModelFile {
            nodes: nodes.to_vec(),
            ..self.files.graph.clone()
        };
        let has = |name: &str| {
            let headers = self.headers.as_ref();
            headers.is_some_and(|headers| find_tensor(headers, &file.prefixes, name).is_some())
        };
        let expanded = expand(&file, &self.files.config, &has)?;
        let graph = bind(&file.file, &expanded, self.headers.as_ref())?;
        Ok((expanded, Built::new(graph)))
    }

    /// Whether values lie so far apart that something is wrong.
    pub(super) fn departs(&self, found: &[f32], expected: &[f32]) -> bool {
        let largest = Difference::new(found, expected).largest;
        !matches!(
            largest.partial_cmp(&self.tolerance),
            Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)
        )
    }

    /// How many tokens of the prompt show what is wrong: the tokens up to the first whose output departs, and some
    /// more. A text that is read whole is examined whole.
    pub(super) fn tokens(&self, found: &[f32], whole: bool) -> usize {
        let all = self.expected.input_ids.len();
        if whole {
            return all;
        }
        let first = self.first_row(found, &self.expected.rows, self.expected.width);
        first
            .map_or(FEWEST_TOKENS, |row| row + 1)
            .clamp(1, all)
            .max(FEWEST_TOKENS.min(all))
    }

    /// The first row that departs, in the unit of all rows.
    pub(super) fn first_row(&self, found: &[f32], expected: &[f32], width: usize) -> Option<usize> {
        let unit = Difference::unit(expected);
        let rows = found.chunks_exact(width).zip(expected.chunks_exact(width));
        rows.enumerate().find_map(|(row, (found, expected))| {
            let far = found.iter().zip(expected).any(|(found, expected)| {
                let distance = (f64::from(*found) - f64::from(*expected)).abs() / unit;
                found.to_bits() != expected.to_bits()
                    && distance.partial_cmp(&self.tolerance) != Some(std::cmp::Ordering::Less)
            });
            far.then_some(row)
        })
    }
}
