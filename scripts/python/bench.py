"""Measures attune-trainer beside transformers + peft: speed and peak memory of LoRA training on the CPU.

Both train the same model in float32 on the same packed rows with the same batch, rank, targets, optimizer and number
of threads, in turn, several times over; each run is a process of its own. Speed is positions (rows times length) per
second over the steps after the first, which pays for what later steps reuse; memory is the process's peak resident
set, as the kernel counts it.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EXAMPLE = ROOT / "examples/wordnet-categories"
SHIPPED = ROOT / "models/attune-base"
LEARNING_RATE = 1e-4
# The shape of SmolLM-135M; its weights are random, as speed does not depend on them.
LARGE = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}


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
    parser.add_argument("--bin", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, required=True, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.steps < 2 or given.repeats < 1:
        parser.error("expected at least 2 steps (the first is not counted) and 1 repeat")
    return given


def measured(command, **options):
    """Runs a command; its standard output and its peak memory in bytes."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, **options)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"this command failed with status {os.waitstatus_to_exitcode(status)}: {' '.join(map(str, command))}")
    return json.loads(output), usage.ru_maxrss * 1024


def run_ours(given, model, data):
    command = [given.bin / "attune-trainer", "--threads", given.threads, "train", "--model", model, "--data", data]
    command += ["--steps", given.steps, "--micro-batch-size", given.batch_rows, "--rank", given.rank]
    command += ["--alpha", 2 * given.rank, "--learning-rate", LEARNING_RATE, "--schedule", "constant"]
    command += ["--no-evaluation", "--json"]
    # The stand-ins on the library path are for PyPI's torch only.
    environment = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    report, memory = measured(command, env=environment, stderr=subprocess.DEVNULL)
    return report["step_seconds"], report["losses"], memory


def run_peft(given, model, data):
    command = [sys.executable, HERE / "bench_peft.py", "--model", model, "--data", data, "--steps", given.steps]
    command += ["--batch-rows", given.batch_rows, "--rank", given.rank, "--alpha", 2 * given.rank]
    command += ["--learning-rate", LEARNING_RATE, "--threads", given.threads]
    report, memory = measured(command, stderr=subprocess.DEVNULL)
    return report["seconds_per_step"], report["losses"], memory


RUNNERS = {"attune-trainer": run_ours, "transformers + peft": run_peft}


def pack(given):
    """Packs the example data set as a job would."""
    out = given.work / f"data-{given.length}"
    command = [given.bin / "attune-corpus", "prepare", "--train", EXAMPLE / "train.jsonl"]
    command += ["--held-out", EXAMPLE / "held_out.jsonl", "--tokenizer", SHIPPED, "--out", out]
    command += ["--sequence-length", given.length]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return out


def large_model(given):
    """A model of the large shape with random weights from a fixed seed."""
    out = given.work / "large"
    if not (out / "model.safetensors").is_file():
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        LlamaForCausalLM(LlamaConfig(**LARGE, bos_token_id=None, eos_token_id=1)).save_pretrained(out)
    return out


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "all": values}


def bench(given, name, model, data):
    """All repeats of both on one model."""
    found = {runner: {"positions_per_second": [], "peak_memory_bytes": []} for runner in RUNNERS}
    first_losses = {}
    for repeat in range(given.repeats):
        for runner, run in RUNNERS.items():
            print(f"{name}: {runner}, run {repeat + 1} of {given.repeats}", file=sys.stderr)
            seconds, losses, memory = run(given, model, data)
            per_step = statistics.mean(seconds[1:])
            found[runner]["positions_per_second"].append(given.batch_rows * given.length / per_step)
            found[runner]["peak_memory_bytes"].append(memory)
            first_losses.setdefault(runner, losses[0])
    results = {runner: {key: spread(values) for key, values in figures.items()} for runner, figures in found.items()}
    for runner, loss in first_losses.items():
        results[runner]["first_loss"] = loss
    return {"model": name, "results": results}


def show(report):
    run = report["run"]
    print(
        f"LoRA training, rank {run['rank']}, float32, {run['batch_rows']} × {run['length']} positions per step, "
        f"{run['threads']} threads, {run['repeats']} runs of {run['steps']} steps; {report['machine']['processor']}"
    )
    print(f"{'model':12} {'trainer':20} {'positions/s':>12} {'(min – max)':>17} {'peak memory':>12} {'(min – max)':>17}")
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


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} cores"
    return f"{platform.machine()}, {os.cpu_count()} cores"


def main():
    given = arguments()
    given.work.mkdir(parents=True, exist_ok=True)
    import peft
    import torch
    import transformers

    data = pack(given)
    models = [("attune-base", SHIPPED)] + ([("llama-135m", large_model(given))] if given.large else [])
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
    settings = ("repeats", "steps", "threads", "batch_rows", "length", "rank")
    load_before = os.getloadavg()[0]
    report = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"processor": processor(), "load_before": load_before, "versions": versions},
        "run": {setting: getattr(given, setting) for setting in settings},
        "benchmarks": [bench(given, name, model, data) for name, model in models],
    }
    show(report)
    if load_before > 0.5:
        print(f"note: the machine was not idle (load {load_before:.1f}); compare within this run only", file=sys.stderr)
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
