// What a page about Attune does, with polkadot-api: lists providers and open jobs, orders a small job after saying what
// that holds, waits until it is final, reads it back, and cancels it.
//
// `npm run generate` makes the types behind "#attune" from the metadata file; no node is needed for that.

import { parseArgs } from "node:util";
import { attune } from "#attune";
import { sr25519CreateDerive } from "@polkadot-labs/hdkd";
import { DEV_MINI_SECRET } from "@polkadot-labs/hdkd-helpers";
import { AccountId, Binary, createClient, type PolkadotSigner, type Transaction } from "polkadot-api";
import { getPolkadotSigner } from "polkadot-api/signer";
import { getWsProvider, WsEvent } from "polkadot-api/ws";
import { type Job, type JobSpec, placeholderModel, smallJob } from "./job.ts";
import { att, type Output, Refused, say, sayError } from "./say.ts";

const USAGE = `Usage: node dapp.ts [--url URL] [--account //Alice] [--model ID | --register-model] [--keep]
                    [--output text|json]

Lists what there is; with an account, also orders a job and cancels it.
  --url             the node's address (ws://127.0.0.1:9944)
  --account         who orders: a development key such as //Alice; real keys stay in a wallet
  --model           the base model; the first registered one if none is given
  --register-model  registers a model entry to order with (for an empty development chain; holds a deposit)
  --keep            leaves the job open instead of cancelling it
  --output          text, or json: one object a line`;

const options = readOptions();
const { output } = options;
const unreachable = Promise.withResolvers<never>();
const provider = getWsProvider(options.url, {
  // By itself the provider tries again for ever, which is what a page wants.
  onStatusChanged: ({ type }) => {
    if (type === WsEvent.ERROR) unreachable.reject(new Error(`no node answers at ${options.url}`));
  },
});
const client = createClient(provider);
const api = client.getTypedApi(attune);
try {
  await Promise.race([run(), unreachable.promise]);
} catch (error) {
  sayError(output, error);
  process.exitCode = 1;
} finally {
  client.destroy();
}

async function run(): Promise<void> {
  await listProviders();
  await listOpenJobs();
  if (options.account) await orderAndCancel(devSigner(options.account));
}

async function orderAndCancel(signer: PolkadotSigner): Promise<void> {
  if (options["register-model"]) {
    await send(api.tx.ProofOfTraining.register_model({ info: placeholderModel() }), signer);
  }
  const model = options.model ?? (await firstModel());

  const spec = smallJob(model, await api.constants.JobEscrow.MinAuditFee());
  await sayWhatItHolds(spec);
  const created = await send(api.tx.JobEscrow.create_job({ spec, sponsor: undefined }), signer);
  const [event] = api.event.JobEscrow.JobCreated.filter(created.events);
  if (!event) throw new Error("create_job succeeded without JobCreated");
  const { job, deadline } = event.payload;
  say(output, `JobCreated: job ${job} open until block ${deadline}`, { event: "JobCreated", ...event.payload, job: Number(job) });
  await showJob(job);
  await showBalance(signer);

  if (options.keep) return;
  const cancelled = await send(api.tx.JobEscrow.cancel_job({ job }), signer);
  // Escrow and audit budget come back at once; the deposit does when the job's entry is pruned.
  for (const { payload } of api.event.JobEscrow.Refunded.filter(cancelled.events)) {
    const text = `Refunded: ${att(payload.amount)} of job ${payload.job}`;
    say(output, text, { event: "Refunded", ...payload, job: Number(payload.job) });
  }
  await showJob(job);
  await showBalance(signer);
}

/** Signs, sends, and waits until a final block holds the transaction; a refusal by a pallet is an error with its name. */
async function send(call: Transaction, signer: PolkadotSigner) {
  const result = await call.signAndSubmit(signer);
  if (!result.ok) throw Refused.from(result.dispatchError, await client.getMetadata(result.block.hash));
  return result;
}

/** Every registered provider, with its price and what stands behind it. */
async function listProviders(): Promise<void> {
  for (const { keyArgs: [account], value } of await api.query.ProviderStaking.Providers.getEntries()) {
    const pool = await api.query.ProviderStaking.Pools.getValue(account);
    // What answers for new jobs: self-bond and delegations, without stake that is on its way out.
    const stake = (pool?.self_bond ?? 0n) + (pool?.active.balance ?? 0n);
    const name = Binary.toText(value.profile.name);
    const { price_per_gpu_hour } = value.profile;
    say(output, `provider ${name} (${account}): ${att(price_per_gpu_hour)} per GPU hour, ${att(stake)} at stake`, {
      provider: account, name, price_per_gpu_hour, stake, status: value.status.type,
    });
  }
}

/** Every job that still waits for a provider. */
async function listOpenJobs(): Promise<void> {
  for (const { keyArgs: [id], value } of await api.query.JobEscrow.Jobs.getEntries()) {
    if (value.state.type === "Open") sayJob("open job", id, value);
  }
}

/** One job as it stands. */
async function showJob(id: bigint): Promise<void> {
  const job = await api.query.JobEscrow.Jobs.getValue(id);
  if (!job) throw new Error(`there is no job ${id}; an ended one may have been pruned`);
  sayJob("job", id, job);
}

function sayJob(what: string, id: bigint, { state, customer, spec, escrow, audit_budget, deadline }: Job): void {
  say(output, `${what} ${id}: ${state.type}, at most ${att(spec.max_price)}, deadline ${deadline}`, {
    [what.replace(" ", "_")]: Number(id), state: state.type, customer, max_price: spec.max_price, escrow, audit_budget, deadline,
  });
}

/** What is free and what is on hold on an account. */
async function showBalance(signer: PolkadotSigner): Promise<void> {
  const account = AccountId().dec(signer.publicKey);
  const { data: { free, reserved } } = await api.query.System.Account.getValue(account);
  say(output, `balance of ${account}: ${att(free)} free, ${att(reserved)} on hold`, { balance: account, free, held: reserved });
}

/** Says what `create_job` will put on hold: price, audits and deposit. */
async function sayWhatItHolds({ max_price, audit_fee, assurance, milestones }: JobSpec): Promise<void> {
  const deposit = await api.constants.JobEscrow.JobDeposit();
  const reserve = await api.constants.JobEscrow.CommitteeReserve();
  // Every first-round audit, and the committee's reserve, of each milestone.
  const audits = (assurance.samples * assurance.auditors + reserve) * milestones.length;
  const audit_budget = audit_fee * BigInt(audits);
  const will_hold = max_price + audit_budget + deposit;
  const text = `will hold ${att(will_hold)}: ${att(max_price)} price, ${att(audit_budget)} audits, ${att(deposit)} deposit`;
  say(output, text, { will_hold, max_price, audit_budget, deposit });
}

/** The base model with the smallest number. */
async function firstModel(): Promise<number> {
  const models = await api.query.ProofOfTraining.Models.getEntries();
  const ids = models.map(({ keyArgs: [id] }) => id);
  if (ids.length > 0) return Math.min(...ids);
  throw new Error(
    "no base model is registered: register one (`attune models add FOLDER`), or on a development chain take --register-model",
  );
}

/** A development key, which is public knowledge. A page asks a wallet extension instead: see docs/dapp-builder.md. */
function devSigner(path: string): PolkadotSigner {
  // The value is not repeated: it may be a secret.
  if (!path.startsWith("//")) throw new Error("--account is not a development key such as //Alice");
  const pair = sr25519CreateDerive(DEV_MINI_SECRET)(path);
  return getPolkadotSigner(pair.publicKey, "Sr25519", pair.sign);
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        url: { type: "string", default: "ws://127.0.0.1:9944" },
        account: { type: "string" },
        model: { type: "string" },
        "register-model": { type: "boolean", default: false },
        keep: { type: "boolean", default: false },
        output: { type: "string", default: "text" },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    if (!/^\d+$/.test(values.model ?? "0")) throw new Error(`--model is '${values.model}', expected a number`);
    if (values.output !== "text" && values.output !== "json") throw new Error(`--output is '${values.output}', expected text or json`);
    return { ...values, output: values.output as Output, model: values.model === undefined ? undefined : Number(values.model) };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`);
    process.exit(2);
  }
}
