// Output: text for people, or one JSON object a line. Amounts are in planck in JSON, as text (they exceed 2^53).

import { decAnyMetadata, unifyMetadata } from "@polkadot-api/substrate-bindings";
import { InvalidTxError } from "polkadot-api";

/** How results are printed. */
export type Output = "text" | "json";

/** One ATT, in planck. */
const ATT = 1_000_000_000_000n;

/** An amount of planck in ATT, without trailing zeros. */
export function att(planck: bigint): string {
  const fraction = (planck % ATT).toString().padStart(12, "0").replace(/0+$/, "");
  return `${planck / ATT}${fraction ? `.${fraction}` : ""} ATT`;
}

/** Prints a result. */
export function say(output: Output, text: string, object: Record<string, unknown>): void {
  console.log(output === "json" ? toJson(object) : text);
}

/** Prints why the program stops, on standard error. */
export function sayError(output: Output, error: unknown): void {
  if (error instanceof Refused) {
    const { pallet, name, docs } = error;
    console.error(output === "json" ? toJson({ pallet, error: name, docs }) : `refused: ${error.message}`);
  } else {
    const message = error instanceof InvalidTxError ? refusedByNode(error) : error instanceof Error ? error.message : String(error);
    console.error(output === "json" ? toJson({ error: message }) : `error: ${message}`);
  }
}

/** A transaction that the node did not take, as for a fee that the account can't pay: nothing has changed. */
function refusedByNode({ error: { type, value } }: InvalidTxError): string {
  return `the node doesn't take the transaction: ${type} ${value?.type ?? ""}`.trimEnd();
}

function toJson(object: Record<string, unknown>): string {
  return JSON.stringify(object, (_, value) => (typeof value === "bigint" ? value.toString() : value));
}

/** A call that the chain executed and refused: the fee is paid, nothing else has changed. */
export class Refused extends Error {
  pallet: string;
  name: string;
  docs: string;

  constructor(pallet: string, name: string, docs: string) {
    super(`${pallet}.${name}: ${docs}`);
    this.pallet = pallet;
    this.name = name;
    this.docs = docs;
  }

  /** From the dispatch error of a transaction; the documentation stands in the chain's metadata. */
  static from(error: { type: string; value: unknown }, metadata: Uint8Array): Refused {
    if (error.type !== "Module") return new Refused("", error.type, JSON.stringify(error.value) ?? "");
    const { type: pallet, value } = error.value as { type: string; value: { type: string } };
    const { pallets, lookup } = unifyMetadata(decAnyMetadata(metadata));
    const errors = pallets.find(({ name }) => name === pallet)?.errors;
    const definition = errors && lookup[errors.type]?.def;
    const variants = definition?.tag === "variant" ? definition.value : [];
    const docs = variants.find(({ name }) => name === value.type)?.docs ?? [];
    return new Refused(pallet, value.type, docs.join(" ").trim());
  }
}
