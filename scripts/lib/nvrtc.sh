# Sourced by scripts/gpu-check, after env.sh and libtorch.sh: NVIDIA's run-time compiler out of PyPI's wheel. It compiles
# kernels on machines without a GPU too, and is the one that libtorch with CUDA brings.

NVRTC_WHEEL=$(grep '^nvidia-cuda-nvrtc==' <<<"$LIBTORCH_CUDA_WHEELS")
NVRTC_VERSION=${NVRTC_WHEEL%% *}
NVRTC_VERSION=${NVRTC_VERSION#*==}

# Sets NVRTC to the folder that holds libnvrtc.so.13, after downloading it (91 MB) if there is none.
nvrtc_find() {
    NVRTC=$LIBTORCH/lib
    [ ! -f "$NVRTC/libnvrtc.so.13" ] || return 0
    NVRTC=$ATTUNE_CACHE/nvrtc-$NVRTC_VERSION
    [ ! -f "$NVRTC/libnvrtc.so.13" ] || return 0
    step "NVRTC $NVRTC_VERSION"
    local downloads=$NVRTC.downloads aside=$NVRTC.part
    rm -rf "$downloads" "$aside"
    mkdir -p "$downloads" "$aside"
    LIBTORCH_WHEELS=$NVRTC_WHEEL libtorch_download "$downloads"
    unzip -q -o -j "$(echo "$downloads"/nvidia_cuda_nvrtc-*.whl)" '*/libnvrtc.so.13' '*/libnvrtc-builtins.so.*' -d "$aside"
    mv "$aside" "$NVRTC"
    rm -rf "$downloads"
}
