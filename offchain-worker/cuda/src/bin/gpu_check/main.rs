//! Compares every kernel with the reference: compiled for the host, compiled to CUBINs, and on a GPU where there is one.
//!
//! `attune-gpu-check host`, `attune-gpu-check cubin sm_75 ...`, `attune-gpu-check gpu [NUMBER [FIRST]]`; see
//! `scripts/gpu-check`.

mod speed;

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Instant,
};

use attune_cuda::{
    check::{Comparison, Failed, Source, ALL},
    compile::{compile, Compiled},
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
        ["host"] => Ok(agrees(&Device::host(), ALL, 1).0),
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
fn agrees(device: &Device, comparisons: &[Comparison], first: usize) -> (bool, Option<usize>) {
    println!("Against the reference, bit for bit, on: {}\n", device.name());
    println!("| | what | values | seconds | |\n|---:|---|---:|---:|---|");
    let mut all = true;
    for (number, comparison) in (1..).zip(comparisons).skip(first.saturating_sub(1)) {
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
    let (same, failed) = agrees(&device, ALL, first);
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
    speed::products(&device)?;
    speed::trainings(&device)?;
    Ok(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Comparison = Comparison { name: "good", run: |_, _| Ok(1) };
    const DIFFERS: Comparison = Comparison {
        name: "differs",
        run: |_, _| {
            let (what, expected, found) = ("a value".into(), "1".into(), "2".into());
            Err(Failed::Different { what, at: 0, expected, found })
        },
    };
    const FAILS: Comparison = Comparison {
        name: "fails",
        run: |_, _| Err(Failed::Device(Error::Driver { what: "a kernel", message: "gone".into() })),
    };

    #[test]
    fn what_differs_does_not_hide_the_rest_and_a_device_that_fails_ends_the_list_there() {
        let device = Device::host();
        assert_eq!(agrees(&device, &[GOOD, GOOD], 1), (true, None));
        assert_eq!(agrees(&device, &[DIFFERS, GOOD], 1), (false, None));
        assert_eq!(agrees(&device, &[GOOD, FAILS, DIFFERS], 1), (false, Some(2)));
        assert_eq!(agrees(&device, &[FAILS, DIFFERS, GOOD], 3), (true, None));
        assert_eq!(agrees(&device, &[FAILS], 2), (true, None));
    }
}
