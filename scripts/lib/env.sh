# Sourced by every script: where things are. Nothing here changes the machine.
#
# ATTUNE_CACHE   what is downloaded and built; outside the clone, so that a second clone or a CI run is warm.
# LIBTORCH       libtorch to build with and run on; yours if it is set, else the one that `scripts/setup` unpacks.
# ATTUNE_TORCH   which one that is: `cuda` or `cpu`; by default `cuda` where there is an NVIDIA GPU.

ATTUNE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export ATTUNE_ROOT
export ATTUNE_CACHE=${ATTUNE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/attune}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$ATTUNE_CACHE/target}
export ATTUNE_BIN=$CARGO_TARGET_DIR/debug
export ATTUNE_TOOLS=$ATTUNE_CACHE/tools

# Clippy compiles the project's own crates, in every script: it is rustc with lints, so the lints cost no second build.
# Its path is put together here: `rustup which` would install a missing toolchain unasked. Where it is missing, set-up
# comes first, and this file is read again after it.
toolchain=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$ATTUNE_ROOT/rust-toolchain.toml")
clippy=${RUSTUP_HOME:-$HOME/.rustup}/toolchains/$toolchain-x86_64-unknown-linux-gnu/bin/clippy-driver
if [ -x "$clippy" ]; then
    export RUSTC_WORKSPACE_WRAPPER=$clippy CLIPPY_ARGS="-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__"
fi

# The scripts speak on standard error; standard output is for results.
say() { printf '%s\n' "$*" >&2; }
step() { printf '\n\033[1m==> %s\033[0m\n' "$*" >&2; }
die() {
    printf '\033[31merror:\033[0m %s\n' "$*" >&2
    exit 1
}

# True if this machine has an NVIDIA GPU that a program here can reach. A container sees its host's driver in /proc
# also where it was given no device, so the device file has to be there as well; WSL has a driver and no such files.
has_nvidia_gpu() {
    local gpus=(/proc/driver/nvidia/gpus/*/)
    [ -d "${gpus[0]}" ] && [ -e /dev/nvidiactl ] && return
    command -v nvidia-smi >/dev/null && timeout 20 nvidia-smi -L 2>/dev/null | grep -q '^GPU '
}

TORCH_VERSION=2.11.0
if [ -n "${ATTUNE_TORCH:-}" ]; then
    TORCH_BUILD=$ATTUNE_TORCH
elif has_nvidia_gpu; then
    TORCH_BUILD=cuda
else
    TORCH_BUILD=cpu
fi
case $TORCH_BUILD in
    cpu | cuda) ;;
    *) die "expected ATTUNE_TORCH to be cpu or cuda, found '$TORCH_BUILD'; unset it to have the machine looked at" ;;
esac
# One that a script has set before is not the user's choice: ATTUNE_TORCH may have changed since.
case ${LIBTORCH:-} in
    "" | "$ATTUNE_CACHE/libtorch-$TORCH_VERSION-"*) LIBTORCH=$ATTUNE_CACHE/libtorch-$TORCH_VERSION-$TORCH_BUILD ;;
esac
export LIBTORCH
