//! The chain: its genesis, its blocks, and the states that scenarios start from.
//!
//! Blocks are executed as a node has them executed: header with BABE's claim of the slot, the hooks, the time inherent,
//! transactions, the hooks again. A block is open at any time; [`advance`] closes it. The state that a scenario starts
//! from is made once per thread and lies below everything that the scenario writes, so that to reset is to forget.

use crate::{accounts, calls, draw::existential_deposit, keys::Counting, scenario::Start};
use attune_primitives::BlockNumber;
use attune_runtime::{
    genesis::preset, timing::Windows, units::ATT, AllPalletsWithSystem, Babe, Balances, Executive, Header,
    Runtime, RuntimeCall, RuntimeGenesisConfig, RuntimeOrigin, System, UncheckedExtrinsic,
};
use codec::Encode;
use core::cell::RefCell;
use frame_support::{
    dispatch::DispatchClass,
    genesis_builder_helper::{build_state, get_preset},
    traits::{Get, OnFinalize, OnIdle, PostTransactions},
    weights::Weight,
};
use frame_system::limits::BlockWeights;
use serde_json::Value;
use sp_consensus_babe::{
    digests::{PreDigest, SecondaryVRFPreDigest},
    make_vrf_transcript, Slot, BABE_ENGINE_ID,
};
use sp_core::{
    crypto::VrfSecret,
    sr25519::{self, vrf::VrfSignature},
    Pair, H256,
};
use sp_externalities::set_and_run_with_externalities;
use sp_io::TestExternalities;
use sp_runtime::{
    traits::{Dispatchable, Header as _},
    Digest, DigestItem,
};

/// Deadlines of the fuzzed chain: as short as the runtime's own check lets them be, so that a scenario can wait for
/// each of them block by block.
pub const WINDOWS: Windows = Windows {
    unbonding: 54,
    slash_delay: 3,
    max_phase: 48,
    audit: 22,
    challenge: 3,
    dispute: 22,
    prune: 4,
    verdict_commit: 2,
    open: 1,
    reveal: 1,
    finality_margin: 1,
    record_retention: 8,
};

/// Slots of an epoch: the fewest that genesis takes.
pub const EPOCH_SLOTS: u64 = 4;

/// Blocks between two parts of the prepared state's making: enough for randomness that nobody knew before them.
const PREPARATION_BLOCKS: BlockNumber = 9;

/// The slot of block 1: any, but not 0.
const FIRST_SLOT: u64 = 1_000_000;

/// The genesis of the preset `local` with the windows of this chain, as JSON.
fn genesis() -> Vec<u8> {
    let default =
        get_preset::<RuntimeGenesisConfig>(&None, |_| None).expect("there is a default genesis; qed");
    let patch = preset(&"local_testnet".into()).expect("the runtime has this preset; qed");
    let mut genesis = serde_json::from_slice(&default).expect("the default genesis is JSON; qed");
    merge(&mut genesis, serde_json::from_slice(&patch).expect("presets are JSON; qed"));
    genesis["timing"]["windows"] = serde_json::to_value(WINDOWS).expect("windows are plain numbers; qed");
    genesis["timing"]["epochSlots"] = EPOCH_SLOTS.into();
    genesis.to_string().into_bytes()
}

/// Merges `patch` into `target` (RFC 7386, but that nothing is deleted: presets don't).
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch,
    }
}

thread_local! {
    static PREPARED: RefCell<TestExternalities> = RefCell::new(prepared());
    static GENESIS: RefCell<TestExternalities> = RefCell::new(first_block());
}

/// Runs `with` on the state that scenarios of this `start` begin with, and forgets what it wrote.
pub fn on_a_fresh_chain<R>(start: Start, with: impl FnOnce() -> R) -> R {
    let state = match start {
        Start::Prepared => &PREPARED,
        Start::Genesis => &GENESIS,
    };
    state.with_borrow_mut(|externalities| {
        externalities.reset_overlay();
        set_and_run_with_externalities(&mut Counting(&mut externalities.ext()), with)
    })
}

/// The chain in its first block.
fn first_block() -> TestExternalities {
    let mut externalities = TestExternalities::new_empty();
    externalities
        .execute_with(|| build_state::<RuntimeGenesisConfig>(genesis()))
        .expect("the runtime's own preset with windows that it accepts builds; qed");
    externalities.execute_with(|| open_block(FIRST_SLOT));
    externalities.commit_all().expect("no storage transaction is open; qed");
    externalities
}

/// The chain once there are providers, delegations, a model, jobs in several states, and somebody poor.
fn prepared() -> TestExternalities {
    let mut externalities = first_block();
    externalities.execute_with(|| {
        leave(accounts::POOR, existential_deposit().saturating_mul(20));
        leave(accounts::CUSTOMERS[1], 200 * ATT);
        let parts = calls::preparation();
        for (part, calls) in parts.iter().enumerate() {
            let last = part + 1 == parts.len();
            for (who, call) in calls {
                let outcome = call.clone().dispatch(RuntimeOrigin::signed(who.clone()));
                assert!(outcome.is_ok(), "{call:?}: {outcome:?}");
            }
            advance(if last { 1 } else { PREPARATION_BLOCKS }, 0);
        }
    });
    externalities.commit_all().expect("no storage transaction is open; qed");
    externalities
}

/// Leaves `path` with no more than `amount`.
fn leave(path: &str, amount: u128) {
    let who = accounts::account(path);
    let value = Balances::free_balance(&who).saturating_sub(amount);
    let to = accounts::account(accounts::MODEL_OWNER).into();
    let call = RuntimeCall::Balances(pallet_balances::Call::transfer_keep_alive { dest: to, value });
    call.dispatch(RuntimeOrigin::signed(who)).expect("the account has that much; qed");
}

/// This block.
pub fn now() -> BlockNumber {
    System::block_number()
}

/// Closes the open block and executes `blocks` more, the last of which stays open; before the first of them, `silent`
/// slots pass without a block.
pub fn advance(blocks: BlockNumber, silent: u8) {
    for block in 0..blocks {
        close_block();
        let silent = if block == 0 { u64::from(silent) } else { 0 };
        open_block(u64::from(Babe::current_slot()) + 1 + silent);
    }
}

/// Begins the next block, in `slot`: everything before its transactions.
fn open_block(slot: u64) {
    let number = now() + 1;
    let validators = u64::try_from(Babe::authorities().len()).expect("validators are few; qed").max(1);
    let authority_index = u32::try_from(slot % validators).expect("validators are few; qed");
    let claim = PreDigest::SecondaryVRF(SecondaryVRFPreDigest {
        authority_index,
        slot: Slot::from(slot),
        vrf_signature: vrf_signature(),
    });
    let digest = Digest { logs: vec![DigestItem::PreRuntime(BABE_ENGINE_ID, claim.encode())] };
    // Nothing in the runtime looks at a parent's hash but the table of hashes.
    let parent = H256::from_low_u64_be(u64::from(number) - 1);
    Executive::initialize_block(&Header::new(number, H256::zero(), H256::zero(), parent, digest));
    let now = slot * Babe::slot_duration();
    let set_time = RuntimeCall::Timestamp(pallet_timestamp::Call::set { now });
    Executive::apply_extrinsic(UncheckedExtrinsic::new_bare(set_time))
        .expect("the inherent is valid; qed")
        .expect("time moves on from block to block; qed");
    // The pallets' on_poll.
    Executive::inherents_applied();
}

/// Ends the open block: what `Executive::finalize_block` does, without the root of the state, which costs as much as all
/// the rest and which nothing here reads.
fn close_block() {
    let number = now();
    System::note_finished_extrinsics();
    <Runtime as frame_system::Config>::PostTransactions::post_transactions();
    let used = System::block_weight().total();
    let limits = <<Runtime as frame_system::Config>::BlockWeights as Get<BlockWeights>>::get();
    let left = limits.max_block.saturating_sub(used);
    if left.all_gt(Weight::zero()) {
        let idle = <AllPalletsWithSystem as OnIdle<BlockNumber>>::on_idle(number, left);
        System::register_extra_weight_unchecked(idle, DispatchClass::Mandatory);
    }
    <AllPalletsWithSystem as OnFinalize<BlockNumber>>::on_finalize(number);
    frame_system::InherentsApplied::<Runtime>::kill();
}

/// One VRF output for all blocks: to sign costs more than a block, and only nodes verify it. What the runtime makes of
/// it still differs from slot to slot.
fn vrf_signature() -> VrfSignature {
    thread_local! {
        static SIGNATURE: VrfSignature = {
            let alice = sr25519::Pair::from_string("//Alice", None).expect("the path is valid; qed");
            let transcript = make_vrf_transcript(&[0; 32], Slot::from(FIRST_SLOT), 0);
            alice.vrf_sign(&transcript.into_sign_data())
        };
    }
    SIGNATURE.with(Clone::clone)
}
