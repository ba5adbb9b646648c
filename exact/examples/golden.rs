//! Writes `golden/ax1.txt` anew: `cargo run -p attune-exact --example golden`.

use std::{fs, io, path::Path};

#[path = "../golden/vectors.rs"]
mod vectors;

fn main() -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/ax1.txt");
    fs::write(&path, vectors::text())?;
    println!("wrote {}", path.display());
    Ok(())
}
