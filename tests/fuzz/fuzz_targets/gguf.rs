//! Any bytes as a GGUF file: every header, key and tensor that is accepted can be read.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use smallmind::files::gguf::GgufFile;
use smallmind::files::map::Mapped;
use smallmind::architecture::parameters::ParameterSource;

fuzz_target!(|bytes: &[u8]| {
    let bytes = Mapped::from_vec(bytes.to_vec());
    let Ok(file) = GgufFile::from_bytes(Path::new("fuzz.gguf"), bytes) else {
        return;
    };
    for key in file.metadata().keys() {
        file.metadata().get(key);
        file.metadata().array_len(key);
    }
    for name in file.names() {
        let (Some(tensor), Some(header)) = (file.tensor(name), file.header(name)) else {
            panic!("a listed tensor must be there");
        };
        assert_eq!(tensor.shape, header.shape);
        if let (Some(format), Some(blocks)) = (tensor.tensor_type.block_format(), tensor.bytes) {
            let mut values = vec![0.0; blocks.len() / format.bytes() * format.elements()];
            format.dequantize(blocks, &mut values);
        }
        if let Ok(weight) = file.weight(name) {
            assert_eq!(weight.shape(), tensor.shape);
            assert_eq!(weight.to_f32().len(), weight.len());
        }
    }
});
