"""Runs the fuzzer's processes for scripts/fuzz: starts them, adds up their figures, and tells a finding."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Bytes of the longest scenario: scenario::MAX_BYTES of attune-runtime-fuzz.
MAX_BYTES = 770
# A scenario takes milliseconds; one that takes this long hangs.
TIMEOUT_SECONDS = 60
MEMORY_MIB = 4096
TOLD_EVERY_SECONDS = 5


def whole_number(text):
    number = int(text.replace("_", ""))
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
    return number


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/fuzz runtime", add_help=False)
    parser.add_argument("--calls", type=whole_number)
    parser.add_argument("--jobs", type=whole_number, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--seed", type=whole_number)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    parser.add_argument("--replay", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--bin", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if (options.calls is None) == (options.replay is None):
        parser.error("expected either --calls N or --replay FILE")
    if options.replay and not options.replay.is_file():
        parser.error(f"expected a file after --replay, found {options.replay}")
    return options


def say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


class Process:
    """One fuzzing process, with its log and its figures."""

    def __init__(self, options, work, corpus, findings, number, calls):
        self.log = work / f"{number}.log"
        self.progress = work / f"{number}.json"
        command = [
            options.bin,
            f"-max_len={MAX_BYTES}",
            "-len_control=0",
            f"-timeout={TIMEOUT_SECONDS}",
            f"-rss_limit_mb={MEMORY_MIB}",
            f"-artifact_prefix={findings}/",
            "-reload=5",
            "-print_final_stats=0",
        ]
        if options.seed:
            command.append(f"-seed={options.seed + number}")
        command.append(corpus)
        environment = dict(os.environ, ATTUNE_FUZZ_CALLS=str(calls), ATTUNE_FUZZ_PROGRESS=str(self.progress))
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def figures(self):
        try:
            return json.loads(self.progress.read_text())
        except (OSError, ValueError):
            return {}

    def coverage(self):
        """The last edges, features and corpus size that libFuzzer told."""
        with open(self.log, "rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 8192))
            found = re.findall(rb"cov: (\d+) ft: (\d+) corp: (\d+)", log.read())
        return tuple(map(int, found[-1])) if found else (0, 0, 0)

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


def total(processes, began):
    """The figures of all processes together."""
    each = [process.figures() for process in processes]
    coverage = [process.coverage() for process in processes]
    by_call, errors, up_to_weight = {}, {}, {}
    for figures in each:
        for name, tally in figures.get("by_call", {}).items():
            seen = by_call.setdefault(name, {"done": 0, "failed": 0})
            seen["done"] += tally["done"]
            seen["failed"] += tally["failed"]
        for name, count in figures.get("errors", {}).items():
            errors[name] = errors.get(name, 0) + count
        for name, count in figures.get("up_to_weight", {}).items():
            up_to_weight[name] = up_to_weight.get(name, 0) + count
    seconds = time.monotonic() - began
    calls = sum(figures.get("calls", 0) for figures in each)
    return {
        "calls": calls,
        "done": sum(figures.get("done", 0) for figures in each),
        "refused": sum(figures.get("refused", 0) for figures in each),
        "blocks": sum(figures.get("blocks", 0) for figures in each),
        "scenarios": sum(figures.get("scenarios", 0) for figures in each),
        "seconds": round(seconds, 1),
        "calls_per_second": round(calls / seconds, 1) if seconds > 0 else 0.0,
        "jobs": len(processes),
        "edges": max(edges for edges, _, _ in coverage),
        "features": max(features for _, features, _ in coverage),
        "corpus": max(corpus for _, _, corpus in coverage),
        "by_call": dict(sorted(by_call.items())),
        "up_to_weight": dict(sorted(up_to_weight.items())),
        "errors": dict(sorted(errors.items())),
    }


def tell_progress(figures, wanted):
    calls, rate = figures["calls"], figures["calls_per_second"]
    left = f"{(wanted - calls) / rate / 60:.1f} min left" if rate and calls < wanted else ""
    say(
        f"{calls:>9,} of {wanted:,} calls  {rate:>6,.0f}/s  {figures['blocks']:,} blocks  "
        f"{figures['edges']:,} edges  {figures['corpus']:,} scenarios kept  {left}"
    )


def tell_summary(figures):
    if not figures["calls"]:
        return
    for name, tally in figures["by_call"].items():
        print(f"{tally['done']:>9,} of {tally['done'] + tally['failed']:>9,}  {name}")
    share = 100 * figures["done"] / figures["calls"]
    print(
        f"{figures['calls']:,} calls in {figures['scenarios']:,} scenarios and {figures['blocks']:,} blocks, "
        f"{figures['seconds']:,.0f} s with {figures['jobs']} processes: {figures['calls_per_second']:,.0f} calls/s; "
        f"{share:.0f} % succeeded; {len(figures['up_to_weight'])} calls touched all the keys that their weight is for; "
        f"{figures['edges']:,} edges of the runtime's crates reached"
    )


def replay(options, file, shrink_to=None):
    environment = dict(os.environ, ATTUNE_FUZZ_REPLAY=str(file))
    if shrink_to:
        environment["ATTUNE_FUZZ_SHRINK_TO"] = str(shrink_to)
    done = subprocess.run([options.bin], env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    for line in done.stderr.decode(errors="replace").splitlines():
        # What libFuzzer misses when it is linked without a sanitizer is not part of the story.
        if not line.startswith("WARNING: Failed to find function"):
            say(line)
    return done.returncode, done.stdout.decode(errors="replace")


def tell_finding(options, process, fresh):
    """Tells what a process that ended early has found. Gives the files."""
    if not fresh:
        say(f"A process ended with exit code {process.child.returncode} and left no scenario. The end of its log:")
        say(process.log.read_text(errors="replace")[-4000:])
        return []
    files = []
    for file in fresh:
        small = file.with_suffix(".steps")
        _, story = replay(options, file, small)
        say(story)
        say(f"A rule is broken. The scenario: {file}\nMade smaller:               {small}")
        say(f"Again: scripts/fuzz runtime --replay {small}")
        files += [str(file), str(small)]
    return files


def fuzz(options):
    corpus = options.corpus or options.cache / "corpus"
    findings = options.cache / "findings"
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    began = time.monotonic()
    interrupted = False
    with tempfile.TemporaryDirectory(prefix="run-", dir=options.cache) as work:
        share = -(-options.calls // options.jobs)
        say(f"{options.jobs} processes; scenarios in {corpus}; findings go to {findings}")
        processes = [
            Process(options, Path(work), corpus, findings, number, share) for number in range(options.jobs)
        ]
        failed = None
        try:
            told = began
            while failed is None and any(process.child.poll() is None for process in processes):
                time.sleep(0.2)
                failed = next((process for process in processes if process.child.poll() not in (None, 0)), None)
                if time.monotonic() - told >= TOLD_EVERY_SECONDS:
                    told = time.monotonic()
                    tell_progress(total(processes, began), options.calls)
            failed = failed or next((process for process in processes if process.child.returncode), None)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            for process in processes:
                process.stop()
        figures = total(processes, began)
        figures["findings"] = []
        if failed is not None and not interrupted:
            fresh = sorted(file for file in set(findings.iterdir()) - before if file.suffix != ".steps")
            figures["findings"] = tell_finding(options, failed, fresh)
    tell_progress(figures, options.calls)
    if options.output == "json":
        print(json.dumps(figures, indent=1))
    else:
        tell_summary(figures)
    if interrupted:
        return 130
    return 1 if failed is not None else 0


def main():
    options = arguments()
    if options.check:
        return 0
    # A terminated run stops its processes like an interrupted one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.replay:
        code, story = replay(options, options.replay)
        print(story, end="")
        return code
    return fuzz(options)


if __name__ == "__main__":
    sys.exit(main())
