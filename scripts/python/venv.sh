# Sourced by scripts/interop and scripts/bench: a Python environment of their own, with transformers and peft on a
# CPU-only torch. $PYTHON runs it.
#
# PyPI's torch for Linux names 2 GB of CUDA libraries that a CPU run never calls. They are not installed: its libraries
# are given empty stand-ins to link against, and Python loads functions lazily (RTLD_LAZY), so that a function of theirs
# would fail only if it were called. What remains: 540 MB to download, 1.6 GB on disk.

VENV=$ATTUNE_CACHE/interop-venv
STANDINS=$VENV/standins
REQUIREMENTS=$ATTUNE_ROOT/scripts/python/requirements.txt

venv_ready() {
    cmp -s "$REQUIREMENTS" "$VENV/requirements.installed"
}

venv_install() {
    step "Python environment in $VENV (540 MB to download, once)"
    command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null ||
        die "expected python3 with venv, found none: install the packages python3 and python3-venv"
    command -v cc >/dev/null || die "expected a C compiler 'cc', found none: install the package gcc"
    rm -rf "$VENV"
    python3 -m venv "$VENV"
    # The list names every package, so nothing is pulled in beside it.
    "$VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --requirement "$REQUIREMENTS" >&2 ||
        die "the Python packages can't be installed from PyPI; check your connection and run this again"
    mkdir -p "$STANDINS"
    for library in libcublas.so.13 libcublasLt.so.13 libcudnn.so.9 libcufft.so.12 libcufile.so.0 libcurand.so.10 \
        libcusolver.so.12 libcusparse.so.12 libcusparseLt.so.0 libnccl.so.2 libnvJitLink.so.13 libnvrtc.so.13 \
        libnvshmem_host.so.3; do
        cc -shared -o "$STANDINS/$library" -Wl,-soname,"$library" -x c /dev/null
    done
    # A line of a .pth file that begins with "import" is run at start-up, before any import of torch.
    echo 'import os, sys; sys.setdlopenflags(os.RTLD_LAZY)' >"$("$VENV/bin/python" -c \
        'import sysconfig; print(sysconfig.get_paths()["purelib"])')/lazy_loading.pth"
    cp "$REQUIREMENTS" "$VENV/requirements.installed"
}

venv_ready || venv_install
PYTHON=$VENV/bin/python

# Runs Python with the stand-ins in sight, and without the libtorch of the Rust build.
run_python() {
    env LD_LIBRARY_PATH="$STANDINS" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 TQDM_DISABLE=1 \
        TRANSFORMERS_VERBOSITY=error PYTHONWARNINGS=ignore::FutureWarning TOKENIZERS_PARALLELISM=false "$PYTHON" "$@"
}
