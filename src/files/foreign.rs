//! Files of other kinds that a user gives as weights or models: what they are, and what the user can do.

/// How many bytes at the beginning of a file are needed to recognize its kind.
pub const BEGINNING: usize = 512;
/// How to convert weights that only other programs read.
pub const CONVERT: &str = "in Python, `AutoModelForCausalLM.from_pretrained(\"FOLDER\").save_pretrained(\"NEW_FOLDER\")` of transformers writes them as safetensors, which can be read";

/// A kind of file.
struct Kind {
    /// The offset of the bytes that identify the kind.
    at: usize,
    /// The bytes that identify the kind.
    bytes: &'static [u8],
    /// What the file is, and what the user can do.
    what: &'static str,
    /// Whether the file contains weights that can be converted.
    convert: bool,
}

const fn kind(at: usize, bytes: &'static [u8], what: &'static str, convert: bool) -> Kind {
    Kind {
        at,
        bytes,
        what,
        convert,
    }
}

/// All kinds; kinds with rarer first bytes come first.
const KINDS: [Kind; 26] = [
    kind(
        0,
        b"version https://git-lfs",
        "a Git LFS pointer instead of the file itself: run `git lfs pull` in its repository to fetch the file",
        false,
    ),
    kind(
        0,
        b"<!DOCTYPE",
        "a web page instead of the file: download the file again",
        false,
    ),
    kind(
        0,
        b"<!doctype",
        "a web page instead of the file: download the file again",
        false,
    ),
    kind(
        0,
        b"<html",
        "a web page instead of the file: download the file again",
        false,
    ),
    kind(
        0,
        b"<HTML",
        "a web page instead of the file: download the file again",
        false,
    ),
    kind(
        0,
        b"<?xml",
        "an XML text, probably the error message of a server: download the file again",
        false,
    ),
    kind(
        0,
        b"PK\x03\x04",
        "a zip archive, in which torch.save writes weights",
        true,
    ),
    kind(
        0,
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file, in which Keras and TensorFlow write weights",
        true,
    ),
    kind(
        0,
        b"lmgg",
        "a GGML file, the format of llama.cpp before GGUF: get the model as a GGUF file",
        false,
    ),
    kind(
        0,
        b"fmgg",
        "a GGML file, the format of llama.cpp before GGUF: get the model as a GGUF file",
        false,
    ),
    kind(
        0,
        b"tjgg",
        "a GGML file, the format of llama.cpp before GGUF: get the model as a GGUF file",
        false,
    ),
    kind(
        0,
        b"algg",
        "a GGML adapter, in the format of llama.cpp before GGUF: get the model as a GGUF file",
        false,
    ),
    kind(
        0,
        b"MZqFpD",
        "a llamafile, a program with a model in it: `unzip FILE '*.gguf'` unpacks the model",
        false,
    ),
    kind(0, b"\x93NUMPY", "a NumPy array", true),
    kind(0, b"\x1f\x8b", "compressed by gzip: unpack it", false),
    kind(
        0,
        b"\x28\xb5\x2f\xfd",
        "compressed by zstd: unpack it",
        false,
    ),
    kind(0, b"\xfd7zXZ\x00", "compressed by xz: unpack it", false),
    kind(0, b"BZh", "compressed by bzip2: unpack it", false),
    kind(
        0,
        b"7z\xbc\xaf\x27\x1c",
        "a 7-Zip archive: unpack it",
        false,
    ),
    kind(257, b"ustar", "a tar archive: unpack it", false),
    kind(
        4,
        b"TFL3",
        "a TensorFlow Lite model, whose weights cannot be read: get the model as safetensors or GGUF",
        false,
    ),
    kind(
        0,
        b"\x80\x02",
        "a Python pickle, in which torch.save writes weights",
        true,
    ),
    kind(
        0,
        b"\x80\x03",
        "a Python pickle, in which torch.save writes weights",
        true,
    ),
    kind(
        0,
        b"\x80\x04",
        "a Python pickle, in which torch.save writes weights",
        true,
    ),
    kind(
        0,
        b"\x80\x05",
        "a Python pickle, in which torch.save writes weights",
        true,
    ),
    kind(0, b"{", "a JSON text, which contains no weights", false),
];

/// What kind of file begins like this, if it is a known kind other than the expected one.
pub fn foreign(beginning: &[u8]) -> Option<String> {
    let start = beginning.get(..BEGINNING).unwrap_or(beginning);
    let is = |kind: &&Kind| {
        let there = start.get(kind.at..).unwrap_or_default();
        there.starts_with(kind.bytes)
    };
    let say = |what: &str| Some(format!("it is {what}"));
    if let Some(kind) = KINDS.iter().find(is) {
        return match kind.convert {
            true => say(&format!("{}: {CONVERT}", kind.what)),
            false => say(kind.what),
        };
    }
    match start {
        b"" => None,
        // Fields 1 and 2 of the message: the version and the producer.
        [0x08, 1..=0x20, 0x12, ..] => say(
            "an ONNX graph, whose weights cannot be read: get the original model as safetensors or GGUF",
        ),
        _ if start.iter().all(|&byte| byte == 0) => {
            say("nothing but zeros at its beginning: a download that has not finished")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_recognized_by_their_beginnings() {
        let mut tar = vec![b'x'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (beginning, expected) in [
            (
                &b"version https://git-lfs.github.com/spec/v1\noid sha256:4d"[..],
                "git lfs pull",
            ),
            (b"<!DOCTYPE html><html>", "a web page"),
            (b"PK\x03\x04\x00\x00", "save_pretrained"),
            (b"\x80\x02\x8a\x0al\xfc", "a Python pickle"),
            (b"\x08\x07\x12\x07pytorch", "an ONNX graph"),
            (&tar, "a tar archive"),
            (&[0; 64], "has not finished"),
        ] {
            let told = foreign(beginning).unwrap();
            assert!(told.contains(expected), "{told}");
        }
        for beginning in [&b""[..], b"random words", b"\x08\x01\x02\x03"] {
            assert_eq!(foreign(beginning), None);
        }
    }
}
