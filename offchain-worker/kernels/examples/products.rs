//! How fast the products are: effective billions of operations a second, 2 · M · N · K over the best time of many.
//!
//! ```text
//! cargo run -p attune-kernels --example products [path ...]
//! ```

use attune_kernels::{
    product, Epilogue, Isa, IsaError, Layout, Left, Output, Residual, Right, Second, Threads, Width,
};
use std::time::{Duration, Instant};

/// What the right operand holds.
#[derive(Clone, Copy)]
enum Kind {
    Int8,
    /// With a second product of three parts of rank 16, a bias and a residual; only the first product is counted.
    Int8WithAll,
    Int16,
    Nibbles,
}

struct Shape {
    name: &'static str,
    rows: usize,
    columns: usize,
    depth: usize,
    kind: Kind,
    layout: Layout,
}

const fn shape(name: &'static str, [rows, columns, depth]: [usize; 3], kind: Kind, layout: Layout) -> Shape {
    Shape { name, rows, columns, depth, kind, layout }
}

const SHAPES: [Shape; 9] = [
    shape("projection, forward", [1024, 1536, 576], Kind::Int8, Layout::NK),
    shape("... bias, LoRA, residual", [1024, 1536, 576], Kind::Int8WithAll, Layout::NK),
    shape("... 4-bit weights", [1024, 1536, 576], Kind::Nibbles, Layout::NK),
    shape("projection, backward", [1024, 576, 1536], Kind::Int8, Layout::KN),
    shape("projection, larger model", [512, 2048, 2048], Kind::Int8, Layout::NK),
    shape("LoRA, down", [1024, 48, 576], Kind::Int16, Layout::NK),
    shape("LoRA, gradient", [16, 1536, 512], Kind::Int16, Layout::KN),
    shape("attention scores", [512, 512, 64], Kind::Int16, Layout::NK),
    shape("attention output", [512, 64, 512], Kind::Int16, Layout::KN),
];

/// How long each rate is measured.
const TIME: Duration = Duration::from_millis(400);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let mut paths = Isa::available();
    if !names.is_empty() {
        paths = names.iter().map(|name| Isa::from_name(name)).collect::<Result<_, IsaError>>()?;
    }
    let pools = [Threads::single(), Threads::new(2)?];
    println!("{:<26} {:>14}  {:<11} {:>9} {:>9}", "GOPS", "M×N×K", "path", "1 thread", "2 threads");
    for shape in SHAPES {
        for isa in &paths {
            let rates = pools.each_ref().map(|pool| rate(*isa, pool, &shape));
            let size = format!("{}×{}×{}", shape.rows, shape.columns, shape.depth);
            println!("{:<26} {size:>14}  {:<11} {:>9.1} {:>9.1}", shape.name, isa.name(), rates[0], rates[1]);
        }
    }
    Ok(())
}

fn rate(isa: Isa, pool: &Threads, shape: &Shape) -> f64 {
    let Shape { rows: m, columns: n, depth: k, kind, layout, .. } = *shape;
    let words = |length: usize, width: Width| -> Vec<i16> {
        let max = width.max() as usize;
        (0..length).map(|i| (i * 7919 % (2 * max + 1)) as i16 - max as i16).collect()
    };
    let left = words(m * k, Width::Wide);
    let left = Left::new(&left, m, k, k, Width::Wide);
    let bytes: Vec<i8> = (0..n * k).map(|i| (i * 31 % 255) as i8).collect();
    let mantissas = words(n * k, Width::Narrow);
    let packed: Vec<u8> = (0..n * k / 2).map(|i| (i * 31) as u8).collect();
    let multipliers = vec![7; n * k / 64];
    let stride = if layout == Layout::NK { k } else { n };
    let right = match kind {
        Kind::Int8 | Kind::Int8WithAll => Right::int8(&bytes, n, k, stride, layout),
        Kind::Int16 => Right::int16(&mantissas, n, k, stride, Width::Narrow, layout),
        Kind::Nibbles => Right::nibbles(&packed, &multipliers, 64, n, k, layout),
    };
    let (row_scale, column_scale) = (vec![0.5; m], vec![0.25; n]);
    let mut epilogue = Epilogue::scaled(&row_scale, &column_scale);

    const RANK: usize = 16;
    let (downs, ups) = (words(m * 3 * RANK, Width::Wide), words(n * RANK, Width::Narrow));
    let downs = Left::new(&downs, m, 3 * RANK, 3 * RANK, Width::Wide);
    let parts: Vec<Second<'_>> = (0..3)
        .map(|part| {
            let columns = n * part / 3..n * (part + 1) / 3;
            let (count, up) = (columns.len(), &ups[columns.start * RANK..]);
            Second {
                left: downs.columns(part * RANK..(part + 1) * RANK),
                right: Right::int16(up, count, RANK, RANK, Width::Narrow, Layout::NK),
                row_scale: &row_scale,
                column_scale: &column_scale[columns.clone()],
                columns,
            }
        })
        .collect();
    let residual = vec![1.0; m * n];
    if let Kind::Int8WithAll = kind {
        epilogue.second = &parts;
        epilogue.bias = Some(&column_scale);
        epilogue.residual = Some(Residual { data: &residual, stride: n });
    }

    let mut out = vec![0.0; m * n];
    let (started, mut best) = (Instant::now(), f64::INFINITY);
    while started.elapsed() < TIME {
        let one = Instant::now();
        product(isa, pool, &left, &right, &epilogue, Output::rows(&mut out, n));
        best = best.min(one.elapsed().as_secs_f64());
    }
    2.0 * (m * n * k) as f64 / best / 1e9
}
