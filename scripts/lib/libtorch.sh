# Sourced by scripts/setup: libtorch out of PyPI's wheels, unpacked without Python's installer.
#
# The torch wheel holds headers and libraries for every backend. Both builds are made of this one wheel and share its
# libtorch_cpu.so, which is all that a program here links: `cpu` takes a handful of its libraries and two small CUDA
# ones that libtorch_cpu.so names although it needs no GPU; `cuda` takes all of them and the NVIDIA wheels that torch's
# metadata ask for on Linux, side by side in one lib folder, where they find each other by their own $ORIGIN.

# name==version, sha256, MB to download: what both builds take.
LIBTORCH_WHEELS="
torch==$TORCH_VERSION 7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a 531
nvidia-cuda-runtime==13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 3
nvidia-cuda-cupti==13.0.85 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8 11
"
# What the CUDA build takes besides.
LIBTORCH_CUDA_WHEELS="
nvidia-cublas==13.1.0.3 ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171 424
nvidia-cuda-nvrtc==13.0.88 ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575 91
nvidia-cudnn-cu13==9.19.0.56 d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf 367
nvidia-cufft==12.0.0.61 6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3 215
nvidia-cufile==1.15.1.6 08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44 2
nvidia-curand==10.4.0.35 1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc 60
nvidia-cusolver==12.0.4.66 0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112 201
nvidia-cusparse==12.6.3.3 2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b 146
nvidia-cusparselt-cu13==0.8.0 25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd 170
nvidia-nccl-cu13==2.28.9 e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42 197
nvidia-nvjitlink==13.0.88 13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b 41
nvidia-nvshmem-cu13==3.4.5 290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80 61
nvidia-nvtx==13.0.85 4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4 1
"
LIBTORCH_DISK_MB=500
if [ "$TORCH_BUILD" = cuda ]; then
    LIBTORCH_WHEELS+=$LIBTORCH_CUDA_WHEELS
    LIBTORCH_DISK_MB=3700
fi
# Tags of Linux wheels for glibc up to 2.28, as pip wants them: each by itself.
LIBTORCH_PLATFORMS=(manylinux1 manylinux2010 manylinux2014)
for minor in 5 12 17 18 25 27 28; do
    LIBTORCH_PLATFORMS+=("manylinux_2_$minor")
done

# True if LIBTORCH holds a libtorch of the right version, with CUDA if it is ours and should have it.
libtorch_ready() {
    [ -f "$LIBTORCH/lib/libtorch_cpu.so" ] && [ -d "$LIBTORCH/include/torch" ] || return 1
    case $LIBTORCH in
        "$ATTUNE_CACHE"/*-cuda) [ -f "$LIBTORCH/lib/libtorch_cuda.so" ] || return 1 ;;
    esac
    # A libtorch of the user's own may lack the stamp; then its own version file speaks.
    if [ -f "$LIBTORCH/build-version" ]; then
        grep -q "^$TORCH_VERSION" "$LIBTORCH/build-version"
    fi
}

# MB to download for this build.
libtorch_download_mb() {
    local requirement checksum mb total=0
    while read -r requirement checksum mb; do
        total=$((total + ${mb:-0}))
    done <<<"$LIBTORCH_WHEELS"
    echo "$total"
}

# Says what is missing, and how large it is.
libtorch_describe() {
    echo "libtorch $TORCH_VERSION for $TORCH_BUILD (about $(libtorch_download_mb) MB to download, $LIBTORCH_DISK_MB MB on disk) in $LIBTORCH"
}

# Downloads, checks and unpacks libtorch; leaves nothing half-done under its final name. What was downloaded before an
# interruption is not downloaded again.
libtorch_install() {
    case $LIBTORCH in
        "$ATTUNE_CACHE"/*) ;;
        *) die "expected libtorch $TORCH_VERSION in LIBTORCH=$LIBTORCH, found none: unset LIBTORCH to have it installed" ;;
    esac
    step "libtorch $TORCH_VERSION for $TORCH_BUILD"
    local downloads=$ATTUNE_CACHE/downloads aside=$LIBTORCH.part
    mkdir -p "$downloads"
    rm -rf "$aside"
    libtorch_require_room "$downloads"
    libtorch_download "$downloads"
    say "unpacking"
    mkdir -p "$aside/lib"
    libtorch_unpack "$downloads" "$aside"
    ln -s libtorch_cpu.so "$aside/lib/libtorch.so"
    echo "$TORCH_VERSION+$TORCH_BUILD" >"$aside/build-version"
    rm -rf "$LIBTORCH"
    mv "$aside" "$LIBTORCH"
    rm -rf "$downloads"
}

# Wheels and what is unpacked from them lie side by side for a while.
libtorch_require_room() {
    local have need
    have=$(df --output=avail --block-size=1M "$ATTUNE_CACHE" | tail -n 1)
    need=$(($(libtorch_download_mb) + LIBTORCH_DISK_MB - $(du --summarize --block-size=1M "$1" | cut -f 1)))
    [ "$have" -ge "$need" ] ||
        die "expected $need MB free in $ATTUNE_CACHE, found $((have)) MB; make room, or set ATTUNE_CACHE to a larger disk"
}

libtorch_download() {
    local downloads=$1 requirement checksum mb platform platforms=()
    for platform in "${LIBTORCH_PLATFORMS[@]}"; do
        platforms+=(--platform "${platform}_x86_64")
    done
    while read -r requirement checksum mb; do
        [ -n "$requirement" ] || continue
        say "downloading $requirement ($mb MB)"
        printf '%s --hash=sha256:%s\n' "$requirement" "$checksum" >"$downloads/requirement.txt"
        python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
            --only-binary=:all: --implementation cp --python-version 3.11 "${platforms[@]}" \
            --dest "$downloads" --requirement "$downloads/requirement.txt" >&2 ||
            die "could not download $requirement from PyPI; check your connection and run this again"
    done <<<"$LIBTORCH_WHEELS"
}

# libtorch_unpack DOWNLOADS FOLDER: headers to include/ and share/, all libraries to lib/.
libtorch_unpack() {
    local downloads=$1 aside=$2 wheel
    wheel=$(echo "$downloads"/torch-"$TORCH_VERSION"-*.whl)
    unzip -q -o "$wheel" 'torch/include/*' 'torch/share/*' -d "$aside/unpacked"
    mv "$aside/unpacked/torch/include" "$aside/unpacked/torch/share" "$aside"/
    rm -rf "$aside/unpacked"
    if [ "$TORCH_BUILD" = cpu ]; then
        unzip -q -o -j "$wheel" 'torch/lib/libc10.so' 'torch/lib/libtorch_cpu.so' 'torch/lib/libgomp.so.1' \
            'torch/lib/libtorch_global_deps.so' -d "$aside/lib"
        unzip -q -o -j "$(echo "$downloads"/nvidia_cuda_runtime-*.whl)" '*/libcudart.so.13' -d "$aside/lib"
        unzip -q -o -j "$(echo "$downloads"/nvidia_cuda_cupti-*.whl)" '*/libcupti.so.13' -d "$aside/lib"
    else
        # Python's own part stays out, and so does the wheel's libtorch.so, which would need all the rest at once.
        unzip -q -o -j "$wheel" 'torch/lib/*.so*' -x '*/libtorch_python.so' '*/libshm.so' '*/libtorch.so' -d "$aside/lib"
        for wheel in "$downloads"/nvidia_*.whl; do
            unzip -q -o -j "$wheel" 'nvidia/*.so*' -d "$aside/lib"
        done
    fi
}
