//! Both example dApps against a real development node: the same calls, the same answers, and the chain agrees.

mod node;

use node::{Node, REPOSITORY};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
    str::FromStr,
};
use subxt::{
    config::SubstrateConfig,
    dynamic::{self, At},
    ext::scale_value::ValueDef,
    OnlineClient, OnlineClientAtBlock,
};
use subxt_signer::{sr25519::Keypair, SecretUri};

const ATT: u128 = 1_000_000_000_000;
/// What a provider of the test asks and bonds.
const PRICE: u128 = 60 * ATT;
const STAKE: u128 = 1_000 * ATT;
/// What somebody delegates to it, and what of that is on its way out.
const DELEGATED: u128 = 500 * ATT;
const LEAVING: u128 = 100 * ATT;

/// How long one run of a program may take, in seconds. Generous: the machine may be busy with other tests.
const PATIENCE_SECONDS: &str = "300";

type Client = OnlineClient<SubstrateConfig>;

#[tokio::test]
async fn the_rust_example_orders_a_job_and_gets_its_money_back() {
    orders_a_job_and_gets_its_money_back(|arguments| {
        Command::new("timeout")
            .args([PATIENCE_SECONDS, env!("CARGO_BIN_EXE_attune-dapp-example")])
            .args(arguments)
            .output()
            .expect("it can be started")
    })
    .await;
}

#[tokio::test]
async fn the_typescript_example_orders_a_job_and_gets_its_money_back() {
    // A copy, so that nothing is written into the clone; it lies as deep as the original, which names the metadata file.
    let copy = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the copy");
    let folder = "examples/dapp/typescript";
    for file in [".npmrc", ".papi/polkadot-api.json", "package.json", "package-lock.json", "tsconfig.json"]
        .into_iter()
        .chain(["dapp.ts", "job.ts", "page.ts", "say.ts"])
        .map(|name| format!("{folder}/{name}"))
        .chain(["chain-client/metadata/attune.scale".to_owned()])
    {
        let to = copy.path().join(&file);
        fs::create_dir_all(to.parent().expect("a file is in a folder")).expect("the folder can be made");
        fs::copy(Path::new(REPOSITORY).join(&file), to).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    let folder = copy.path().join(folder);

    // What docs/dapp-builder.md tells to do, from the packages that set-up has fetched.
    let built = in_nodejs(
        &folder,
        r#"npm ci --offline --cache "$NPM_CACHE" --no-audit --no-fund --loglevel=error
        npm run generate
        npm run check"#,
        &[],
    );
    assert!(built.status.success(), "the TypeScript example is not built:\n{}", text_of(&built));

    orders_a_job_and_gets_its_money_back(|arguments| in_nodejs(&folder, r#"node dapp.ts "$@""#, arguments))
        .await;
}

/// Runs shell commands in a folder, with the Node.js that set-up provides; fails and says so where there is none.
fn in_nodejs(folder: &Path, commands: &str, arguments: &[&str]) -> Output {
    let script = format!(
        r#"set -euo pipefail
        . scripts/lib/env.sh
        . scripts/lib/nodejs.sh
        nodejs_use
        cd "$1"
        shift
        {commands}"#
    );
    let mut bash = Command::new("timeout");
    bash.current_dir(REPOSITORY)
        .args([PATIENCE_SECONDS, "bash", "-c", &script, "bash"])
        .arg(folder)
        .args(arguments);
    bash.output().expect("bash can be started")
}

/// What both programs have to do, with a provider and nothing else on the chain.
async fn orders_a_job_and_gets_its_money_back(program: impl Fn(&[&str]) -> Output) {
    let node = Node::start();
    let provider = register_provider(&node).await;
    let run = |arguments: &[&str]| program(&[&["--url", node.url(), "--output", "json"], arguments].concat());

    // Nothing to order with yet, and what to do about it.
    let output = run(&["--account", "//Customer"]);
    assert!(!output.status.success(), "{}", text_of(&output));
    assert!(text_of(&output).contains("no base model is registered: register one"), "{}", text_of(&output));

    let kept = lines_of(&run(&["--account", "//Customer", "--register-model", "--keep"]));
    assert_eq!(names(&kept), ["provider", "will_hold", "event", "job", "balance"]);
    assert_eq!(kept[0]["provider"], provider);
    assert_eq!((planck(&kept[0]["price_per_gpu_hour"]), planck(&kept[0]["stake"])), (PRICE, STAKE));
    assert_eq!((planck(&kept[0]["bond_room"]), &kept[0]["status"]), (STAKE, &"Active".into()));
    assert_eq!(kept[3]["timeline"], Value::from(vec!["Requested"]));
    assert_eq!(state_of(&node, 0).await, "Open");

    let lines = lines_of(&run(&["--account", "//Customer2", "--model", "0"]));
    let expected =
        ["provider", "open_job", "will_hold", "event", "job", "balance", "event", "job", "balance"];
    assert_eq!(names(&lines), expected);
    let [_, open, cost, created, shown, before, refunded, ended, after] = &lines[..] else { unreachable!() };
    assert_eq!((&open["open_job"], &open["customer"]), (&Value::from(0), &kept[2]["customer"]));

    let (price, audits, deposit) =
        (planck(&cost["max_price"]), planck(&cost["audit_budget"]), planck(&cost["deposit"]));
    assert_eq!(planck(&cost["will_hold"]), price + audits + deposit);
    assert_eq!((planck(&open["most"]), &open["segments"]), (price, &1.into()));
    assert_eq!((&created["event"], &created["job"]), (&"JobCreated".into(), &1.into()));
    assert_eq!((planck(&created["max_price"]), planck(&created["audit_budget"])), (price, audits));
    assert_eq!(
        (&shown["job"], &shown["state"], planck(&shown["escrow"])),
        (&1.into(), &"Open".into(), price)
    );
    assert_eq!(planck(&before["held"]), price + audits + deposit, "what was announced is what is held");

    assert_eq!((&refunded["event"], planck(&refunded["amount"])), (&"Refunded".into(), price + audits));
    assert_eq!(
        (&ended["job"], &ended["state"], planck(&ended["escrow"])),
        (&1.into(), &"Cancelled".into(), 0)
    );
    assert_eq!(ended["timeline"], Value::from(vec!["Requested", "Ended"]));
    assert_eq!(planck(&after["held"]), deposit, "the deposit stays until the entry is pruned");
    assert_eq!(state_of(&node, 1).await, "Cancelled");
    assert_eq!(held_by(&node, "//Customer2").await, deposit);

    // Somebody's stake: what the provider earned with the job that was kept, and when what leaves is free.
    earn_for_a_delegator(&node).await;
    let holder = key("//Dave").public_key().to_account_id().to_string();
    let lines = lines_of(&run(&["--holder", &holder]));
    assert_eq!(names(&lines), ["provider", "stake", "unbonding"]);
    let [listed, stake, clock] = &lines[..] else { unreachable!() };
    // Of what is delegated, a slash takes at most a fifth.
    assert_eq!(planck(&listed["bond_room"]), STAKE + (DELEGATED - LEAVING) / 5);
    assert_eq!((&stake["stake"], planck(&stake["worth"])), (&provider.into(), DELEGATED - LEAVING));
    // A tenth of the price for calling it off, less a tenth of commission, shared by stake and rounded down.
    let shared = price / 10 * 9 / 10 * (DELEGATED - LEAVING) / (STAKE + DELEGATED - LEAVING);
    assert!((shared - 1..=shared).contains(&planck(&stake["pending_income"])), "{shared}, and {stake}");
    assert_eq!((planck(&clock["worth"]), &clock["obstacle"]), (LEAVING, &Value::Null));
    let (unlock_at, left) = (clock["unlock_at"].as_u64(), clock["blocks_left"].as_u64());
    assert!(left > Some(0) && unlock_at > left, "{clock}");

    // A refusal by a pallet has its name and its documentation.
    let refused = run(&["--account", "//Customer2", "--model", "7"]);
    assert!(!refused.status.success());
    let error: Value =
        serde_json::from_slice(&refused.stderr).unwrap_or_else(|_| panic!("{}", text_of(&refused)));
    assert_eq!((&error["pallet"], &error["error"]), (&"JobEscrow".into(), &"UnknownModel".into()));
    assert!(error["docs"].as_str().is_some_and(|docs| docs.contains("not registered")), "{error}");

    // What is not a development key is refused, and not repeated where a log could keep it.
    let secret = run(&["--account", "bottom drive obey"]);
    assert!(!secret.status.success() && !text_of(&secret).contains("obey"), "{}", text_of(&secret));
}

/// Dave delegates to the provider and takes a part of it back; then the provider takes job 0, whose customer calls it off
/// and pays for that.
async fn earn_for_a_delegator(node: &Node) {
    let provider = dynamic::Value::from_bytes(key("//Provider1").public_key().0);
    let number = dynamic::Value::u128;
    // A thousand shares for a planck: nobody has been slashed.
    let acts = [
        ("//Dave", "ProviderStaking", "delegate", vec![provider.clone(), number(DELEGATED)]),
        ("//Dave", "ProviderStaking", "undelegate", vec![provider, number(LEAVING * 1_000)]),
        ("//Provider1//operator", "JobEscrow", "accept_job", vec![number(0), number(ATT)]),
        ("//Provider1//operator", "JobEscrow", "start_job", vec![number(0)]),
        ("//Customer", "JobEscrow", "cancel_job", vec![number(0)]),
    ];
    for (who, pallet, call, arguments) in acts {
        submit(node, &key(who), pallet, call, arguments).await;
    }
}

/// Sends a call and waits until a final block has it.
async fn submit(node: &Node, who: &Keypair, pallet: &str, call: &str, arguments: Vec<dynamic::Value>) {
    let payload = dynamic::tx(pallet, call, arguments);
    let at = latest(node).await;
    let sent =
        at.transactions().sign_and_submit_then_watch_default(&payload, who).await.expect("the node takes it");
    let done = sent.wait_for_finalized_success().await;
    done.unwrap_or_else(|error| panic!("{pallet}.{call}: {error}"));
}

/// Registers a provider and gives its address.
async fn register_provider(node: &Node) -> String {
    let (stash, operator) = (key("//Provider1"), key("//Provider1//operator"));
    let bytes = |text: &str| dynamic::Value::from_bytes(text);
    let number = dynamic::Value::u128;
    let hardware = [("model", bytes("cpu")), ("accelerators", number(0)), ("memory_mib", number(1_024))];
    let profile = dynamic::Value::named_composite([
        ("name", bytes("tester")),
        ("endpoint", bytes("http://127.0.0.1:1")),
        ("class", bytes("none")),
        ("exact_version", number(1)),
        ("hardware", dynamic::Value::named_composite(hardware)),
        ("price_per_gpu_hour", number(PRICE)),
        ("tokens_per_second", number(100)),
    ]);
    let commission_millionths = number(100_000);
    let fields = vec![
        profile,
        commission_millionths,
        dynamic::Value::from_bytes(operator.public_key().0),
        number(STAKE),
    ];
    submit(node, &stash, "ProviderStaking", "register", fields).await;
    stash.public_key().to_account_id().to_string()
}

fn key(path: &str) -> Keypair {
    Keypair::from_uri(&SecretUri::from_str(path).expect("a path")).expect("a development key")
}

/// The latest final block, as somebody sees it who has just come.
async fn latest(node: &Node) -> OnlineClientAtBlock<SubstrateConfig> {
    let client = Client::from_url(node.url()).await.expect("the node answers");
    client.at_current_block().await.expect("a final block")
}

/// Name of the state in which the chain has a job.
async fn state_of(node: &Node, job: u64) -> String {
    let at = latest(node).await;
    let jobs = dynamic::storage::<(u64,), dynamic::Value>("JobEscrow", "Jobs");
    let job = at.storage().fetch(jobs, (job,)).await.expect("the job is there").decode().expect("it decodes");
    let state = job.at("state").expect("a job has a state");
    let ValueDef::Variant(variant) = &state.value else { panic!("{state} is no variant") };
    variant.name.clone()
}

/// What the chain holds on an account, in planck.
async fn held_by(node: &Node, path: &str) -> u128 {
    let at = latest(node).await;
    let accounts = dynamic::storage::<([u8; 32],), dynamic::Value>("System", "Account");
    let account =
        at.storage().fetch(accounts, (key(path).public_key().0,)).await.expect("the account is there");
    let account = account.decode().expect("it decodes");
    account
        .at("data")
        .at("reserved")
        .and_then(|held| held.as_u128())
        .expect("an account has an amount on hold")
}

/// The JSON lines of a run that must succeed.
fn lines_of(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text_of(output));
    let lines = String::from_utf8(output.stdout.clone()).expect("the output is text");
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    lines.lines().map(parse).collect()
}

/// What each line is about.
fn names(lines: &[Value]) -> Vec<&str> {
    let all = ["provider", "open_job", "will_hold", "event", "job", "balance", "stake", "unbonding"];
    let name = |line: &Value| all.into_iter().find(|name| !line[*name].is_null()).unwrap_or("?");
    lines.iter().map(name).collect()
}

/// An amount in JSON: text, because it may exceed what a number holds there.
fn planck(value: &Value) -> u128 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no amount"))
}

fn text_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
