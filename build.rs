//! Graph files and passes are compiled in by folder. Cargo knows the files that were there, and not that one was added:
//! here it is told to look.

fn main() {
    for folder in ["graphs", "passes"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
