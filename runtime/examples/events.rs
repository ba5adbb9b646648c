//! Writes the shapes of our events to a file, for those who read events and for the test that pins them.
//!
//! ```text
//! SKIP_WASM_BUILD=1 cargo run -p attune-runtime --example events -- docs/events.md
//! ```

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("expected the path of the file to write, found nothing")?;
    let text = attune_runtime::event_shapes::text();
    fs::write(&path, &text).map_err(|error| format!("can't write {}: {error}", path.display()))?;
    println!("{} lines in {}", text.lines().count(), path.display());
    Ok(())
}
