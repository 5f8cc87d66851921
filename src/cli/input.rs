//! Texts that a command reads whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::failure::{Failure, error};

/// The longest text, in bytes.
const LONGEST_TEXT: u64 = 256 << 20;

/// The whole text of a file, exactly as it is, or of stdin if the path is `-`.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let is_stdin = path == Path::new("-");
    let name = match is_stdin {
        true => "stdin".to_string(),
        false => path.display().to_string(),
    };
    let mut bytes = Vec::new();
    let most = LONGEST_TEXT + 1;
    let read = match is_stdin {
        true => io::stdin().lock().take(most).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)),
    };
    if let Err(problem) = read {
        return error(format!("can't read {name}: {problem}"));
    }
    if bytes.len() as u64 > LONGEST_TEXT {
        return error(format!("{name} has more than {LONGEST_TEXT} bytes"));
    }
    String::from_utf8(bytes).or_else(|problem| {
        let at = problem.utf8_error().valid_up_to();
        error(format!("{name} is not UTF-8 at byte {at} (from 0)"))
    })
}
