//! Any bytes as a `tokenizer.json`, and as a GGUF file's vocabulary: a tokenizer that is accepted encodes and decodes.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use smallmind::files::gguf::GgufFile;
use smallmind::files::map::Mapped;
use smallmind::text::tokenizer::Tokenizer;

fuzz_target!(|bytes: &[u8]| {
    let folder = Tokenizer::from_bytes(Path::new("fuzz.json"), bytes).ok();
    let file = GgufFile::from_bytes(Path::new("fuzz.gguf"), Mapped::from_vec(bytes.to_vec())).ok();
    let gguf = file.and_then(|file| Tokenizer::from_gguf(file.metadata()).ok());
    for tokenizer in [folder, gguf].into_iter().flatten() {
        if let Ok(ids) = tokenizer.encode("Hello, world! \u{e9}\u{1f600}\n", true) {
            // Either a text, or an error that says why there is none.
            let _ = tokenizer.decode(&ids, false);
        }
    }
});
