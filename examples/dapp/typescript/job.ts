// What is ordered: a job's specification, and an entry of the model registry. Both are plain data.

import type { attune } from "#attune";
import { Binary, type TypedApi } from "polkadot-api";

type Query = TypedApi<typeof attune>["query"];

/** A job as the chain stores it. */
export type Job = NonNullable<Awaited<ReturnType<Query["JobEscrow"]["Jobs"]["getValue"]>>>;
/** What its customer specified. */
export type JobSpec = Job["spec"];

/** A job of one segment. A real one names the data set that its customer serves. Units are in the names: 1e-9, 1e-6, 1e-12. */
export function smallJob(model: number, minAuditFee: bigint): JobSpec {
  return {
    model,
    data: {
      root: `0x${"07".repeat(32)}`, // BLAKE3 of the packed data set's manifest
      bytes: 4_096n,
      tokens: 1_024n,
      rows: 8,
      held_out_rows: 0,
      sequence_length: 128,
    },
    method: { type: "Lora", value: { rank: 8, alpha: 16, rank_stabilised: false } },
    hyper: {
      learning_rate_nano: 200_000n, // 0.0002
      schedule: { type: "Cosine", value: undefined },
      warmup_steps: 0,
      micro_batch_rows: 2,
      gradient_accumulation: 1,
      max_gradient_norm_micro: 1_000_000, // 1.0
      weight_decay_micro: 0,
      beta1_micro: 900_000,
      beta2_micro: 999_000,
      epsilon_pico: 10_000, // 1e-8
    },
    mode: { type: "Exact", value: { version: 1, base: { type: "W8", value: undefined } } },
    engine_version: 2,
    seed: 42n,
    steps_per_segment: 4,
    milestones: [{ segments: 1, share: 1_000_000 }],
    assurance: { samples: 1, auditors: 1 },
    theme: Binary.fromText("dApp example"),
    max_price: 1_000_000_000_000n, // 1 ATT
    audit_fee: minAuditFee,
    timing: { bidding_blocks: 0, open_blocks: 600, start_blocks: 600, milestone_blocks: 600 },
    provider: undefined,
  };
}

/** An entry without a model behind it: enough to order a job that is cancelled, not to train one. */
export function placeholderModel() {
  return {
    name: Binary.fromText("dApp example (no weights)"),
    architecture: Binary.fromText("llama"),
    parameters: 1n,
    artifact: `0x${"08".repeat(32)}`,
    artifact_bytes: 1n,
    tokenizer: `0x${"09".repeat(32)}`,
    licence: Binary.fromText("CC0-1.0"),
  };
}
