"""Does exact arithmetic learn as well as binary32? The same fine-tunings in each arithmetic, measured on held-out rows.

Two data sets, several seeds, all else equal. Every row says how far its loss is from that of libtorch's binary32 with
the same seed. Two measurements keep that figure honest:

- the control, binary32 again with a learning rate that is a millionth larger: a nudge as small as rounding, on any
  machine. How far it strays is what a training does by itself, and no arithmetic can be told from another below that;
- `loss_in_float`, each adapter on the unquantised base in binary32: what somebody gets who takes the adapter home and
  loads it with peft.
"""

import statistics
import tempfile

from bench_shared import SHIPPED, pack, say, trainer

DATA_SETS = ["wordnet-categories", "cmu-pronunciation"]
ARITHMETICS = ["float", "ax1-w8", "ax1-w4"]
CONTROL = "float, control"
NUDGE = 1e-6
LENGTH = 128
BATCH_ROWS = 8
# What the issue of exact arithmetic asks for.
ALLOWED = 0.01


def fine_tune(given, data, seed, name):
    """One fine-tuning, and its adapter measured in binary32."""
    arithmetic = "float" if name == CONTROL else name
    learning_rate = given.learning_rate * (1 + NUDGE if name == CONTROL else 1)
    with tempfile.TemporaryDirectory(dir=given.work) as adapter:
        report, _ = trainer(
            given, "train", "--model", SHIPPED, "--data", data, "--out", adapter, "--seed", seed,
            "--steps", given.learning_steps, "--micro-batch-size", BATCH_ROWS, "--rank", given.rank,
            "--alpha", 2 * given.rank, "--learning-rate", learning_rate, "--schedule", "cosine", "--json",
            arithmetic=arithmetic,
        )  # fmt: skip
        in_float, _ = trainer(given, "evaluate", "--model", SHIPPED, "--adapter", adapter, "--data", data)
    before, after = report["segments"][0]["held_out_loss_before_micro"], report["segments"][-1]["held_out_loss_micro"]
    return {
        "data": data.name.removesuffix(f"-{LENGTH}"),
        "seed": seed,
        "arithmetic": name,
        "threads": given.threads,
        "loss_before": before / 1e6,
        "loss_after": after / 1e6,
        "loss_in_float": in_float["loss"],
        "seconds": report["seconds"],
    }


def learning(given):
    """All fine-tunings: rows, and what they say together."""
    rows = []
    names = [ARITHMETICS[0]] + ([CONTROL] if given.control else []) + ARITHMETICS[1:]
    total = len(DATA_SETS) * given.seeds * len(names)
    for example in DATA_SETS:
        data = pack(given, LENGTH, example)
        for seed in range(given.seeds):
            reference = None
            for name in names:
                say(f"learning {len(rows) + 1} of {total}: {example}, seed {seed}, {name}")
                row = fine_tune(given, data, seed, name)
                reference = reference or row
                row["loss_rel_to_float"] = row["loss_after"] / reference["loss_after"] - 1
                row["loss_in_float_rel_to_float"] = row["loss_in_float"] / reference["loss_in_float"] - 1
                rows.append(row)
    settings = {"steps": given.learning_steps, "learning_rate": given.learning_rate, "schedule": "cosine"}
    settings |= {"batch_rows": BATCH_ROWS, "length": LENGTH, "rank": given.rank, "alpha": 2 * given.rank}
    return {"settings": settings, "allowed": ALLOWED, "rows": rows, "summary": summary(rows)}


def summary(rows):
    """Per data set and arithmetic: means over the seeds, and the seed that is worst."""
    found = []
    for data, name in dict.fromkeys((row["data"], row["arithmetic"]) for row in rows):
        mine = [row for row in rows if (row["data"], row["arithmetic"]) == (data, name)]
        mean = {
            key: statistics.mean(row[key] for row in mine)
            for key in ("loss_before", "loss_after", "loss_in_float", "loss_rel_to_float")
        }
        worst = max((row["loss_rel_to_float"] for row in mine), key=abs)
        found.append({"data": data, "arithmetic": name, "seeds": len(mine), **mean, "worst_rel_to_float": worst})
    return found


def show(part):
    settings = part["settings"]
    print(
        f"Held-out loss (nats per token) after {settings['steps']} steps of {settings['batch_rows']} × "
        f"{settings['length']}, rank {settings['rank']}, learning rate {settings['learning_rate']:g}; "
        f"allowed difference {100 * part['allowed']:g} %"
    )
    columns = f"{'before':>9} {'after':>9} {'rel. to float':>14} {'in float':>9}"
    print(f"{'data':20} {'seed':>5} {'arithmetic':15} {columns}")
    for row in part["rows"]:
        print(line(row, row["seed"], row["loss_rel_to_float"]))
    print(f"{'':20} {'':>5} {'':15} {'means':>9} {'':>9} {'mean':>14} {'':>9} {'worst seed':>11}")
    for row in part["summary"]:
        worst, mean = row["worst_rel_to_float"], row["loss_rel_to_float"]
        verdict = "" if row["arithmetic"] == "float" else "within" if abs(mean) <= part["allowed"] else "OUTSIDE"
        print(line(row, "all", row["loss_rel_to_float"]) + f" {worst:>+11.2%} {verdict}".rstrip())


def line(row, seed, relative):
    return (
        f"{row['data']:20} {seed:>5} {row['arithmetic']:15} {row['loss_before']:9.4f} {row['loss_after']:9.4f} "
        f"{relative:>+14.2%} {row['loss_in_float']:9.4f}"
    )
