//! Batches, proxies, multisigs, and the administrator.

use super::emergency::{lists, Calls};
use crate::{units::MILLI_ATT, Balance, Balances, OriginCaller, Runtime, RuntimeCall, RuntimeEvent, System};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
    parameter_types,
    traits::{ConstU32, InstanceFilter},
};
use scale_info::TypeInfo;
use sp_runtime::traits::BlakeTwo256;

/// The deposit for `items` stored entries of together `bytes` bytes.
pub const fn deposit(items: u32, bytes: u32) -> Balance {
    items as Balance * 20 * MILLI_ATT + bytes as Balance * MILLI_ATT / 10
}

parameter_types! {
    /// One entry of a list of proxies, without its members.
    pub const ProxyDepositBase: Balance = deposit(1, 8);
    /// One proxy: account, kind and delay.
    pub const ProxyDepositFactor: Balance = deposit(0, 37);
    /// One entry of a list of announcements, without its members.
    pub const AnnouncementDepositBase: Balance = deposit(1, 16);
    /// One announcement: account, call hash and height.
    pub const AnnouncementDepositFactor: Balance = deposit(0, 68);
    /// One open multisig operation.
    pub const MultisigDepositBase: Balance = deposit(1, 88);
    /// One signatory's approval.
    pub const MultisigDepositFactor: Balance = deposit(0, 32);
}

impl pallet_utility::Config for Runtime {
    type PalletsOrigin = OriginCaller;
    type RuntimeCall = RuntimeCall;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = pallet_utility::weights::SubstrateWeight<Runtime>;
}

/// What a proxy may do that must not spend. A call that is new is not among them until somebody has thought about it.
pub const NON_TRANSFER: &[Calls] = &[
    ("System", Some(&["remark", "remark_with_event"])),
    // What they wrap is filtered for itself, or is another account's.
    ("Utility", None),
    ("Multisig", None),
    // The pallet gives nobody more rights than the proxy that asks has.
    ("Proxy", None),
    ("VoterList", None),
    (
        "JobEscrow",
        // A provider's work; and what ends jobs and sponsorships, and brings money home.
        Some(&[
            "accept_job",
            "place_bid",
            "withdraw_bid",
            "start_job",
            "decline_job",
            "cancel_job",
            "enforce_deadline",
            "claim_owed",
            "prune_job",
            "end_sponsorship",
        ]),
    ),
    (
        "ProofOfTraining",
        Some(&[
            "register_model",
            "remove_model",
            "commit_segment",
            "submit_result",
            "draw_audits",
            "commit_verdict",
            "open_trace",
            "reveal_verdict",
            "enforce_audit_deadline",
            "remove_record",
        ]),
    ),
    (
        "ProviderStaking",
        // Not `register`, `bond_more`, `delegate`, `redelegate`: stake can be slashed, and a slash compensates a customer. Not
        // `set_operator`, nor `Session.set_keys`: who has those keys works with the stake.
        Some(&[
            "set_profile",
            "set_commission",
            "unbond_self",
            "undelegate",
            "withdraw",
            "claim_income",
            "set_auto_compound",
            "compound",
            "exit",
            "evict",
            "deregister",
            "apply_slash",
            "claim_compensation",
            "settle_lien",
            "chill",
            "unchill",
        ]),
    ),
];

/// What a proxy may do for its principal.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub enum ProxyType {
    /// Everything.
    #[default]
    Any,
    /// [`NON_TRANSFER`]: what cannot bring the principal's free balance into somebody else's hands. No transfer, no order
    /// of a job, no sponsorship, no stake that could be slashed.
    NonTransfer,
    /// What a provider's worker does: accept and start jobs, commit, submit, audit. For a principal that is an
    /// operator key.
    Work,
}

impl InstanceFilter<RuntimeCall> for ProxyType {
    fn filter(&self, call: &RuntimeCall) -> bool {
        match self {
            ProxyType::Any => true,
            ProxyType::NonTransfer => lists(NON_TRANSFER, call),
            ProxyType::Work => matches!(
                call,
                RuntimeCall::JobEscrow(
                    pallet_job_escrow::Call::accept_job { .. }
                        | pallet_job_escrow::Call::start_job { .. }
                        | pallet_job_escrow::Call::decline_job { .. }
                        | pallet_job_escrow::Call::enforce_deadline { .. }
                ) | RuntimeCall::ProofOfTraining(
                    pallet_proof_of_training::Call::commit_segment { .. }
                        | pallet_proof_of_training::Call::submit_result { .. }
                        | pallet_proof_of_training::Call::draw_audits { .. }
                        | pallet_proof_of_training::Call::commit_verdict { .. }
                        | pallet_proof_of_training::Call::open_trace { .. }
                        | pallet_proof_of_training::Call::reveal_verdict { .. }
                        | pallet_proof_of_training::Call::enforce_audit_deadline { .. }
                )
            ),
        }
    }

    fn is_superset(&self, other: &Self) -> bool {
        match (self, other) {
            (ProxyType::Any, _) | (ProxyType::NonTransfer, ProxyType::Work) => true,
            _ => self == other,
        }
    }
}

impl pallet_proxy::Config for Runtime {
    type AnnouncementDepositBase = AnnouncementDepositBase;
    type AnnouncementDepositFactor = AnnouncementDepositFactor;
    type BlockNumberProvider = System;
    type CallHasher = BlakeTwo256;
    type Currency = Balances;
    type MaxPending = ConstU32<32>;
    type MaxProxies = ConstU32<32>;
    type ProxyDepositBase = ProxyDepositBase;
    type ProxyDepositFactor = ProxyDepositFactor;
    type ProxyType = ProxyType;
    type RuntimeCall = RuntimeCall;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = pallet_proxy::weights::SubstrateWeight<Runtime>;
}

impl pallet_multisig::Config for Runtime {
    type BlockNumberProvider = System;
    type Currency = Balances;
    type DepositBase = MultisigDepositBase;
    type DepositFactor = MultisigDepositFactor;
    type MaxSignatories = ConstU32<100>;
    type RuntimeCall = RuntimeCall;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = pallet_multisig::weights::SubstrateWeight<Runtime>;
}

impl pallet_sudo::Config for Runtime {
    type RuntimeCall = RuntimeCall;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = pallet_sudo::weights::SubstrateWeight<Runtime>;
}
