//! How fast a device is at what a training does: products of the sizes of real models, and whole optimizer steps of models
//! with random weights. Nothing is compared here.

use std::time::Instant;

use attune_cuda::{
    check::Source,
    engine::{Engine, Layer, Matrix, Weights},
    ops::{Epilogue, Operand, Scales, Tables, Target},
    Device, Error, Result,
};
use attune_exact::{
    model::{Lora, Shape},
    optimizer::{AdamW, State},
    step::{Sequence, Settings},
};

/// Bytes at random.
const RANDOM: usize = 1 << 16;

/// `count` bytes, the same random ones again and again: what is in them does not matter, and they are not to be waited for.
fn bytes(count: usize) -> Vec<u8> {
    let mut source = Source::new(7);
    let some: Vec<u8> = (0..RANDOM).map(|_| source.bits() as u8).collect();
    let mut all = some.repeat(count.div_ceil(RANDOM));
    all.truncate(count);
    all
}

/// Seconds of the middle one of `runs`, after one that warms up.
fn median(runs: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..=runs {
        let started = Instant::now();
        run()?;
        times.push(started.elapsed().as_secs_f64());
    }
    times.remove(0);
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Prints a table of products.
pub(crate) fn products(device: &Device) -> Result<()> {
    println!(
        "Products, median of 9\n\n| product | rows | outputs | depth | ms | 8-bit TOPS | mantissa TOPS |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for size in [(4096, 4096, 4096), (4096, 14_336, 4096), (8192, 8192, 8192), (4096, 48, 4096)] {
        for (kind, slices) in [("8-bit weights", 2.0), ("4-bit weights", 2.0), ("mantissas", 4.0)] {
            for transposed in [false, true] {
                let seconds = product(device, kind, size, transposed)?;
                let (rows, outputs, depth) = size;
                let tops = 2.0 * rows as f64 * outputs as f64 * depth as f64 / seconds / 1e12;
                let (name, ms) = (if transposed { ", transposed" } else { "" }, seconds * 1e3);
                let eight = tops * slices;
                println!(
                    "| {kind}{name} | {rows} | {outputs} | {depth} | {ms:.3} | {eight:.1} | {tops:.1} |"
                );
            }
        }
    }
    println!();
    Ok(())
}

/// Seconds of one product of random numbers.
fn product(
    device: &Device,
    kind: &str,
    (rows, outputs, depth): (usize, usize, usize),
    transposed: bool,
) -> Result<f64> {
    let left: Vec<i16> = bytes(rows * depth).iter().map(|byte| i16::from(*byte) * 63 - 8000).collect();
    let weights = bytes(outputs * depth);
    let left = device.upload(&left)?;
    let (ones, mut out) =
        (device.upload(&vec![1.0f32; rows.max(outputs)])?, device.zeros::<f32>(rows * outputs)?);
    // Stored the other way round, for the backward pass.
    let (height, width) = if transposed { (depth, outputs) } else { (outputs, depth) };
    let w8 = device.upload(&signed(&weights))?;
    let m16 = device.upload(&weights.iter().map(|byte| i16::from(*byte) * 8 - 1024).collect::<Vec<i16>>())?;
    let nibbles = device.upload(&weights[..height * width.div_ceil(2)])?;
    let multipliers = device.upload(&vec![5u8; height * width.div_ceil(32)])?;
    let right = match kind {
        "8-bit weights" => Operand::w8(w8.all(), height, width),
        "4-bit weights" => Operand::w4(nibbles.all(), multipliers.all(), height, width),
        _ => Operand::mantissas(m16.all(), height, width, width),
    };
    let right = if transposed { right.transposed() } else { right };
    let operand = Operand::mantissas(left.all(), rows, depth, depth);
    let epilogue = Epilogue::scaled(Scales::of(ones.all()), Scales::of(ones.all()));
    device.synchronize()?;
    median(9, || {
        device.product(&operand, &right, &epilogue, Target::rows(out.all_mut(), outputs), Tables::ONE)?;
        device.synchronize()
    })
}

fn signed(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|byte| *byte as i8).collect()
}

/// A training: its model, rank 16 on all linear layers, and its rows.
#[derive(Clone, Copy)]
struct Training {
    name: &'static str,
    /// Layers, hidden, intermediate, heads, key heads, width of a head, vocabulary.
    shape: [usize; 7],
    /// Whether the blocks are in 4 bits.
    four: bool,
    /// Of a step, of a micro-batch, and their length in tokens.
    rows: (usize, usize, usize),
}

const TRAININGS: [Training; 4] = [
    Training {
        name: "SmolLM-135M, 8 bits",
        shape: [30, 576, 1536, 9, 3, 64, 49_152],
        four: false,
        rows: (8, 8, 512),
    },
    Training {
        name: "Llama-3.2-1B, 8 bits",
        shape: [16, 2048, 8192, 32, 8, 64, 128_256],
        four: false,
        rows: (4, 2, 2048),
    },
    Training {
        name: "Llama-3-8B, 8 bits",
        shape: [32, 4096, 14_336, 32, 8, 128, 128_256],
        four: false,
        rows: (4, 2, 2048),
    },
    Training {
        name: "Llama-3-8B, 4 bits",
        shape: [32, 4096, 14_336, 32, 8, 128, 128_256],
        four: true,
        rows: (4, 2, 2048),
    },
];

/// Prints a table of optimizer steps.
pub(crate) fn trainings(device: &Device) -> Result<()> {
    println!("Optimizer steps of shapes with random weights, rank 16, median of 3\n");
    println!("| shape | rows | tokens of a row | s | tokens/s |\n|---|---:|---:|---:|---:|");
    for training in &TRAININGS {
        let (rows, _, length) = training.rows;
        match training.seconds(device, 3) {
            Ok(seconds) => {
                let speed = (rows * length) as f64 / seconds;
                println!("| {} | {rows} | {length} | {seconds:.3} | {speed:.0} |", training.name);
            }
            // Such as too little memory: the others may do.
            Err(error) => println!("| {} | {rows} | {length} | {error} | |", training.name),
        }
    }
    Ok(())
}

impl Training {
    fn shape(&self) -> Shape {
        let [layers, hidden, intermediate, heads, kv_heads, head_dim, vocabulary] = self.shape;
        let (norm_epsilon, rope_theta) = (1e-5, 500_000.0);
        Shape {
            vocabulary,
            hidden,
            intermediate,
            layers,
            heads,
            kv_heads,
            head_dim,
            norm_epsilon,
            rope_theta,
            rope_scaling: None,
        }
    }

    /// Random weights, as large as those of a new model.
    fn weights(&self, device: &Device) -> Result<Weights> {
        let shape = self.shape();
        let largest = shape.hidden * shape.vocabulary.max(2 * shape.intermediate);
        let random = bytes(largest);
        let integers = signed(&random);
        let scales = |outputs: usize, inputs: usize| vec![1.0 / (74.0 * (inputs as f32).sqrt()); outputs];
        let w8 = |outputs: usize, inputs: usize| {
            Matrix::w8(device, &integers[..outputs * inputs], &scales(outputs, inputs), inputs)
        };
        let matrix = |outputs: usize, inputs: usize| {
            if !self.four {
                return w8(outputs, inputs);
            }
            let nibbles = &random[..outputs * inputs.div_ceil(2)];
            Matrix::w4(
                device,
                (nibbles, &vec![15; outputs * inputs.div_ceil(32)]),
                &scales(outputs, inputs),
                inputs,
            )
        };
        let ones = || device.upload(&vec![1.0f32; shape.hidden]);
        let layer = |_| {
            Ok(Layer {
                input_norm: ones()?,
                qkv: matrix(shape.query_width() + 2 * shape.kv_width(), shape.hidden)?,
                qkv_bias: None,
                output: matrix(shape.hidden, shape.query_width())?,
                post_norm: ones()?,
                gate_up: matrix(2 * shape.intermediate, shape.hidden)?,
                down: matrix(shape.hidden, shape.intermediate)?,
            })
        };
        Ok(Weights {
            embedding: w8(shape.vocabulary, shape.hidden)?,
            layers: (0..shape.layers).map(layer).collect::<Result<_>>()?,
            norm: ones()?,
            head: None,
            shape,
        })
    }

    /// Seconds of a step, the median of `steps`.
    fn seconds(&self, device: &Device, steps: usize) -> Result<f64> {
        let lora = Lora { rank: 16, alpha: 32.0, rank_stabilised: false };
        let weights = self.weights(device)?;
        let (vocabulary, length) = (weights.shape.vocabulary, lora.len(&weights.shape));
        let (rows, micro_batch, tokens) = self.rows;
        let adapter = bytes(length).iter().map(|byte| (f32::from(*byte) - 127.5) * 1e-4).collect();
        let state = State { adapter, first: vec![0.0; length], second: vec![0.0; length] };
        let mut engine = Engine::new(device, weights, lora, &state, (tokens as u32, micro_batch))?;
        let mut source = Source::new(11);
        let mut sequence = |_| {
            let ids: Vec<u32> = (0..tokens).map(|_| (source.bits() % vocabulary as u64) as u32).collect();
            let labels = ids.iter().map(|id| *id as i32).collect();
            Sequence::packed(ids, labels, (0..tokens as u32).collect())
        };
        let sequences: Vec<Sequence> = (0..rows).map(&mut sequence).collect();
        let adamw = AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
        let settings = Settings { lora, adamw, learning_rate: 1e-4, max_norm: 1.0 };
        let mut at = 0;
        median(steps, || {
            let made = engine.step(&settings, &sequences, at)?;
            at += 1;
            made.map(|_| ()).map_err(|fault| Error::Driver { what: "a step", message: fault.to_string() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_either_base_are_timed() {
        for four in [false, true] {
            let training =
                Training { name: "small", shape: [2, 64, 160, 4, 2, 16, 301], four, rows: (3, 2, 40) };
            assert!(training.seconds(&Device::host(), 1).unwrap() > 0.0);
        }
    }

    #[test]
    fn products_of_each_kind_are_timed() {
        for kind in ["8-bit weights", "4-bit weights", "mantissas"] {
            for transposed in [false, true] {
                assert!(product(&Device::host(), kind, (70, 64, 96), transposed).unwrap() > 0.0);
            }
        }
    }

    #[test]
    fn there_are_as_many_bytes_as_are_asked_for() {
        for count in [0, 1, RANDOM, RANDOM + 1] {
            assert_eq!(bytes(count).len(), count);
        }
    }
}
