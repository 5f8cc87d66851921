//! Three texts of the demo model at once, each line as soon as it is complete, with no executor but `block_on`:
//!
//! ```sh
//! cargo run --release --features async --example stream
//! ```

use std::error::Error;

use futures_executor::block_on;
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use smallmind::{AsyncEngine, EngineOptions, GenerateOptions, Model, Options, StreamError};

/// Prints the lines of one text.
async fn show(engine: &AsyncEngine, prompt: &str) -> Result<(), StreamError> {
    let options = GenerateOptions::new().max_tokens(120).seed(1);
    let mut stream = engine.add(prompt, &options).await?;
    let mut line = String::new();
    while let Some(event) = stream.try_next().await? {
        line += event.text();
        while let Some((complete, rest)) = line.split_once('\n') {
            println!("{prompt:8}{complete}");
            line = rest.to_string();
        }
    }
    println!("{prompt:8}{line}");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = Model::open("demo", &Options::new().sequences(3))?;
    let engine = AsyncEngine::new(model.engine(&EngineOptions::new())?)?;
    let prompts = ["KING:", "QUEEN:", "ROMEO:"];
    let texts = prompts.map(|prompt| show(&engine, prompt));
    block_on(try_join_all(texts))?;
    Ok(())
}
