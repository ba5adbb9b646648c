"""What the benchmarks share: how a run is measured, its data and models, and how results are written.

Every run is a process of its own. Speed is positions (rows times length, padding included) per second over the steps
after the first, which pays for what later steps reuse; memory is the process's peak resident set, as the kernel counts
it.

The kernel counts into a process's peak what its parent held when it was started. So nothing here imports torch: this
process stays below every process that it measures, and `measured` checks that it did.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EXAMPLES = ROOT / "examples"
SHIPPED = ROOT / "models/attune-base"
# Of the runs that measure speed; it does not depend on it.
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
# A process of its own: see above.
MAKE_LARGE = """
import json, sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
config = LlamaConfig(**json.loads(sys.argv[1]), bos_token_id=None, eos_token_id=1)
LlamaForCausalLM(config).save_pretrained(sys.argv[2])
"""


def add_places(parser):
    """The options that scripts/bench fills in."""
    parser.add_argument("--bin", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, required=True, help=argparse.SUPPRESS)


def say(text):
    print(text, file=sys.stderr, flush=True)


def measured(command, environment=None):
    """Runs a command; the JSON that it prints, and its peak memory in bytes."""
    command = [str(part) for part in command]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, env=environment)
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            complaints.seek(0)
            complaint = complaints.read().decode(errors="replace").partition("Stack backtrace:")[0]
            last = "\n".join(complaint.strip().splitlines()[-8:])
            sys.exit(f"this command failed with status {process.returncode}: {' '.join(command)}\n{last}")
    floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if usage.ru_maxrss <= floor:
        sys.exit(f"the measuring process itself takes {floor} KiB, which hides the peak of: {' '.join(command)}")
    return json.loads(output), usage.ru_maxrss * 1024


def trainer_environment(limits=None):
    # The stand-ins on the library path are for PyPI's torch only.
    return {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"} | (limits or {})


def trainer_text(given, *arguments):
    """What attune-trainer prints."""
    command = [str(part) for part in (given.bin / "attune-trainer", *arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=trainer_environment())
    return done.stdout.strip()


def trainer(given, command, *arguments, arithmetic="float", limits=None):
    """Runs attune-trainer on the CPU; its report and its peak memory. `limits` are environment variables."""
    command = [given.bin / "attune-trainer", command, "--arithmetic", arithmetic, "--threads", given.threads]
    command += ["--device", "cpu"]
    return measured([*command, *arguments], trainer_environment(limits))


def train_for_speed(given, shape, arithmetic="float", limits=None):
    """A short training with attune-trainer: seconds of each step, losses, peak memory."""
    report, memory = trainer(
        given, "train", "--model", shape.model, "--data", shape.data, "--steps", shape.steps,
        "--micro-batch-size", shape.batch_rows, "--rank", given.rank, "--alpha", 2 * given.rank,
        "--learning-rate", LEARNING_RATE, "--schedule", "constant", "--no-evaluation", "--json",
        arithmetic=arithmetic, limits=limits,
    )  # fmt: skip
    return report["step_seconds"], report["losses"], memory


def train_with_peft(given, shape, dtype="float32", limits=None):
    """The same with transformers and peft."""
    command = [sys.executable, HERE / "bench_peft.py", "--model", shape.model, "--data", shape.data]
    command += ["--steps", shape.steps, "--batch-rows", shape.batch_rows, "--rank", given.rank]
    command += ["--alpha", 2 * given.rank, "--learning-rate", LEARNING_RATE, "--threads", given.threads]
    report, memory = measured([*command, "--dtype", dtype], os.environ | (limits or {}))
    return report["seconds_per_step"], report["losses"], memory


class Shape:
    """What is trained in a measurement of speed: a model, on packed rows, so many of them in so many steps."""

    def __init__(self, name, model, data, batch_rows, length, steps):
        self.name, self.model, self.data = name, model, data
        self.batch_rows, self.length, self.steps = batch_rows, length, steps

    def positions_per_second(self, step_seconds):
        return self.batch_rows * self.length / statistics.mean(step_seconds[1:])


def pack(given, length, example="wordnet-categories"):
    """Packs an example data set as a job would."""
    given.work.mkdir(parents=True, exist_ok=True)
    source, out = EXAMPLES / example, given.work / f"{example}-{length}"
    command = [given.bin / "attune-corpus", "prepare", "--train", source / "train.jsonl"]
    command += ["--held-out", source / "held_out.jsonl", "--tokenizer", SHIPPED, "--out", out]
    command += ["--sequence-length", length]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return out


def large_model(given):
    """A model of the large shape with random weights from a fixed seed."""
    out = given.work / "large"
    if not (out / "model.safetensors").is_file():
        say("making the large model")
        subprocess.run([sys.executable, "-c", MAKE_LARGE, json.dumps(LARGE), str(out)], check=True)
    return out


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "all": values}


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} cores"
    return f"{platform.machine()}, {os.cpu_count()} cores"


def machine(given):
    """What the figures depend on. Taken first, so that the load is that of others."""
    return {
        "processor": processor(),
        "cores_allowed": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": os.getloadavg()[0],
        "load_averages_at_start": os.getloadavg(),
        "versions": {
            "attune-trainer": trainer_text(given, "--version").split()[-1],
            "float engine": trainer_text(given, "arithmetic", "--arithmetic", "float", "--threads", given.threads),
            **{package: version(package) for package in ("torch", "transformers", "peft")},
            "python": platform.python_version(),
        },
    }


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def note_load(report):
    load = report["machine"]["load_before"]
    if load > 0.5:
        say(f"note: the machine was not idle at the start (load {load:.1f}); compare within this run only")


def check_writable(parser, path):
    """Refuses a place for results that can't be written, before half an hour is spent on them."""
    if path and not (path.parent.is_dir() and os.access(path.parent, os.W_OK) and not path.is_dir()):
        parser.error(f"{path} can't be written: expected the name of a file in a folder that exists")


def write_whole(path, report):
    """Writes a report whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
