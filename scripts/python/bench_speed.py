"""How fast is exact arithmetic, and how much memory does it take, beside what people use?

The peers are transformers + peft in float32 and in bfloat16 (what that means stands in bench_peft.py), and the
trainer's own float engine. All train the same model on the same rows with the same batch, rank and threads, in turn,
several times over, so that what disturbs the machine disturbs all of them.

By default every program uses what the processor has. A group of rows by the name of a kernel path (`--kernels avx2`)
shows a processor that has less: there the exact kernels take that path, and the peers' libraries are held to the same
instructions. bfloat16 is a peer only where there are instructions for it: torch multiplies it without them in plain
loops on one thread, which takes minutes for a step of the large shape, and nobody trains like that.
"""

from functools import partial

from bench_shared import (
    SHIPPED, Shape, large_model, pack, say, spread, train_for_speed, train_with_peft,
)  # fmt: skip

ATTUNE, PEFT = "attune-trainer", "transformers + peft"
BEST = "best"
LARGE_BATCH_ROWS = 2
# What holds the libraries below torch (its own kernels, oneDNN, MKL) to the instructions of a path of our kernels.
PEER_LIMITS = {
    "portable": ("default", "SSE41", "SSE4_2"),
    "avx2": ("avx2", "AVX2", "AVX2"),
    "avxvnni": ("avx2", "AVX2_VNNI", "AVX2"),
    "avx512vnni": ("avx512", "AVX512_CORE_VNNI", "AVX512"),
}
WITHOUT_BFLOAT16 = {"portable", "avx2", "avxvnni"}
KERNELS = [*PEER_LIMITS]


def peer_limits(path):
    names = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
    return dict(zip(names, PEER_LIMITS[path], strict=True))


def runners(given):
    """(trainer, arithmetic, kernels) and the function that runs it on a shape."""
    exact = ["ax1-w8", "ax1-w4"]
    found = {}

    def add_peers(kernels, limits):
        for dtype in ["float32"] if kernels in WITHOUT_BFLOAT16 else ["float32", "bfloat16"]:
            found[PEFT, dtype, kernels] = partial(train_with_peft, given, dtype=dtype, limits=limits)

    def add(arithmetic, kernels, limits):
        found[ATTUNE, arithmetic, kernels] = partial(train_for_speed, given, arithmetic=arithmetic, limits=limits)

    add_peers(BEST, None)
    for arithmetic in ["float", *exact]:
        add(arithmetic, BEST, None)
    for path in given.kernels:
        add_peers(path, peer_limits(path))
        for arithmetic in exact:
            add(arithmetic, path, {"ATTUNE_KERNELS": path})
    return found


def shapes(given):
    """What is trained: the shipped base, the large shape, or both."""
    data = pack(given, given.length)
    if given.speed:
        yield Shape("attune-base", SHIPPED, data, given.batch_rows, given.length, given.steps), given.repeats
    if given.large:
        large = Shape("llama-135m", large_model(given), data, LARGE_BATCH_ROWS, given.length, given.large_steps)
        yield large, given.large_repeats


def measure(given, shape, repeats):
    """The rows of one shape."""
    all_runners = runners(given)
    found = {key: {"positions_per_second": [], "peak_memory_bytes": [], "first_loss": []} for key in all_runners}
    for repeat in range(repeats):
        for key, run in all_runners.items():
            say(f"{shape.name}, run {repeat + 1} of {repeats}: {', '.join(key)}")
            seconds, losses, memory = run(shape)
            found[key]["positions_per_second"].append(shape.positions_per_second(seconds))
            found[key]["peak_memory_bytes"].append(memory)
            found[key]["first_loss"].append(losses[0])
    rows = []
    for (trainer, arithmetic, kernels), figures in found.items():
        row = {"trainer": trainer, "arithmetic": arithmetic, "kernels": kernels, "model": shape.name}
        row |= {"threads": given.threads, "batch_rows": shape.batch_rows, "length": shape.length}
        row |= {"steps": shape.steps, "repeats": repeats, "first_loss": figures["first_loss"][0]}
        row |= {key: spread(figures[key]) for key in ("positions_per_second", "peak_memory_bytes")}
        rows.append(row)
    for row in rows:
        compare(row, rows)
    return rows


def compare(row, rows):
    """Adds how a row compares with the peers that have the same instructions: medians by medians, None without a peer."""
    peers = {peer["arithmetic"]: peer for peer in rows if (peer["trainer"], peer["kernels"]) == (PEFT, row["kernels"])}
    median = lambda of, key: of[key]["median"]
    for name, dtype in (("fp32", "float32"), ("bf16", "bfloat16")):
        for short, key in (("speed", "positions_per_second"), ("memory", "peak_memory_bytes")):
            peer = peers.get(dtype)
            row[f"{short}_vs_peft_{name}"] = median(row, key) / median(peer, key) if peer else None


def try_kernels(given):
    """Ends the program where this machine lacks a path that was asked for, before time is spent on the others."""
    shape = Shape("", SHIPPED, pack(given, given.length), batch_rows=1, length=given.length, steps=1)
    for path in given.kernels:
        train_for_speed(given, shape, "ax1-w8", {"ATTUNE_KERNELS": path})


def speed(given):
    return {"rank": given.rank, "rows": [row for shape in shapes(given) for row in measure(given, *shape)]}


def show(part):
    print(f"LoRA training, rank {part['rank']} on all linear layers; × is the ratio to transformers + peft")
    print(
        f"{'model':12} {'kernels':10} {'trainer':20} {'arithmetic':11} {'threads':>7} {'positions/s':>12} "
        f"{'(min – max)':>17} {'× fp32':>7} {'× bf16':>7} {'peak memory':>12} {'× fp32':>7}"
    )
    for row in part["rows"]:
        figures = row["positions_per_second"]
        limits = f"({figures['min']:.0f} – {figures['max']:.0f})"
        bfloat16 = "—" if row["speed_vs_peft_bf16"] is None else f"{row['speed_vs_peft_bf16']:.2f}"
        print(
            f"{row['model']:12} {row['kernels']:10} {row['trainer']:20} {row['arithmetic']:11} {row['threads']:7} "
            f"{figures['median']:12.0f} {limits:>17} {row['speed_vs_peft_fp32']:7.2f} {bfloat16:>7} "
            f"{row['peak_memory_bytes']['median'] / 2**20:8.0f} MiB {row['memory_vs_peft_fp32']:7.2f}"
        )
