//! Phrases for names that nobody knows.

/// The candidate most like `name`, if one is like it at all.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |c: &str| strsim::jaro_winkler(&name.to_lowercase(), &c.to_lowercase());
    let scored = candidates
        .into_iter()
        .map(|c| (score(c), c))
        .filter(|(s, _)| *s > 0.75);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, c)| c)
}

/// "unknown op 'RmsNrm', did you mean 'RmsNorm'?"
pub fn unknown<'a>(
    what: &str,
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    match nearest(name, candidates) {
        Some(candidate) => format!("unknown {what} '{name}', did you mean '{candidate}'?"),
        None => format!("unknown {what} '{name}'"),
    }
}
