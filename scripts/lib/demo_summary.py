"""Puts together what scripts/demo has noted: a table for people, and the same as JSON if a file is named."""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

PLANCK = 10**12
PEOPLE = ("Customer", "Provider1", "Provider2", "Provider3")


def read(folder, name):
    return json.loads((folder / name).read_text())


def total(balance):
    """Everything that an account owns, in planck: what is free and what is held."""
    return int(balance["free"]) + int(balance["held"])


def gather(options):
    folder = options.folder
    record, job, scores, net = (read(folder, f"{name}.json") for name in ("record", "job", "eval", "net"))
    moments = ("before", "after")
    money = {
        read(folder, f"balance-{who}-before.json")["account"]: {
            moment: total(read(folder, f"balance-{who}-{moment}.json")) for moment in moments
        }
        for who in PEOPLE
    }
    auditors = sorted({audit["auditor"] for audit in record["audits"]})
    each = {auditor: money[auditor] for auditor in auditors}
    paid = job["job"]["milestones_paid"]
    return {
        "seconds": options.seconds,
        "node_rpc": net["node_rpc"],
        "job_id": record["job"],
        "record_id": record["job"],
        "base_dir": str(options.base),
        "exact_base_dir": str(folder / "exact-base"),
        "adapter_dir": str(folder / "adapter"),
        "heldout_file": str(options.held_out),
        "loss_before": record["loss_before_micro"] / 1e6,
        "loss_after": record["loss_after_micro"] / 1e6,
        "exact_match_before": scores["base"]["exact_match"],
        "exact_match_after": scores["tuned"]["exact_match"],
        "milestones_paid": paid,
        "audits": record["audits"],
        "balances": {
            "customer": money[record["customer"]],
            "provider": money[record["provider"]],
            "auditors": {**{m: sum(one[m] for one in each.values()) for m in moments}, "each": each},
        },
        "profile_dir": str(folder),
    }


def show(outcome):
    def att(planck):
        return f"{planck / PLANCK:,.4f} ATT"

    def change(one):
        difference = one["after"] - one["before"]
        return f"{att(one['before'])} -> {att(one['after'])} ({difference / PLANCK:+,.4f})"

    balances = outcome["balances"]
    lines = [
        ("held-out loss", f"{outcome['loss_before']:.4f} -> {outcome['loss_after']:.4f} nats per token"),
        ("exact match", f"{outcome['exact_match_before']:.1%} -> {outcome['exact_match_after']:.1%}"),
        ("milestones paid", outcome["milestones_paid"]),
        *((f"audit of segment {a['segment']}", f"{a['verdict']} by {a['auditor']}") for a in outcome["audits"]),
        ("customer", change(balances["customer"])),
        ("provider", change(balances["provider"])),
        *(("auditor", f"{who}: {change(one)}") for who, one in balances["auditors"]["each"].items()),
        ("record", f"{outcome['record_id']} (job {outcome['job_id']})"),
        ("adapter", outcome["adapter_dir"]),
        ("base model", outcome["base_dir"]),
        ("... in 8 bits", outcome["exact_base_dir"]),
        ("held-out file", outcome["heldout_file"]),
        ("time", f"{outcome['seconds']} s"),
    ]
    for name, value in lines:
        print(f"{name:<22} {value}")


def write(path, outcome):
    """All of the file or nothing."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".summary-", delete=False) as aside:
        json.dump(outcome, aside, indent=2)
        aside.write("\n")
    os.chmod(aside.name, 0o644)
    os.replace(aside.name, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--summary", type=Path)
    options = parser.parse_args()
    outcome = gather(options)
    show(outcome)
    if options.summary:
        write(options.summary, outcome)
    wrong = [a for a in outcome["audits"] if a["verdict"] != "match"]
    if wrong or outcome["loss_after"] >= outcome["loss_before"]:
        sys.exit("error: the job was recorded, but its loss did not fall or an audit did not match")


if __name__ == "__main__":
    main()
