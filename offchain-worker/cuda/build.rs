//! Makes one text of the kernels: constants from the reference (by their bits, so that they have one home), then the files
//! of `kernels/`. NVRTC compiles it for a GPU when the program runs; here it is compiled as host C++ for the tests, with a
//! table to find a kernel by its name.

use std::{env, fmt::Write as _, fs, path::PathBuf};

use attune_exact::{loss, mantissa, mantissa::Width, real, weights};

include!("src/sources.rs");

/// Threads of a block at most; rows take as many or fewer, products exactly as many.
const MAX_THREADS: u32 = 256;

fn constants() -> String {
    let bits = [
        ("LOG2E", real::LOG2E),
        ("LN2_HIGH", real::LN2_HIGH),
        ("LN2_LOW", real::LN2_LOW),
        ("EXP_LOWEST", real::EXP_LOWEST),
        ("C2", real::C2),
        ("C3", real::C3),
        ("C4", real::C4),
        ("C5", real::C5),
        ("C6", real::C6),
        ("SQRT2", real::SQRT2),
        ("L1", real::L1),
        ("L2", real::L2),
        ("L3", real::L3),
        ("L4", real::L4),
        ("LOSS_LIMIT", loss::LOSS_LIMIT),
    ];
    let mut text = String::new();
    for (name, value) in bits {
        writeln!(text, "#define AX_{name} 0x{:08X}u", value.to_bits()).expect("a String takes all, qed");
    }
    let numbers = [
        ("INFINITY_BITS", format!("0x{:08X}u", mantissa::INFINITY_BITS)),
        ("LOWEST_EXPONENT", format!("({})", mantissa::LOWEST_EXPONENT)),
        ("WIDE_SHIFT", Width::Wide.shift().to_string()),
        ("WIDE_LIMIT", Width::Wide.limit().to_string()),
        ("NARROW_SHIFT", Width::Narrow.shift().to_string()),
        ("NARROW_LIMIT", Width::Narrow.limit().to_string()),
        ("GROUP", weights::GROUP.to_string()),
        ("MAX_THREADS", MAX_THREADS.to_string()),
    ];
    for (name, value) in numbers {
        writeln!(text, "#define AX_{name} {value}").expect("a String takes all, qed");
    }
    text
}

/// Names of the kernels in `text`.
fn kernels(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.strip_prefix("KERNEL("));
    names.filter_map(|rest| Some(rest.split_once(',')?.0.to_string())).collect()
}

/// What finds a kernel of the host by its name and checks that both sides mean the same parameters.
fn table(kernels: &[String]) -> String {
    let mut text = String::from(
        "static bool same(const char *a, const char *b) {\n    while (*a && *a == *b) ++a, ++b;\n    \
         return *a == *b;\n}\nextern \"C\" i32 attune_shim_launch(const char *name, u64 size, const u32 *grid, \
         u32 threads, const void *params) {\n",
    );
    for name in kernels {
        writeln!(
            text,
            "    if (same(name, \"{name}\")) {{\n        if (size != shim_size_{name}()) return 2;\n        \
             shim_{name}(grid, threads, params);\n        return 0;\n    }}"
        )
        .expect("a String takes all, qed");
    }
    text + "    return 1;\n}\n"
}

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it, qed"));
    let mut text = constants();
    for name in SOURCES {
        println!("cargo:rerun-if-changed=kernels/{name}");
        let source =
            fs::read_to_string(format!("kernels/{name}")).expect("the sources are part of the crate, qed");
        writeln!(text, "#line 1 \"{name}\"\n{source}").expect("a String takes all, qed");
    }
    println!("cargo:rerun-if-changed=src/sources.rs");
    println!("cargo:rerun-if-changed=build.rs");
    let kernels = kernels(&text);
    fs::write(out.join("kernels.cu"), &text).expect("OUT_DIR can be written, qed");
    let names = format!(
        "/// Names of all kernels.\npub const KERNELS: &[&str] = &{kernels:?};\n\
         /// Threads of a block at most.\npub const MAX_THREADS: u32 = {MAX_THREADS};\n"
    );
    fs::write(out.join("kernels.rs"), names).expect("OUT_DIR can be written, qed");
    let host = out.join("host.cpp");
    fs::write(&host, text + &table(&kernels)).expect("OUT_DIR can be written, qed");
    cc::Build::new()
        .cpp(true)
        .cpp_link_stdlib(None)
        .std("c++17")
        .opt_level(3)
        .flag("-ffp-contract=off")
        .flag("-fno-fast-math")
        .flag("-fno-exceptions")
        .flag("-fno-rtti")
        .flag("-fno-math-errno")
        .flag("-fno-strict-aliasing")
        .flag("-fwrapv")
        .warnings(true)
        .extra_warnings(true)
        .warnings_into_errors(true)
        .file(&host)
        .compile("attune_cuda_host");
}
