"""Compares the trainer with transformers and peft on one base model, adapter and held-out file.

Three questions, each answered twice, once by `attune-trainer` and once by the libraries that the field uses:
are the logits the same (within 1e-4), is the held-out loss the same (within 1e-3), and does the tokenizer with its
chat template give the same tokens? Nothing of ours is used on the other side: transformers loads and renders, peft
applies the adapter, torch computes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

LOGITS_TOLERANCE = 1e-4
LOSS_TOLERANCE = 1e-3
IGNORE = -100
SUMMARY_KEYS = ["base_dir", "exact_base_dir", "adapter_dir", "heldout_file", "loss_before", "loss_after"]


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/interop", description=__doc__.split("\n\n")[0])
    parser.add_argument("--summary", type=Path, metavar="FILE", help="the JSON that scripts/demo --summary wrote")
    parser.add_argument("--base", type=Path, metavar="DIR", help="the base model's folder")
    parser.add_argument("--exact-base", type=Path, metavar="DIR", help="the base as exact arithmetic sees it")
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="the exported adapter's folder")
    parser.add_argument("--held-out", type=Path, metavar="FILE", help="held-out rows, chat JSONL")
    parser.add_argument("--record-loss", type=float, metavar="X", help="held-out loss after training, by the record")
    parser.add_argument("--record-loss-before", type=float, metavar="X", help="the same before training")
    parser.add_argument("--rows", type=int, default=8, help="rows whose logits are compared (default %(default)s)")
    parser.add_argument("--trainer", type=Path, required=True, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.summary:
        summary = json.loads(given.summary.read_text())
        missing = [key for key in SUMMARY_KEYS if summary.get(key) is None]
        if missing:
            parser.error(f"{given.summary} lacks {', '.join(missing)}: expected what scripts/demo --summary writes")
        given.base, given.adapter = Path(summary["base_dir"]), Path(summary["adapter_dir"])
        given.exact_base, given.held_out = Path(summary["exact_base_dir"]), Path(summary["heldout_file"])
        given.record_loss, given.record_loss_before = summary["loss_after"], summary["loss_before"]
    for name in ("base", "adapter", "held_out", "record_loss"):
        if getattr(given, name) is None:
            parser.error(f"expected --{name.replace('_', '-')}, or --summary FILE that names it")
    for path in (given.base, given.exact_base, given.adapter, given.held_out):
        if path is not None and not path.exists():
            parser.error(f"{path} does not exist")
    return given


def read_rows(path):
    """Conversations of a JSONL file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines if line.strip()]


def tokens_and_labels(tokenizer, messages):
    """Token ids, and for each the id again where it bears loss: what the assistant says, up to its end token."""
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    spans = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = tokenizer.apply_chat_template(messages[:index], tokenize=False, add_generation_prompt=True)
        through = tokenizer.apply_chat_template(messages[: index + 1], tokenize=False)
        spans.append((len(before), len(through.rstrip())))
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = encoded["input_ids"]
    trained = [any(a <= start < b for a, b in spans) for start, _ in encoded["offset_mapping"]]
    return ids, [token if bears else IGNORE for token, bears in zip(ids, trained)]


@torch.no_grad()
def held_out_loss(model, examples):
    """Mean over all assistant tokens, in nats, each row by itself."""
    total, count = 0.0, 0
    for ids, labels in examples:
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].double()
        targets = torch.tensor(labels[1:])
        total += torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum").item()
        count += int((targets != IGNORE).sum())
    return total / count


def trainer_logits(trainer, base, adapter, sequences):
    """The trainer's logits, one tensor [tokens, vocabulary] per sequence."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "logits.safetensors"
        for ids in sequences:
            command = [trainer, "logits", "--model", base, "--tokens", ",".join(map(str, ids)), "--out", out]
            if adapter is not None:
                command += ["--adapter", adapter]
            # The stand-ins on the library path are for PyPI's torch only.
            environment = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
            command = [str(part) for part in command]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
            found.append(load_file(out)["logits"])
    return found


@torch.no_grad()
def worst_difference(model, ours, sequences):
    """The largest difference of any logit."""
    worst = 0.0
    for logits, ids in zip(ours, sequences):
        theirs = model(input_ids=torch.tensor([ids])).logits[0]
        if theirs.shape != logits.shape:
            sys.exit(f"the trainer gave logits of shape {tuple(logits.shape)}, expected {tuple(theirs.shape)}")
        worst = max(worst, (theirs - logits).abs().max().item())
    return worst


def main():
    given = arguments()
    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(given.base)
    rows = read_rows(given.held_out)
    examples = [tokens_and_labels(tokenizer, messages) for messages in rows]
    sequences = [ids for ids, _ in examples[: given.rows]]

    checks = []

    def compare(what, ours, theirs, difference, tolerance):
        checks.append((what, ours, theirs, difference, tolerance, difference <= tolerance))

    def load(folder):
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    # The record of an exact job is of the base in few bits; that of a class-exact one of the base as it is published.
    base = given.exact_base or given.base
    model = load(base)
    count = f"{len(sequences)} rows, {sum(map(len, sequences))} tokens"
    ours = trainer_logits(given.trainer, base, None, sequences)
    compare(f"logits of the base ({count})", "", "", worst_difference(model, ours, sequences), LOGITS_TOLERANCE)
    if given.record_loss_before is not None:
        loss = held_out_loss(model, examples)
        difference = abs(loss - given.record_loss_before)
        compare("held-out loss before", given.record_loss_before, loss, difference, LOSS_TOLERANCE)

    tuned = PeftModel.from_pretrained(model, given.adapter).eval()
    ours = trainer_logits(given.trainer, base, given.adapter, sequences)
    compare(f"logits with the adapter ({count})", "", "", worst_difference(tuned, ours, sequences), LOGITS_TOLERANCE)
    loss = held_out_loss(tuned, examples)
    compare("held-out loss after", given.record_loss, loss, abs(loss - given.record_loss), LOSS_TOLERANCE)

    show = lambda value: value if isinstance(value, str) else f"{value:.6f}"
    print(f"{'':45} {'attune':>10} {'peft':>10} {'difference':>11} {'allowed':>8}")
    for what, ours, theirs, difference, tolerance, good in checks:
        verdict = "ok" if good else "DIFFERS"
        print(f"{what:45} {show(ours):>10} {show(theirs):>10} {difference:11.2e} {tolerance:8.0e}  {verdict}")
    if given.exact_base:
        published = load(given.base)
        before = held_out_loss(published, examples)
        after = held_out_loss(PeftModel.from_pretrained(published, given.adapter).eval(), examples)
        print(f"for comparison, peft on the base as it is published: held-out loss {before:.6f} before, {after:.6f} after")
    if not all(check[-1] for check in checks):
        sys.exit("the trainer and transformers + peft do not agree")


if __name__ == "__main__":
    main()
