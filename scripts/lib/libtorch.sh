# Sourced by scripts/setup: libtorch out of PyPI's wheels, unpacked without Python's installer.
#
# The wheel holds headers and libraries for every backend; a CPU build needs a handful of its libraries and two small
# CUDA libraries that libtorch_cpu.so names although it does not need a GPU.

LIBTORCH_WHEELS="
torch==$TORCH_VERSION 7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a
nvidia-cuda-runtime==13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cupti==13.0.85 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8
"

# True if LIBTORCH holds a libtorch of the right version.
libtorch_ready() {
    [ -f "$LIBTORCH/lib/libtorch_cpu.so" ] && [ -d "$LIBTORCH/include/torch" ] || return 1
    # A libtorch of the user's own may lack the stamp; then its own version file speaks.
    if [ -f "$LIBTORCH/build-version" ]; then
        grep -q "^$TORCH_VERSION" "$LIBTORCH/build-version"
    fi
}

# Downloads, checks and unpacks libtorch; leaves nothing half-done under its final name.
libtorch_install() {
    case $LIBTORCH in
        "$ATTUNE_CACHE"/*) ;;
        *) die "expected libtorch $TORCH_VERSION in LIBTORCH=$LIBTORCH, found none: unset LIBTORCH to have it installed" ;;
    esac
    step "libtorch $TORCH_VERSION"
    local downloads=$ATTUNE_CACHE/downloads aside=$LIBTORCH.part
    mkdir -p "$downloads"
    rm -rf "$aside"
    mkdir -p "$aside/lib"
    local requirement checksum wheel
    while read -r requirement checksum; do
        [ -n "$requirement" ] || continue
        say "downloading $requirement"
        printf '%s --hash=sha256:%s\n' "$requirement" "$checksum" >"$downloads/requirement.txt"
        python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
            --only-binary=:all: --implementation cp --python-version 3.11 --platform manylinux_2_28_x86_64 \
            --platform manylinux2014_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux_2_17_x86_64 \
            --dest "$downloads" --requirement "$downloads/requirement.txt" >&2 ||
            die "could not download $requirement from PyPI; check your connection and run this again"
    done <<<"$LIBTORCH_WHEELS"
    wheel=$(echo "$downloads"/torch-"$TORCH_VERSION"-*.whl)
    say "unpacking"
    unzip -q -o "$wheel" 'torch/include/*' 'torch/share/*' 'torch/lib/libc10.so' 'torch/lib/libtorch_cpu.so' \
        'torch/lib/libgomp.so.1' 'torch/lib/libtorch_global_deps.so' -d "$aside/unpacked"
    mv "$aside/unpacked/torch/include" "$aside/unpacked/torch/share" "$aside"/
    mv "$aside/unpacked/torch/lib"/* "$aside/lib/"
    unzip -q -o -j "$(echo "$downloads"/nvidia_cuda_runtime-*.whl)" '*/libcudart.so.13' -d "$aside/lib"
    unzip -q -o -j "$(echo "$downloads"/nvidia_cuda_cupti-*.whl)" '*/libcupti.so.13' -d "$aside/lib"
    ln -s libtorch_cpu.so "$aside/lib/libtorch.so"
    rm -rf "$aside/unpacked" "$downloads"
    echo "$TORCH_VERSION+cpu" >"$aside/build-version"
    rm -rf "$LIBTORCH"
    mv "$aside" "$LIBTORCH"
}
