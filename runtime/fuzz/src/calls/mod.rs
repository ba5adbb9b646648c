//! The table of everything that a step can be: one line for a call, with the function that makes it out of a step's
//! bytes. A generator gives the call and who would make it; the runner may let somebody else try.

mod election;
mod escrow;
mod others;
mod proof;
pub(crate) mod staking;

use crate::{draw::Draw, run::Run, templates};
use attune_runtime::{AccountId, RuntimeCall};

pub(crate) use escrow::{plain_spec, spec};
pub(crate) use proof::{commitment_for, model_info};

/// Makes a call, and names who would make it.
pub type Make = fn(&mut Draw<'_>) -> (AccountId, RuntimeCall);
/// Plays several calls of one story.
pub type Play = fn(&mut Draw<'_>, &mut Run<'_>) -> Result<(), String>;

/// What an operation does.
#[derive(Clone, Copy)]
pub enum Work {
    /// Dispatches one call of this pallet and name.
    Call(&'static str, &'static str, Make),
    /// Plays a template.
    Template(&'static str, Play),
    /// Lets time pass.
    Time,
}

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Operation {
    /// What it does.
    pub work: Work,
}

impl Operation {
    /// The name in the text form of a scenario.
    pub fn name(&self) -> String {
        match self.work {
            Work::Call(pallet, call, _) => format!("{pallet}.{call}"),
            Work::Template(name, _) => format!("Template.{name}"),
            Work::Time => "Time.pass".into(),
        }
    }
}

const fn call(pallet: &'static str, call: &'static str, make: Make) -> Operation {
    Operation { work: Work::Call(pallet, call, make) }
}

const fn template(name: &'static str, play: Play) -> Operation {
    Operation { work: Work::Template(name, play) }
}

/// Attune's own calls. All of them: a test compares with the runtime.
pub static OWN: &[Operation] = &[
    call("ProviderStaking", "register", staking::register),
    call("ProviderStaking", "set_profile", staking::set_profile),
    call("ProviderStaking", "set_operator", staking::set_operator),
    call("ProviderStaking", "set_commission", staking::set_commission),
    call("ProviderStaking", "bond_more", staking::bond_more),
    call("ProviderStaking", "unbond_self", staking::unbond_self),
    call("ProviderStaking", "delegate", staking::delegate),
    call("ProviderStaking", "undelegate", staking::undelegate),
    call("ProviderStaking", "withdraw", staking::withdraw),
    call("ProviderStaking", "claim_income", staking::claim_income),
    call("ProviderStaking", "exit", staking::exit),
    call("ProviderStaking", "evict", staking::evict),
    call("ProviderStaking", "deregister", staking::deregister),
    call("ProviderStaking", "cancel_slash", staking::cancel_slash),
    call("ProviderStaking", "apply_slash", staking::apply_slash),
    call("ProviderStaking", "claim_compensation", staking::claim_compensation),
    call("ProviderStaking", "redelegate", staking::redelegate),
    call("ProviderStaking", "settle_lien", staking::settle_lien),
    call("ProviderStaking", "set_auto_compound", staking::set_auto_compound),
    call("ProviderStaking", "compound", staking::compound),
    call("ProviderStaking", "chill", staking::chill),
    call("ProviderStaking", "unchill", staking::unchill),
    call("ProviderStaking", "heartbeat", staking::heartbeat),
    call("JobEscrow", "create_job", escrow::create_job),
    call("JobEscrow", "accept_job", escrow::accept_job),
    call("JobEscrow", "start_job", escrow::start_job),
    call("JobEscrow", "decline_job", escrow::decline_job),
    call("JobEscrow", "cancel_job", escrow::cancel_job),
    call("JobEscrow", "enforce_deadline", escrow::enforce_deadline),
    call("JobEscrow", "claim_owed", escrow::claim_owed),
    call("JobEscrow", "prune_job", escrow::prune_job),
    call("JobEscrow", "place_bid", escrow::place_bid),
    call("JobEscrow", "withdraw_bid", escrow::withdraw_bid),
    call("JobEscrow", "top_up", escrow::top_up),
    call("JobEscrow", "sponsor", escrow::sponsor),
    call("JobEscrow", "end_sponsorship", escrow::end_sponsorship),
    call("ProofOfTraining", "register_model", proof::register_model),
    call("ProofOfTraining", "remove_model", proof::remove_model),
    call("ProofOfTraining", "commit_segment", proof::commit_segment),
    call("ProofOfTraining", "submit_result", proof::submit_result),
    call("ProofOfTraining", "draw_audits", proof::draw_audits),
    call("ProofOfTraining", "commit_verdict", proof::commit_verdict),
    call("ProofOfTraining", "open_trace", proof::open_trace),
    call("ProofOfTraining", "reveal_verdict", proof::reveal_verdict),
    call("ProofOfTraining", "enforce_audit_deadline", proof::enforce_audit_deadline),
    call("ProofOfTraining", "remove_record", proof::remove_record),
    call("ValidatorElection", "set_inflation", election::set_inflation),
];

/// Calls that only governance may make: root, here.
pub static FOR_ROOT: &[&str] = &["ProviderStaking.cancel_slash", "ValidatorElection.set_inflation"];

/// Calls that nobody signs: general transactions, which carry in themselves what authorises them.
pub static AUTHORISED: &[&str] = &["ProviderStaking.heartbeat"];

/// Calls whose success needs more than a short scenario: a compensation is only owed to a funder that can't receive it,
/// when its job is pruned, its account gone, and the slash still to be applied.
pub static HARDLY_REACHED: &[&str] = &["ProviderStaking.claim_compensation"];

/// Calls of other pallets that move money, wrap calls, or touch the session.
pub static OTHERS: &[Operation] = &[
    call("Balances", "transfer_allow_death", others::transfer_allow_death),
    call("Balances", "transfer_keep_alive", others::transfer_keep_alive),
    call("Balances", "transfer_all", others::transfer_all),
    call("Balances", "burn", others::burn),
    call("Utility", "batch", others::batch),
    call("Utility", "batch_all", others::batch_all),
    call("Utility", "force_batch", others::force_batch),
    call("Proxy", "add_proxy", others::add_proxy),
    call("Proxy", "proxy", others::proxy),
    call("Session", "set_keys", others::set_keys),
    call("Session", "purge_keys", others::purge_keys),
];

/// Stories.
pub static TEMPLATES: &[Operation] = &[
    template("job", templates::job::order_and_drive),
    template("offence", templates::job::offence),
    template("drive", templates::job::drive_on),
    template("wait_for_job", templates::job::wait_for_deadline),
    template("wait_for_audit", templates::job::wait_for_audit_deadline),
    template("clear_away", templates::job::clear_away),
    template("give_all_away", templates::money::give_all_away),
    template("tiny_job", templates::money::tiny_job),
    template("auditor_leaves", templates::money::auditor_leaves),
    template("delegate_and_leave", templates::stake::delegate_and_leave),
    template("exit_provider", templates::stake::exit_provider),
    template("redelegate_and_settle", templates::stake::redelegate_and_settle),
    template("income", templates::stake::income),
    template("model_comes_and_goes", templates::job::model_comes_and_goes),
];

/// Time.
pub static TIME: &[Operation] = &[Operation { work: Work::Time }];

/// The tables by the first byte of a step: each takes the bytes below its bound.
static KINDS: [(u16, &[Operation]); 4] = [(96, OWN), (192, TEMPLATES), (224, TIME), (256, OTHERS)];

/// The operation of a step's first two bytes.
pub fn operation(kind: u8, which: u8) -> &'static Operation {
    let fits = KINDS.iter().find(|(bound, _)| u16::from(kind) < *bound);
    let (_, table) = fits.expect("the last bound is above every byte; qed");
    &table[usize::from(which) % table.len()]
}

/// The two bytes of an operation.
pub fn place(operation: &Operation) -> [u8; 2] {
    let name = operation.name();
    let mut first = 0;
    for (bound, table) in KINDS {
        if let Some(which) = table.iter().position(|row| row.name() == name) {
            let byte = |number: usize| u8::try_from(number).expect("tables have fewer than 256 rows; qed");
            return [byte(first), byte(which)];
        }
        first = usize::from(bound);
    }
    [0, 0]
}

/// The operation of that name.
pub fn named(name: &str) -> Option<&'static Operation> {
    KINDS.iter().flat_map(|(_, table)| table.iter()).find(|operation| operation.name() == name)
}

/// The calls that make the prepared state, with who signs them. Between two lists two epochs pass, and a bit.
pub(crate) fn preparation() -> [Vec<(AccountId, RuntimeCall)>; 3] {
    let mut registry = staking::preparation();
    registry.extend(proof::a_model());
    let mut jobs = escrow::four_jobs();
    jobs.extend(proof::a_trained_job(3));
    [registry, jobs, proof::its_audits(3)]
}
