//! Checks whether a file arrived as it is on the Hub.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ring::digest::{Context, SHA256, digest};

/// Bytes read at once.
const PIECE: usize = 1 << 18;

/// The SHA-256 of a file's content according to the Hub's tag, in hexadecimal digits. Only the tags of large files state it;
/// other files have tags of other lengths.
pub fn stated_sha256(etag: &str) -> Option<&str> {
    let digits = etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    (etag.len() == 64 && digits).then_some(etag)
}

/// The SHA-256 of a file's content, in hexadecimal digits.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => context.update(piece.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(digits(context.finish().as_ref()))
}

/// The SHA-256 of a text, in hexadecimal digits.
pub fn sha256_of_text(text: &str) -> String {
    digits(digest(&SHA256, text.as_bytes()).as_ref())
}

/// Bytes in hexadecimal digits.
fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sha_256() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // FIPS 180-2's examples: a short text, and a million letters, which make several pieces.
        for (content, digest) in [
            (
                b"abc".to_vec(),
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                vec![b'a'; 1_000_000],
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
            ),
        ] {
            std::fs::write(file.path(), content).unwrap();
            assert_eq!(sha256(file.path()).unwrap(), digest);
            let text = std::fs::read_to_string(file.path()).unwrap();
            assert_eq!(sha256_of_text(&text), digest);
            assert_eq!(stated_sha256(digest), Some(digest));
        }
    }

    #[test]
    fn tags_of_small_files_state_nothing() {
        for etag in ["", "0123456789abcdef0123456789abcdef01234567"] {
            assert_eq!(stated_sha256(etag), None);
        }
        assert_eq!(stated_sha256(&"g".repeat(64)), None);
    }
}
