"""Measures attune-trainer beside transformers + peft: speed and peak memory of LoRA training on the CPU.

Both train the same model in float32 on the same packed rows with the same batch, rank, targets, optimizer and number
of threads, in turn, several times over. How a run is measured stands in bench_shared.py.
"""

import argparse
from pathlib import Path

from bench_shared import (
    SHIPPED, Shape, add_places, check_writable, large_model, machine, note_load, now, pack, say, spread,
    train_for_speed, train_with_peft, write_whole,
)  # fmt: skip

RUNNERS = {"attune-trainer": train_for_speed, "transformers + peft": train_with_peft}


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench trainer", description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--large", action="store_true", help="also a 135M Llama shape with random weights (slow)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each (default %(default)s)")
    parser.add_argument("--steps", type=int, default=12, help="optimizer steps of a run (default %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads (default %(default)s)")
    parser.add_argument("--batch-rows", type=int, default=4, help="packed rows per step (default %(default)s)")
    parser.add_argument("--length", type=int, default=512, help="tokens per packed row (default %(default)s)")
    parser.add_argument("--rank", type=int, default=16, help="rank of the adapter (default %(default)s)")
    add_places(parser)
    given = parser.parse_args()
    if given.steps < 2 or given.repeats < 1:
        parser.error("expected at least 2 steps (the first is not counted) and 1 repeat")
    check_writable(parser, given.json)
    return given


def bench(given, shape):
    """All repeats of both on one model."""
    found = {runner: {"positions_per_second": [], "peak_memory_bytes": []} for runner in RUNNERS}
    first_losses = {}
    for repeat in range(given.repeats):
        for runner, run in RUNNERS.items():
            say(f"{shape.name}: {runner}, run {repeat + 1} of {given.repeats}")
            seconds, losses, memory = run(given, shape)
            found[runner]["positions_per_second"].append(shape.positions_per_second(seconds))
            found[runner]["peak_memory_bytes"].append(memory)
            first_losses.setdefault(runner, losses[0])
    results = {runner: {key: spread(values) for key, values in figures.items()} for runner, figures in found.items()}
    for runner, loss in first_losses.items():
        results[runner]["first_loss"] = loss
    return {"model": shape.name, "results": results}


def show(report):
    run = report["run"]
    print(
        f"LoRA training, rank {run['rank']}, float32, {run['batch_rows']} × {run['length']} positions per step, "
        f"{run['threads']} threads, {run['repeats']} runs of {run['steps']} steps; {report['machine']['processor']}"
    )
    columns = f"{'positions/s':>12} {'(min – max)':>17} {'peak memory':>12} {'(min – max)':>17}"
    print(f"{'model':12} {'trainer':20} {columns}")
    for entry in report["benchmarks"]:
        for runner, figures in entry["results"].items():
            speed, memory = figures["positions_per_second"], figures["peak_memory_bytes"]
            mib = {key: memory[key] / 2**20 for key in ("median", "min", "max")}
            speeds = f"({speed['min']:.0f} – {speed['max']:.0f})"
            memories = f"({mib['min']:.0f} – {mib['max']:.0f})"
            print(
                f"{entry['model']:12} {runner:20} {speed['median']:12.0f} {speeds:>17} {mib['median']:8.0f} MiB "
                f"{memories:>17}"
            )


def main():
    given = arguments()
    report = {
        "date": now(),
        "machine": machine(given),
        "run": {key: getattr(given, key) for key in ("repeats", "steps", "threads", "batch_rows", "length", "rank")},
    }
    data = pack(given, given.length)
    models = [("attune-base", SHIPPED)] + ([("llama-135m", large_model(given))] if given.large else [])
    shapes = [Shape(name, model, data, given.batch_rows, given.length, given.steps) for name, model in models]
    report["benchmarks"] = [bench(given, shape) for shape in shapes]
    show(report)
    note_load(report)
    if given.json:
        write_whole(given.json, report)


if __name__ == "__main__":
    main()
