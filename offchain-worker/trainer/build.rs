//! Links libtorch by the path that `LIBTORCH` names and writes that path into the binaries and tests of this
//! package (rpath), so that none of them needs `LD_LIBRARY_PATH`.

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Ok(libtorch) = env::var("LIBTORCH") else {
        panic!(
            "LIBTORCH is not set. It must name a folder with libtorch 2.11 (include/, lib/). \
             Run ./scripts/setup, or set it to an installation of your own."
        );
    };
    let lib = Path::new(&libtorch).join("lib");
    assert!(
        lib.join("libtorch_cpu.so").exists(),
        "LIBTORCH={libtorch}: there is no lib/libtorch_cpu.so in it. Set LIBTORCH to a folder with libtorch 2.11 \
         (include/, lib/), or run ./scripts/setup."
    );
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
}
