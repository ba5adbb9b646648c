# Sourced by every script: where things are. Nothing here changes the machine.
#
# ATTUNE_CACHE   what is downloaded and built; outside the clone, so that a second clone or a CI run is warm.
# LIBTORCH       libtorch to build with and run on; yours if it is set, else the one that `scripts/setup` unpacks.

ATTUNE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export ATTUNE_ROOT
export ATTUNE_CACHE=${ATTUNE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/attune}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$ATTUNE_CACHE/target}
export ATTUNE_BIN=$CARGO_TARGET_DIR/debug
export ATTUNE_TOOLS=$ATTUNE_CACHE/tools

TORCH_VERSION=2.11.0
# The CPU build: in this form the trainer computes on the CPU only.
LIBTORCH=${LIBTORCH:-$ATTUNE_CACHE/libtorch-$TORCH_VERSION-cpu}
export LIBTORCH

# The scripts speak on standard error; standard output is for results.
say() { printf '%s\n' "$*" >&2; }
step() { printf '\n\033[1m==> %s\033[0m\n' "$*" >&2; }
die() {
    printf '\033[31merror:\033[0m %s\n' "$*" >&2
    exit 1
}
