// What a page about Attune does, with polkadot-api: lists providers, open jobs and somebody's stake, orders a small job
// after saying what that holds, waits until it is final, reads it back, and cancels it.
//
// `npm run generate` makes the types behind "#attune" from the metadata file; no node is needed for that.

import { parseArgs } from "node:util";
import { attune } from "#attune";
import { sr25519CreateDerive } from "@polkadot-labs/hdkd";
import { DEV_MINI_SECRET } from "@polkadot-labs/hdkd-helpers";
import { AccountId, createClient, type PolkadotSigner, type Transaction } from "polkadot-api";
import { getPolkadotSigner } from "polkadot-api/signer";
import { getWsProvider, WsEvent } from "polkadot-api/ws";
import { type JobSpec, placeholderModel, smallJob } from "./job.ts";
import { listOpenJobs, listProviders, listStakes } from "./page.ts";
import { att, type Output, Refused, say, sayError } from "./say.ts";

const USAGE = `Usage: node dapp.ts [--url URL] [--holder ADDRESS] [--account //Alice] [--model ID | --register-model]
                    [--keep] [--output text|json]

Lists what there is; with an account, also orders a job and cancels it.
  --url             the node's address (ws://127.0.0.1:9944)
  --holder          whose stake is shown: any address; no key is needed to read
  --account         who orders: a development key such as //Alice; real keys stay in a wallet
  --model           the base model; the one that was registered last if none is given
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
  await listProviders(api, output);
  await listOpenJobs(api, output);
  if (options.holder) await listStakes(api, options.holder, output);
  if (options.account) await orderAndCancel(devSigner(options.account));
}

async function orderAndCancel(signer: PolkadotSigner): Promise<void> {
  if (options["register-model"]) {
    await send(api.tx.ProofOfTraining.register_model({ info: placeholderModel() }), signer);
  }
  const model = options.model ?? (await latestModel());

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

/** One job as it stands, and what happened to it so far. */
async function showJob(id: bigint): Promise<void> {
  const job = await api.apis.AttuneApi.job_overview(id);
  if (!job) throw new Error(`there is no job ${id}; an ended one may have been pruned`);
  const { info: { state, customer, deadline }, money: { escrow, audit_budget }, timeline } = job;
  const steps = timeline.map(({ step }) => step.type);
  say(output, `job ${id}: ${state.type}, deadline ${deadline ?? "none"}; so far ${steps.join(", ")}`, {
    job: Number(id), state: state.type, customer, escrow, audit_budget, deadline: deadline ?? null, timeline: steps,
  });
}

/** What is free and what is on hold on an account. */
async function showBalance(signer: PolkadotSigner): Promise<void> {
  const account = AccountId().dec(signer.publicKey);
  const { data: { free, reserved } } = await api.query.System.Account.getValue(account);
  say(output, `balance of ${account}: ${att(free)} free, ${att(reserved)} on hold`, { balance: account, free, held: reserved });
}

/** Says what `create_job` will put on hold: price, audits and deposit. The chain works it out, by its own rules. */
async function sayWhatItHolds({ max_price, audit_fee, assurance, milestones }: JobSpec): Promise<void> {
  const shape = { max_price, audit_fee, assurance, milestones: milestones.map(({ segments }) => segments) };
  const quote = await api.view.JobEscrow.quote(shape);
  if (!quote.success) throw new Error(`a job of this shape would be refused: ${quote.value.type}`);
  const { on_hold: will_hold, escrow, audit_budget, deposit } = quote.value;
  const text = `will hold ${att(will_hold)}: ${att(escrow)} price, ${att(audit_budget)} audits, ${att(deposit)} deposit`;
  say(output, text, { will_hold, max_price: escrow, audit_budget, deposit });
}

/** The base model that was registered last. */
async function latestModel(): Promise<number> {
  const { items: [model] } = await api.view.ProofOfTraining.models_page(undefined, 1);
  if (model) return model.id;
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
        holder: { type: "string" },
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
