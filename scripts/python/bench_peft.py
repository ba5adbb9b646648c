"""Trains a LoRA adapter with transformers and peft on packed rows, and prints its speed as JSON.

The peer in scripts/bench: the same model, packed rows, batch, rank, targets, optimizer and threads as attune-trainer,
as a user of peft would write the loop. Packed examples are kept apart as transformers does it: by position ids that
start again at 0, without an attention mask.

--dtype float32: everything in float32. --dtype bfloat16: the base model is loaded in bfloat16, so its products and
activations are bfloat16, without autocast; the adapter is left as peft makes it by default, which is float32
(`autocast_adapter_dtype`), so peft widens the input of each adapter, multiplies in float32, and rounds the sum to
bfloat16; the adapter's gradients and the optimizer are float32. The loss is computed from logits widened to float32, as
transformers' own loss does it.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

IGNORE = -100


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of packed.safetensors")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch-rows", type=int, required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--alpha", type=float, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the base model")
    return parser.parse_args()


def main():
    given = arguments()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    data = load_file(given.data / "packed.safetensors")
    tokens, labels, positions = (data[f"train.{part}"].long() for part in ("tokens", "labels", "positions"))
    model = AutoModelForCausalLM.from_pretrained(given.model, dtype=getattr(torch, given.dtype))
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    lora = LoraConfig(r=given.rank, lora_alpha=given.alpha, target_modules=targets, task_type="CAUSAL_LM")
    model = get_peft_model(model, lora).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=given.learning_rate, weight_decay=0.0)
    rows = tokens.shape[0]
    times, losses = [], []
    for step in range(given.steps):
        started = time.perf_counter()
        chosen = [(step * given.batch_rows + index) % rows for index in range(given.batch_rows)]
        logits = model(input_ids=tokens[chosen], position_ids=positions[chosen], use_cache=False).logits
        # The file's labels are shifted already: labels[t] is the target of position t.
        loss = torch.nn.functional.cross_entropy(
            logits.float().reshape(-1, logits.shape[-1]), labels[chosen].reshape(-1), ignore_index=IGNORE
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(loss.item())
        times.append(time.perf_counter() - started)
    print(json.dumps({"seconds_per_step": times, "losses": losses, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
