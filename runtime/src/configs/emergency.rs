//! When something is wrong: safe mode stops most of the chain at once, and a pause stops one call.
//!
//! **Safe mode.** The administrator enters it for [`SafeModeBlocks`], can extend it, and can end it; it ends by itself if
//! nobody does. What stood before goes on, because deadlines run on and to miss one costs money. Nothing new begins, and
//! no money moves but what a standing job owes: no transfer, no new order, no stake in or out. [`GOES_ON`] is the whole
//! list; a call that is not on it is stopped, so that a new call is stopped until somebody has thought about it.
//!
//! **Pauses.** The administrator stops any call by its name, for as long as he likes, but [`NEVER_PAUSED`]: those through
//! which he himself acts, and those that it would cost others to miss.
//!
//! Both are filters of calls. Root passes them, hooks of blocks run on, and transactions whose call is stopped are not
//! taken ([`crate::payment`]).

use crate::{
    AccountId, Balance, Balances, BlockNumber, Runtime, RuntimeCall, RuntimeEvent, RuntimeHoldReason,
    SafeMode, TxPause,
};
use frame_support::{
    parameter_types,
    traits::{ConstU32, Contains, Get, GetCallMetadata, InsideBoth, TypedGet},
};
use frame_system::{EnsureRoot, EnsureRootWithSuccess};
use pallet_tx_pause::RuntimeCallNameOf;

/// What may be dispatched: what neither safe mode nor a pause stops.
pub type NotStopped = InsideBoth<SafeMode, TxPause>;

/// A pallet and its calls by name; `None` stands for all of them.
pub type Calls = (&'static str, Option<&'static [&'static str]>);

/// What safe mode does not stop. The pallet's own calls are never stopped.
pub const GOES_ON: &[Calls] = &[
    // Blocks are made, equivocations reported, a validator whose keys are stolen gets new ones.
    ("Timestamp", None),
    ("Babe", None),
    ("Grandpa", None),
    ("Session", None),
    // The ways in: the administrator, who may be a multisig or act by a proxy, and an upgrade that he has authorised. What a
    // batch, a proxy or a multisig wraps is filtered for itself.
    ("Sudo", None),
    ("TxPause", None),
    ("System", Some(&["apply_authorized_upgrade"])),
    ("Multisig", None),
    ("Utility", None),
    (
        "Proxy",
        // A worker may act by a proxy. Rights that were given can be taken away, and none are given.
        Some(&[
            "proxy",
            "proxy_announced",
            "announce",
            "remove_proxy",
            "remove_proxies",
            "remove_announcement",
            "reject_announcement",
        ]),
    ),
    (
        "JobEscrow",
        // All that a standing job can need, to its end. One that waits for a provider has a deadline, too, and one that was
        // handed over has been paid for in part.
        Some(&[
            "accept_job",
            "place_bid",
            "withdraw_bid",
            "start_job",
            "decline_job",
            "cancel_job",
            "top_up",
            "enforce_deadline",
        ]),
    ),
    (
        "ProofOfTraining",
        Some(&[
            "commit_segment",
            "submit_result",
            "draw_audits",
            "commit_verdict",
            "open_trace",
            "reveal_verdict",
            "enforce_audit_deadline",
        ]),
    ),
    (
        "ProviderStaking",
        // A provider is reachable, keeps its key its own, and may stop taking work; slashes act when they are due. And it
        // says that it is there: else all would count as absent.
        Some(&["set_profile", "set_operator", "chill", "apply_slash", "settle_lien", "heartbeat"]),
    ),
];

/// What can't be paused: time, without which there is no block, what the administrator needs to undo a pause, and answers
/// that the chain itself asks for. The pallet of the pauses itself is never paused.
pub const NEVER_PAUSED: &[Calls] = &[
    ("Timestamp", None),
    ("Sudo", None),
    ("SafeMode", None),
    // They only wrap calls: pause what they wrap. The administrator may be a multisig, or act by a proxy.
    ("Multisig", None),
    ("Proxy", Some(&["proxy"])),
    // It is asked for: who could not answer would count as absent, and lose rewards by it.
    ("ProviderStaking", Some(&["heartbeat"])),
];

/// True if `calls` names this call.
pub(super) fn lists(calls: &[Calls], call: &RuntimeCall) -> bool {
    let call = call.get_call_metadata();
    names(calls, call.pallet_name.as_bytes(), call.function_name.as_bytes())
}

/// True if `calls` names the call `name` of `pallet`.
fn names(calls: &[Calls], pallet: &[u8], name: &[u8]) -> bool {
    calls.iter().any(|(of, which)| {
        of.as_bytes() == pallet
            && which.is_none_or(|which| which.iter().any(|listed| listed.as_bytes() == name))
    })
}

/// The calls of [`GOES_ON`].
pub struct GoesOn;

impl Contains<RuntimeCall> for GoesOn {
    fn contains(call: &RuntimeCall) -> bool {
        lists(GOES_ON, call)
    }
}

/// The calls of [`NEVER_PAUSED`], and whatever is no call of this runtime: who misspells a name has to hear that nothing
/// was paused.
pub struct Unpausable;

impl Contains<RuntimeCallNameOf<Runtime>> for Unpausable {
    fn contains((pallet, name): &RuntimeCallNameOf<Runtime>) -> bool {
        names(NEVER_PAUSED, pallet, name) || !is_call(pallet, name)
    }
}

/// True if the runtime has a call `name` in `pallet`.
fn is_call(pallet: &[u8], name: &[u8]) -> bool {
    let pallets = RuntimeCall::get_module_names();
    let known = pallets.iter().find(|known| known.as_bytes() == pallet);
    known.is_some_and(|known| RuntimeCall::get_call_names(known).iter().any(|known| known.as_bytes() == name))
}

/// How long safe mode lasts, and what each extension adds: a fourteenth of unbonding, on mainnet a day. Long enough to find
/// out what is wrong, short enough that an administrator who has lost his key does not stop the chain for ever.
pub struct SafeModeBlocks;

impl TypedGet for SafeModeBlocks {
    type Type = BlockNumber;

    fn get() -> BlockNumber {
        super::windows::UnbondingBlocks::get().div_ceil(14)
    }
}

impl Get<BlockNumber> for SafeModeBlocks {
    fn get() -> BlockNumber {
        <Self as TypedGet>::get()
    }
}

parameter_types! {
    /// Nobody buys safe mode with a deposit: who profits from a stopped chain could afford any.
    pub const NoDeposit: Option<Balance> = None;
    /// There is no deposit to release.
    pub const NoRelease: Option<BlockNumber> = None;
}

impl pallet_safe_mode::Config for Runtime {
    type Currency = Balances;
    type EnterDepositAmount = NoDeposit;
    type EnterDuration = SafeModeBlocks;
    type ExtendDepositAmount = NoDeposit;
    type ExtendDuration = SafeModeBlocks;
    type ForceDepositOrigin = EnsureRoot<AccountId>;
    type ForceEnterOrigin = EnsureRootWithSuccess<AccountId, SafeModeBlocks>;
    type ForceExitOrigin = EnsureRoot<AccountId>;
    type ForceExtendOrigin = EnsureRootWithSuccess<AccountId, SafeModeBlocks>;
    type Notify = ();
    type ReleaseDelay = NoRelease;
    type RuntimeEvent = RuntimeEvent;
    type RuntimeHoldReason = RuntimeHoldReason;
    type WeightInfo = pallet_safe_mode::weights::SubstrateWeight<Runtime>;
    type WhitelistedCalls = GoesOn;
}

impl pallet_tx_pause::Config for Runtime {
    type MaxNameLen = ConstU32<64>;
    type PauseOrigin = EnsureRoot<AccountId>;
    type RuntimeCall = RuntimeCall;
    type RuntimeEvent = RuntimeEvent;
    type UnpauseOrigin = EnsureRoot<AccountId>;
    type WeightInfo = pallet_tx_pause::weights::SubstrateWeight<Runtime>;
    type WhitelistedCalls = Unpausable;
}
