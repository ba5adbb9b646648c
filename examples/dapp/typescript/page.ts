// The lists of a page: providers, open jobs, an account's stake. Each comes by the runtime API AttuneApi, page by page,
// with all that the page shows; nothing is worked out here.

import type { attune } from "#attune";
import { Binary, type TypedApi } from "polkadot-api";
import { att, type Output, say } from "./say.ts";

type Api = TypedApi<typeof attune>;

/** How many entries a page of a list asks for; the chain gives no more than 50. */
const PAGE = 20;

/** Every registered provider, with its price, what stands behind it, and what it can still take on. */
export async function listProviders(api: Api, output: Output): Promise<void> {
  let from: string | undefined;
  do {
    const { items, next } = await api.apis.AttuneApi.providers(from, PAGE);
    for (const { provider, profile, stake, bond_room, commission, status } of items) {
      const name = Binary.toText(profile.name);
      const { price_per_gpu_hour, hardware: { accelerators: gpus } } = profile;
      const text = `provider ${name} (${provider}): ${att(price_per_gpu_hour)} per GPU hour, ${gpus} GPUs, ${att(stake)} at stake`;
      say(output, `${text}, takes bonds up to ${att(bond_room)}`, {
        provider, name, gpus, price_per_gpu_hour, stake, bond_room, commission_millionths: commission, status: status.type,
      });
    }
    from = next;
  } while (from !== undefined);
}

/** Every job that still waits for a provider, the newest first. */
export async function listOpenJobs(api: Api, output: Output): Promise<void> {
  let before: bigint | undefined;
  do {
    const { items, next } = await api.apis.AttuneApi.open_jobs(before, PAGE);
    for (const { job, state, customer, most, segments, deadline } of items) {
      say(output, `open job ${job}: ${state.type}, at most ${att(most ?? 0n)}, until block ${deadline}`, {
        open_job: Number(job), state: state.type, customer, most, segments, deadline,
      });
    }
    before = next;
  } while (before !== undefined);
}

/** What an account has in providers' pools: what it is worth, what can be claimed, and when the rest is free. */
export async function listStakes(api: Api, holder: string, output: Output): Promise<void> {
  const { stakes } = await api.apis.AttuneApi.account_overview(holder, []);
  for (const { provider, delegation, unbonding } of stakes) {
    const { worth, pending_income } = delegation ?? { worth: 0n, pending_income: 0n };
    say(output, `stake with ${provider}: ${att(worth)} worth, ${att(pending_income)} to claim`, {
      stake: provider, worth, pending_income,
    });
    // The clock: a part is free at its block, unless something keeps all of it back.
    const { obstacle } = unbonding;
    const why =
      obstacle?.type === "SlashPending" ? `a slash waits until block ${obstacle.value.until}`
      : obstacle ? "it backs open jobs"
      : null;
    for (const { worth, unlock_at, blocks_left } of unbonding.chunks) {
      const text = `on its way out: ${att(worth)}, free at block ${unlock_at}, in ${blocks_left} blocks`;
      say(output, why ? `${text}; but ${why}` : text, { unbonding: provider, worth, unlock_at, blocks_left, obstacle: why });
    }
  }
}
