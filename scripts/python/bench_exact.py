"""Measures exact arithmetic: what it learns, how fast it is and how much memory it takes, beside floating point.

Parts, each a table (none given: --learning and --speed):
  --learning   held-out loss after fine-tuning the shipped base model in float, ax1-w8 and ax1-w4
  --speed      positions per second and peak memory on the shipped base model, beside transformers + peft
  --large      the same on a 135M Llama shape with random weights (slow; 6 GB of memory)
"""

import argparse
import os
import sys
from pathlib import Path

import bench_learning
import bench_speed
from bench_shared import add_places, check_writable, machine, note_load, now, write_whole

EXAMPLES = """examples:
  scripts/bench exact --json exact.json                  learning and speed, all figures to a file as well
  scripts/bench exact --speed --kernels avx2             speed, and again as on a processor with AVX2 only
  scripts/bench exact --large --threads 4                only the large shape
  scripts/bench exact --learning --seeds 1 --learning-steps 16    a quick look whether it works
"""


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench exact",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    threads = min(4, os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE too, whole or not at all")
    parser.add_argument("--learning", action="store_true", help="the part on what is learnt")
    parser.add_argument("--speed", action="store_true", help="the part on speed and memory, shipped base model")
    parser.add_argument("--large", action="store_true", help="the part on speed and memory, 135M shape")
    parser.add_argument("--threads", type=int, default=threads, help="threads of every run (default here %(default)s)")
    parser.add_argument("--rank", type=int, default=16, help="rank of the adapters (default %(default)s)")
    learning = parser.add_argument_group("learning")
    learning.add_argument("--seeds", type=int, default=3, help="seeds (default %(default)s)")
    learning.add_argument("--learning-steps", type=int, default=192, help="steps of 8 × 128 (default %(default)s)")
    learning.add_argument("--learning-rate", type=float, default=1e-3, help="at its peak (default %(default)s)")
    learning.add_argument("--no-control", dest="control", action="store_false", help="no second float training, "
                          "nudged in its learning rate, that shows what rounding alone does")  # fmt: skip
    speed = parser.add_argument_group("speed and memory")
    speed.add_argument("--kernels", action="append", default=[], choices=bench_speed.KERNELS, help="measure again with "
                       "exact kernels and peers held to the instructions of this path; may be repeated")  # fmt: skip
    speed.add_argument("--repeats", type=int, default=5, help="runs of each, --speed (default %(default)s)")
    speed.add_argument("--steps", type=int, default=12, help="steps of a run, --speed (default %(default)s)")
    speed.add_argument("--batch-rows", type=int, default=4, help="packed rows per step, --speed (default %(default)s)")
    speed.add_argument("--large-repeats", type=int, default=3, help="the same for --large (default %(default)s)")
    speed.add_argument("--large-steps", type=int, default=4, help="the same for --large (default %(default)s)")
    speed.add_argument("--length", type=int, default=512, help="tokens per packed row (default %(default)s)")
    add_places(parser)
    given = parser.parse_args()
    given.command_line = command_line(sys.argv[1:])
    check(parser, given)
    if not (given.learning or given.speed or given.large):
        given.learning = given.speed = True
    return given


def command_line(words):
    """What was typed, without what says where things lie on this machine."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in ("--bin", "--work", "--json"):
        parser.add_argument(option)
    places, rest = parser.parse_known_args(words)
    shown = ["--json", Path(places.json).name] if places.json else []
    return " ".join(["scripts/bench exact", *rest, *shown])


def check(parser, given):
    if min(given.steps, given.large_steps) < 2:
        parser.error("expected at least 2 steps, as the first is not counted")
    for name in ("threads", "rank", "seeds", "learning_steps", "repeats", "large_repeats", "batch_rows"):
        if getattr(given, name) < 1:
            parser.error(f"expected --{name.replace('_', '-')} to be at least 1, found {getattr(given, name)}")
    if not 16 <= given.length <= 512:
        parser.error(f"expected --length from 16 to 512, the shipped model's context, found {given.length}")


def main():
    given = arguments()
    report = {"date": now(), "command_line": given.command_line, "machine": machine(given)}
    if given.speed or given.large:
        bench_speed.try_kernels(given)
    if given.learning:
        report["learning"] = bench_learning.learning(given)
    if given.speed or given.large:
        report["speed"] = bench_speed.speed(given)

    print(f"{report['command_line']}\n{report['date']}, {report['machine']['processor']}")
    for name, part in (("learning", bench_learning), ("speed", bench_speed)):
        if name in report:
            print()
            part.show(report[name])
    note_load(report)
    if given.json:
        write_whole(given.json, report)


if __name__ == "__main__":
    main()
