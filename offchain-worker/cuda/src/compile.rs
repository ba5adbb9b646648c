//! Kernels from their text to a CUBIN, by NVRTC.
//!
//! The one idea: compiled for the very GPU that is there, when it is first used, and kept on disk under the hash of all that
//! the result depends on. So no CUDA toolkit is needed to build Attune, and nothing is ever stale.

use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
};

use cudarc::nvrtc::{result as nvrtc, sys};

use crate::error::{Error, Result};

/// The text of all kernels, with the constants of the reference.
pub const SOURCE: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.cu"));

/// The oldest architecture whose tensor cores multiply 8-bit integers.
pub const OLDEST: (i32, i32) = (7, 5);

/// Options that leave the compiler no freedom over a bit. The kernels round every operation by name besides.
const OPTIONS: [&str; 6] = [
    "--std=c++17",
    "--fmad=false",
    "--ftz=false",
    "--prec-div=true",
    "--prec-sqrt=true",
    "--ptxas-options=-v",
];

/// What the compiler made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The machine code of all kernels.
    pub cubin: Vec<u8>,
    /// What each kernel needs.
    pub kernels: Vec<Resources>,
    /// What the compiler warned of.
    pub warnings: Vec<String>,
}

/// What a kernel needs of a multiprocessor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// The kernel's name.
    pub name: String,
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes that a thread's registers did not suffice for.
    pub spilled: u32,
    /// Bytes of shared memory of a block.
    pub shared: u32,
}

/// The name of an architecture, as `sm_90`.
pub fn arch_name((major, minor): (i32, i32)) -> String {
    format!("sm_{major}{minor}")
}

/// Compiles the kernels for `arch`, such as `sm_90`.
///
/// # Errors
/// NVRTC is missing or refuses; or it made an instruction that does not round each operation by itself.
pub fn compile(arch: &str) -> Result<Compiled> {
    // SAFETY: it only opens a library and closes it again.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::NoCompiler);
    }
    let failed = |error: nvrtc::NvrtcError| Error::Compile { arch: arch.to_string(), log: error.to_string() };
    let source = CString::new(SOURCE).expect("the kernels' text holds no zero byte, qed");
    let program = nvrtc::create_program(&source, Some(c"kernels.cu")).map_err(failed)?;
    let mut options = vec![format!("--gpu-architecture={arch}")];
    options.extend(OPTIONS.map(String::from));
    // SAFETY: `program` was made above, and is destroyed once, below.
    let (made, log, cubin, ptx) = unsafe {
        let made = nvrtc::compile_program(program, &options);
        let log = nvrtc::get_program_log(program).unwrap_or_default();
        let cubin = if made.is_ok() { cubin(program) } else { Ok(Vec::new()) };
        let ptx = if made.is_ok() { nvrtc::get_ptx(program) } else { Ok(Vec::new()) };
        let _ = nvrtc::destroy_program(program);
        (made, text(&log), cubin, ptx)
    };
    if let Err(error) = made {
        return Err(Error::Compile { arch: arch.to_string(), log: format!("{error}: {log}") });
    }
    let cubin = cubin.map_err(failed)?;
    rounding(&text(&ptx.map_err(failed)?)).map_err(|log| Error::Compile { arch: arch.to_string(), log })?;
    let warnings = log.lines().filter(|line| line.to_lowercase().contains("warning"));
    Ok(Compiled { cubin, kernels: resources(&log), warnings: warnings.map(str::to_string).collect() })
}

fn text(bytes: &[std::ffi::c_char]) -> String {
    bytes.iter().map(|c| char::from(*c as u8)).filter(|c| *c != '\0').collect()
}

/// Refuses instructions on reals that contract, approximate or flush to zero; and a text without any additions,
/// multiplications and divisions of reals, which would show nothing.
fn rounding(ptx: &str) -> Result<(), String> {
    let instructions = ptx.lines().flat_map(str::split_whitespace);
    let reals: Vec<&str> =
        instructions.filter(|word| word.contains(".f32") || word.contains(".f64")).collect();
    if let Some(name) =
        ["add.", "mul.", "div."].iter().find(|name| !reals.iter().any(|word| word.starts_with(*name)))
    {
        let bytes = ptx.len();
        return Err(format!(
            "expected PTX with {name}rn.f32 in it, found {bytes} bytes without; use NVRTC of CUDA 13"
        ));
    }
    let loose =
        |word: &str| ["fma.", "mad.", ".approx", ".ftz", ".full"].iter().any(|mark| word.contains(mark));
    let mut found: Vec<&str> = reals.into_iter().filter(|word| loose(word)).collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return Ok(());
    }
    Err(format!(
        "expected each operation to be rounded by itself, found {}; use NVRTC of CUDA 13",
        found.join(", ")
    ))
}

/// # Safety
/// `program` was compiled and not destroyed.
unsafe fn cubin(program: sys::nvrtcProgram) -> Result<Vec<u8>, nvrtc::NvrtcError> {
    let mut size = 0;
    // SAFETY: the caller's promise; the buffer is as long as NVRTC says.
    unsafe {
        sys::nvrtcGetCUBINSize(program, &mut size).result()?;
        let mut bytes = vec![0u8; size];
        sys::nvrtcGetCUBIN(program, bytes.as_mut_ptr().cast()).result()?;
        Ok(bytes)
    }
}

/// The number before `unit` in `line`.
fn before(line: &str, unit: &str) -> Option<u32> {
    line.split(unit).next()?.split_whitespace().last()?.parse().ok()
}

/// Reads the assembler's report.
fn resources(log: &str) -> Vec<Resources> {
    let (mut kernels, mut spilled) = (Vec::<Resources>::new(), 0);
    let mut name = String::new();
    for line in log.lines() {
        if let Some(rest) = line.split_once("Compiling entry function '") {
            name = rest.1.split('\'').next().unwrap_or_default().to_string();
        } else if line.contains("bytes spill stores") {
            spilled = before(line, " bytes spill stores").unwrap_or(0);
        } else if line.contains("registers") && line.contains("Used") {
            let registers = before(line, " registers").unwrap_or(0);
            let shared = before(line, " bytes smem").unwrap_or(0);
            kernels.push(Resources { name: std::mem::take(&mut name), registers, spilled, shared });
        }
    }
    kernels
}

/// The file in `folder` that keeps what was compiled for `arch`.
fn file(folder: &Path, arch: &str) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    hasher.update(SOURCE.as_bytes());
    for option in OPTIONS {
        hasher.update(&[0]).update(option.as_bytes());
    }
    hasher.update(&[0]).update(arch.as_bytes());
    let name = &hasher.finalize().to_hex()[..32];
    folder.join(format!("{arch}-{name}.cubin"))
}

/// The CUBIN for `arch`, from `folder` if it was made before; it is kept there otherwise.
///
/// # Errors
/// As [`compile`]; or the folder cannot be written.
pub fn cached(arch: &str, folder: Option<&Path>) -> Result<Vec<u8>> {
    let Some(folder) = folder else { return Ok(compile(arch)?.cubin) };
    let path = file(folder, arch);
    if let Ok(cubin) = fs::read(&path) {
        return Ok(cubin);
    }
    let cubin = compile(arch)?.cubin;
    // Under another name first, so that another process never reads half of it.
    let aside = path.with_extension(format!("{}.part", std::process::id()));
    let write = || {
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&aside, &cubin))
            .and_then(|()| fs::rename(&aside, &path))
    };
    write().map_err(|source| Error::Cache { path: path.clone(), source })?;
    Ok(cubin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_assemblers_report_is_read() {
        let log = "ptxas info    : Compiling entry function 'add_to' for 'sm_90'\n\
                   ptxas info    : Function properties for add_to\n\
                   ptxas         .     0 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads\n\
                   ptxas info    : Used 14 registers, used 1 barriers, 2064 bytes smem\n";
        let found = resources(log);
        assert_eq!(found, [Resources { name: "add_to".into(), registers: 14, spilled: 8, shared: 2064 }]);
    }

    /// Instructions that round each operation by itself, and one on integers.
    const GOOD: &str =
        "\tadd.rn.f32 %f1, %f2, %f3;\n\tmul.rn.f32 %f1, %f2, %f3;\n\tdiv.rn.f32 %f1, %f2, %f3;\n\
                        \tmad.lo.s32 %r1, %r2, %r3, %r4;\n";

    #[test]
    fn instructions_that_round_otherwise_are_found() {
        let error = rounding(&format!(
            "{GOOD}\tfma.rn.f32 %f1, %f2, %f3, %f4;\n\tmul.ftz.f32 %f1, %f2, %f3;\n\
                   \t@%p1 ex2.approx.f32 %f1, %f2;\n"
        ))
        .unwrap_err();
        assert!(error.contains("found ex2.approx.f32, fma.rn.f32, mul.ftz.f32;"), "{error}");
        rounding(GOOD).unwrap();
    }

    #[test]
    fn a_text_that_shows_nothing_is_refused() {
        let integers = GOOD.replace(".f32", ".s32");
        let undivided = GOOD.replace("div.rn", "neg");
        for (ptx, missing) in [("", "add."), (integers.as_str(), "add."), (undivided.as_str(), "div.")] {
            let error = rounding(ptx).unwrap_err();
            let expected = format!("expected PTX with {missing}rn.f32 in it, found {} bytes", ptx.len());
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn another_architecture_or_folder_is_another_file() {
        let folder = Path::new("cache");
        assert_ne!(file(folder, "sm_80"), file(folder, "sm_90"));
        assert!(file(folder, "sm_90").starts_with(folder));
    }
}
