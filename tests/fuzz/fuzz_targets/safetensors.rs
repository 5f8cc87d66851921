//! Any bytes as a safetensors file: every tensor that is accepted can be read.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use smallmind::files::map::Mapped;
use smallmind::files::safetensors::TensorFile;

fuzz_target!(|bytes: &[u8]| {
    let bytes = Mapped::from_vec(bytes.to_vec());
    let Ok(file) = TensorFile::from_bytes(Path::new("fuzz.safetensors"), bytes) else {
        return;
    };
    for name in file.names() {
        let Some(header) = file.header(name) else {
            panic!("a listed tensor must be there");
        };
        if let Ok(weight) = file.weight(name) {
            assert_eq!(weight.shape(), header.shape);
            assert_eq!(weight.to_f32().len(), weight.len());
        }
        // Other types return errors.
        let _ = file.read_i64(name);
    }
});
