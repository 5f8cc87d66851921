//! Any text as a graph file: a file that can be parsed is expanded, with the parameters that it states itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smallmind::architecture::expand::expand;
use smallmind::architecture::parameters::ConfigJson;
use smallmind::architecture::syntax;

fuzz_target!(|text: &str| {
    let Ok(file) = syntax::parse("fuzz.ron", text) else {
        return;
    };
    let Ok(config) = ConfigJson::parse("config.json", r#"{"layers": 2, "width": 8, "name": "x"}"#)
    else {
        panic!("the configuration is right");
    };
    for has in [true, false] {
        // Either nodes or a list of problems.
        let _ = expand(&file, &config, &|_| has);
    }
});
