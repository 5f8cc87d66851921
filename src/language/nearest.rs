//! Messages for unknown names.

use std::borrow::Cow;

/// Names longer than this are not compared, because the time of a comparison grows with the product of the two lengths.
const LONGEST_COMPARED: usize = 100;

/// The candidate most like `name`, if one is near enough to be explained by a typing mistake: at most a third of the name's
/// characters differ (one character in a name of up to three), where swapped neighbours count as one. In a tie the first
/// candidate wins.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    if length > LONGEST_COMPARED {
        return None;
    }
    let limit = (length / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate.chars().count().abs_diff(length) > limit {
            continue;
        }
        let distance = strsim::damerau_levenshtein(name, candidate);
        if distance <= limit && distance < length && best.is_none_or(|(least, _)| distance < least)
        {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The text, cut if it is longer than `most` characters.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or("")).into(),
        None => text.into(),
    }
}

/// "unknown `what` 'name'", with the nearest candidate if one is near enough.
pub fn unknown<'a>(
    what: &str,
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    match nearest(name, candidates) {
        Some(candidate) => format!("unknown {what} '{name}', did you mean '{candidate}'?"),
        None => format!("unknown {what} '{}'", shortened(name, LONGEST_COMPARED)),
    }
}

/// Like [`unknown`], for few candidates: if none is near, the message lists all of them.
pub fn unknown_of_few<'a>(
    what: &str,
    name: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    match nearest(name, candidates.clone()) {
        Some(_) => unknown(what, name, candidates),
        None => {
            let known: Vec<&str> = candidates.into_iter().collect();
            format!(
                "{}; known are {}",
                unknown(what, name, []),
                known.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_suggests_names_that_a_typing_mistake_explains_and_no_others() {
        let candidates = ["layers", "width", "heads"];
        assert_eq!(nearest("layres", candidates), Some("layers"));
        assert_eq!(nearest("widht", candidates), Some("width"));
        assert_eq!(nearest("epsilon", candidates), None);
        assert_eq!(nearest("q", ["k", "v"]), None);
    }
}
