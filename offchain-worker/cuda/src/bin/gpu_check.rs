//! Compares every kernel with the reference: compiled for the host, compiled to CUBINs, and on a GPU where there is one.
//!
//! `attune-gpu-check host`, `attune-gpu-check cubin sm_75 ...`, `attune-gpu-check gpu [NUMBER [FIRST]]`; see
//! `scripts/gpu-check`.

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Instant,
};

use attune_cuda::{
    check::{Failed, Source, ALL},
    compile::{compile, Compiled},
    ops::{Epilogue, Operand, Scales, Tables, Target},
    Device, Error, Result, KERNELS,
};

const USAGE: &str = "Usage: attune-gpu-check host\n       attune-gpu-check cubin ARCHITECTURE...\n       attune-gpu-check \
                     gpu [NUMBER [FIRST]]\n\nNUMBER is the GPU's, from 0; FIRST the comparison to begin with, from 1.\nExit \
                     status: 0 all agrees, 1 something differs or fails, 2 wrong arguments, 3 there is \
                     no GPU.";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["host"] => Ok(agrees(&Device::host(), 1).0),
        ["cubin", ref architectures @ ..] if !architectures.is_empty() => cubins(architectures),
        ["gpu", ref numbers @ ..] if numbers.len() <= 2 => {
            let numbers: Result<Vec<usize>, _> = numbers.iter().map(|number| number.parse()).collect();
            let Ok(numbers) = numbers else { return usage() };
            gpu(numbers.first().copied().unwrap_or(0), numbers.get(1).copied().unwrap_or(1))
        }
        _ => return usage(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error @ (Error::NoDriver | Error::NoDevice { found: 0, .. })) => {
            eprintln!("no GPU: {error}");
            ExitCode::from(3)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// Runs the comparisons from number `first` on, from 1, and prints one line each: whether all agree, and the number of the
/// one at which the device itself failed, after which it is of no use to this process.
fn agrees(device: &Device, first: usize) -> (bool, Option<usize>) {
    println!("Against the reference, bit for bit, on: {}\n", device.name());
    println!("| | what | values | seconds | |\n|---:|---|---:|---:|---|");
    let mut all = true;
    for (number, comparison) in (1..).zip(ALL).skip(first.saturating_sub(1)) {
        let started = Instant::now();
        let compared = (comparison.run)(device, &mut Source::new(1));
        let seconds = started.elapsed().as_secs_f64();
        match compared {
            Ok(count) => println!("| {number} | {} | {count} | {seconds:.2} | same |", comparison.name),
            Err(Failed::Device(error @ Error::Driver { .. })) => {
                println!("| {number} | {} | | {seconds:.2} | FAILS: {error} |\n", comparison.name);
                return (false, Some(number));
            }
            Err(error) => {
                println!("| {number} | {} | | {seconds:.2} | DIFFERS: {error} |", comparison.name);
                all = false;
            }
        }
    }
    println!();
    (all, None)
}

/// Compiles for each architecture, a few at a time, and prints what each kernel needs.
fn cubins(architectures: &[&str]) -> Result<bool> {
    let mut compiled: Vec<Result<Compiled>> = Vec::new();
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    for some in architectures.chunks(jobs) {
        std::thread::scope(|scope| {
            let running: Vec<_> = some.iter().map(|arch| scope.spawn(move || compile(arch))).collect();
            compiled
                .extend(running.into_iter().map(|one| one.join().expect("compiling does not panic, qed")));
        });
    }
    let compiled = compiled.into_iter().collect::<Result<Vec<Compiled>>>()?;
    println!("Registers of a thread (and bytes spilled, where there are any), by NVRTC\n");
    println!("| kernel | shared bytes | {} |", architectures.join(" | "));
    println!("|---|---:|{}", "---:|".repeat(architectures.len()));
    let mut good = true;
    for name in KERNELS {
        let found = compiled.iter().map(|one| one.kernels.iter().find(|kernel| kernel.name == *name));
        let found: Vec<_> = found.collect();
        good &= found.iter().all(Option::is_some);
        let shared = found.iter().flatten().map(|kernel| kernel.shared).max().unwrap_or(0);
        let cells = found.iter().map(|kernel| match kernel {
            None => "missing".to_string(),
            Some(kernel) if kernel.spilled > 0 => format!("{} ({})", kernel.registers, kernel.spilled),
            Some(kernel) => kernel.registers.to_string(),
        });
        println!("| {name} | {shared} | {} |", cells.collect::<Vec<String>>().join(" | "));
    }
    let sizes = compiled.iter().map(|one| format!("{} KB", one.cubin.len() / 1024));
    println!("| all, size of the CUBIN | | {} |\n", sizes.collect::<Vec<String>>().join(" | "));
    for (arch, one) in architectures.iter().zip(&compiled) {
        for warning in &one.warnings {
            println!("{arch}: {warning}");
            good = false;
        }
    }
    Ok(good)
}

/// Opens a GPU; a cache that cannot be written costs the compiling only.
fn open(number: usize) -> Result<Device> {
    let cache = env::var_os("ATTUNE_CACHE").map(|folder| PathBuf::from(folder).join("cubin"));
    match Device::cuda(number, cache) {
        Err(Error::Cache { .. }) => Device::cuda(number, None),
        opened => opened,
    }
}

fn gpu(number: usize, first: usize) -> Result<bool> {
    let started = Instant::now();
    let device = open(number)?;
    println!(
        "Kernels compiled, or taken from the cache, and loaded in {:.1} s.\n",
        started.elapsed().as_secs_f64()
    );
    let (same, failed) = agrees(&device, first);
    if let Some(failed) = failed {
        // The rest has to be asked of another process.
        drop(device);
        let next = [number, failed + 1].map(|number| number.to_string());
        let status = env::current_exe().and_then(|own| Command::new(own).arg("gpu").args(next).status());
        println!(
            "The rest, in a process of its own: {}",
            match status {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            }
        );
        return Ok(false);
    }
    speed(&device)?;
    Ok(same)
}

/// Times products of the sizes of real models.
fn speed(device: &Device) -> Result<()> {
    println!(
        "Products, median of 9\n\n| product | rows | outputs | depth | ms | 8-bit TOPS | mantissa TOPS |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for size in [(4096, 4096, 4096), (4096, 14_336, 4096), (8192, 8192, 8192), (4096, 48, 4096)] {
        for (kind, slices) in [("8-bit weights", 2), ("4-bit weights", 2), ("mantissas", 4)] {
            for transposed in [false, true] {
                time_product(device, kind, slices, size, transposed)?;
            }
        }
    }
    Ok(())
}

/// Times one product of random numbers.
fn time_product(
    device: &Device,
    kind: &str,
    slices: usize,
    (rows, outputs, depth): (usize, usize, usize),
    transposed: bool,
) -> Result<()> {
    let mut source = Source::new(7);
    // Random bytes again and again: what is in them does not matter, and making them is not to be waited for.
    let some: Vec<u8> = (0..1 << 16).map(|_| source.bits() as u8).collect();
    let bytes = |count: usize| -> Vec<u8> { some.iter().copied().cycle().take(count).collect() };
    let left: Vec<i16> = bytes(rows * depth).iter().map(|byte| i16::from(*byte) * 63 - 8000).collect();
    let weights = bytes(outputs * depth);
    let left = device.upload(&left)?;
    let (ones, mut out) =
        (device.upload(&vec![1.0f32; rows.max(outputs)])?, device.zeros::<f32>(rows * outputs)?);
    // Stored the other way round, for the backward pass.
    let (height, width) = if transposed { (depth, outputs) } else { (outputs, depth) };
    let w8 = device.upload(&weights.iter().map(|byte| *byte as i8).collect::<Vec<i8>>())?;
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
    let mut times = Vec::new();
    for _ in 0..10 {
        device.synchronize()?;
        let started = Instant::now();
        device.product(&operand, &right, &epilogue, Target::rows(out.all_mut(), outputs), Tables::ONE)?;
        device.synchronize()?;
        times.push(started.elapsed().as_secs_f64());
    }
    // The first one warms up.
    times.remove(0);
    times.sort_by(f64::total_cmp);
    let (seconds, operations) = (times[times.len() / 2], 2.0 * rows as f64 * outputs as f64 * depth as f64);
    let name = format!("{kind}{}", if transposed { ", transposed" } else { "" });
    let tops = operations / seconds / 1e12;
    let eight = tops * slices as f64;
    println!("| {name} | {rows} | {outputs} | {depth} | {:.3} | {eight:.1} | {tops:.1} |", seconds * 1e3);
    Ok(())
}
