//! How fast the products are: effective billions of operations a second, 2 · M · N · K over the best time of many.
//!
//! ```text
//! cargo run -p attune-kernels --example products [path ...]
//! ```

use attune_kernels::{product, Epilogue, Isa, IsaError, Layout, Left, Output, Right, Threads, Width};
use std::time::Instant;

/// What the right operand holds.
#[derive(Clone, Copy)]
enum Kind {
    Int8,
    Int16,
    Nibbles,
}

const SHAPES: [(&str, usize, usize, usize, Kind, Layout); 8] = [
    ("projection, forward", 1024, 1536, 576, Kind::Int8, Layout::NK),
    ("projection, backward", 1024, 576, 1536, Kind::Int8, Layout::KN),
    ("projection, larger model", 512, 2048, 2048, Kind::Int8, Layout::NK),
    ("projection of 4-bit weights", 1024, 1536, 576, Kind::Nibbles, Layout::NK),
    ("LoRA, down", 1024, 48, 576, Kind::Int16, Layout::NK),
    ("LoRA, gradient", 16, 1536, 512, Kind::Int16, Layout::KN),
    ("attention scores", 512, 512, 64, Kind::Int16, Layout::NK),
    ("attention output", 512, 64, 512, Kind::Int16, Layout::KN),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let mut paths = Isa::available();
    if !names.is_empty() {
        paths = names.iter().map(|name| Isa::from_name(name)).collect::<Result<_, IsaError>>()?;
    }
    let pools = [Threads::single(), Threads::new(2)?];
    println!("{:<30} {:>16}  {:<11} {:>9} {:>9}", "GOPS", "M×N×K", "path", "1 thread", "2 threads");
    for (name, rows, columns, depth, kind, layout) in SHAPES {
        for isa in &paths {
            let rates = pools.each_ref().map(|pool| rate(*isa, pool, rows, columns, depth, kind, layout));
            let shape = format!("{rows}×{columns}×{depth}");
            println!("{name:<30} {shape:>16}  {:<11} {:>9.1} {:>9.1}", isa.name(), rates[0], rates[1]);
        }
    }
    Ok(())
}

fn rate(isa: Isa, pool: &Threads, m: usize, n: usize, k: usize, kind: Kind, layout: Layout) -> f64 {
    let left: Vec<i16> = (0..m * k).map(|i| (i * 7919 % 32767) as i16 - 16383).collect();
    let bytes: Vec<i8> = (0..n * k).map(|i| (i * 31 % 255) as i8).collect();
    let words: Vec<i16> = (0..n * k).map(|i| (i * 31 % 4095) as i16 - 2047).collect();
    let packed: Vec<u8> = (0..n * k / 2).map(|i| (i * 31) as u8).collect();
    let multipliers = vec![7; n * k / 64];
    let left = Left::new(&left, m, k, k, Width::Wide);
    let stride = if layout == Layout::NK { k } else { n };
    let right = match kind {
        Kind::Int8 => Right::int8(&bytes, n, k, stride, layout),
        Kind::Int16 => Right::int16(&words, n, k, stride, Width::Narrow, layout),
        Kind::Nibbles => Right::nibbles(&packed, &multipliers, 64, n, k, layout),
    };
    let (row_scale, column_scale) = (vec![0.5; m], vec![0.25; n]);
    let epilogue = Epilogue::scaled(&row_scale, &column_scale);
    let mut out = vec![0.0; m * n];
    let (started, mut best) = (Instant::now(), f64::INFINITY);
    while started.elapsed().as_secs_f64() < 0.4 {
        let one = Instant::now();
        product(isa, pool, &left, &right, &epilogue, Output::rows(&mut out, n));
        best = best.min(one.elapsed().as_secs_f64());
    }
    2.0 * (m * n * k) as f64 / best / 1e9
}
