//! What audits are drawn with, on a chain whose blocks carry real VRF outputs.

use super::chain;
use crate::{
    timing::{Deadlines, Windows},
    AuditRandomness, Babe, BlockNumber, Executive, Header, Runtime, RuntimeCall, System, Timestamp,
    UncheckedExtrinsic,
};
use attune_primitives::traits::EpochRandomness;
use codec::Encode;
use frame_support::{assert_ok, traits::Get};
use sp_consensus_babe::{
    digests::{PreDigest, PrimaryPreDigest, SecondaryPlainPreDigest, SecondaryVRFPreDigest},
    make_vrf_transcript, Slot, BABE_ENGINE_ID, RANDOMNESS_VRF_CONTEXT,
};
use sp_core::{crypto::VrfSecret, sr25519, Pair, H256};
use sp_io::hashing::blake2_256;
use sp_runtime::{traits::Header as _, Digest, DigestItem};

/// The slot of block 1: any, but not 0.
const GENESIS_SLOT: u64 = 1_000_000;
/// Length of an epoch in the presets.
const EPOCH: u64 = 10;

/// What kind of claim a block's author makes.
#[derive(Clone, Copy)]
enum Claim {
    Primary,
    SecondaryVrf,
    SecondaryPlain,
}

/// Executes the next block in the given slot and gives its VRF output.
fn block(slot: u64, claim: Claim) -> [u8; 32] {
    let number = System::block_number() + 1;
    let epoch = (slot - GENESIS_SLOT) / EPOCH;
    let randomness =
        if epoch == Babe::epoch_index() { Babe::randomness() } else { Babe::next_epoch().randomness };
    let transcript = make_vrf_transcript(&randomness, Slot::from(slot), epoch);
    let alice = sr25519::Pair::from_string("//Alice", None).expect("the path is valid");
    let vrf_signature = alice.vrf_sign(&transcript.clone().into_sign_data());
    let (authority_index, slot_number) = (0, Slot::from(slot));
    let claim = match claim {
        Claim::Primary => {
            PreDigest::Primary(PrimaryPreDigest { authority_index, slot: slot_number, vrf_signature })
        }
        Claim::SecondaryVrf => PreDigest::SecondaryVRF(SecondaryVRFPreDigest {
            authority_index,
            slot: slot_number,
            vrf_signature,
        }),
        Claim::SecondaryPlain => {
            PreDigest::SecondaryPlain(SecondaryPlainPreDigest { authority_index, slot: slot_number })
        }
    };
    let digest = Digest { logs: vec![DigestItem::PreRuntime(BABE_ENGINE_ID, claim.encode())] };
    // Nothing here looks at a parent's hash.
    Executive::initialize_block(&Header::new(number, H256::zero(), H256::zero(), H256::zero(), digest));
    let now = slot * Babe::slot_duration();
    let set_time = RuntimeCall::Timestamp(pallet_timestamp::Call::set { now });
    Executive::apply_extrinsic(UncheckedExtrinsic::new_bare(set_time))
        .expect("the inherent is valid")
        .expect("the time can be set");
    assert_eq!(Timestamp::get(), now);
    Executive::finalize_block();
    alice.make_bytes(RANDOMNESS_VRF_CONTEXT, &transcript)
}

/// Executes `count` blocks in as many slots, starting at `slot`.
fn blocks(slot: u64, count: u64, claim: Claim) -> Vec<[u8; 32]> {
    (slot..slot + count).map(|slot| block(slot, claim)).collect()
}

/// What the chain of these outputs must be, worked out by its definition.
fn chained(outputs: &[[u8; 32]]) -> H256 {
    outputs.iter().fold(H256::zero(), |chain, output| {
        H256(blake2_256(&[b"attune/audit-randomness\0".as_slice(), chain.as_bytes(), output].concat()))
    })
}

/// The pallet's answer.
fn latest() -> Option<(H256, BlockNumber)> {
    <AuditRandomness as EpochRandomness>::latest()
}

#[test]
fn the_first_two_epochs_have_no_randomness() {
    chain("development").execute_with(|| {
        for slot in GENESIS_SLOT..GENESIS_SLOT + 2 * EPOCH {
            block(slot, Claim::SecondaryVrf);
            assert_eq!(latest(), None, "block {}", System::block_number());
        }
        block(GENESIS_SLOT + 2 * EPOCH, Claim::SecondaryVrf);
        let (_, epoch_start) = latest().expect("the first block of the third epoch seals the second");
        assert_eq!((System::block_number(), epoch_start), (21, 11));
    });
}

#[test]
fn a_seal_is_the_chain_of_every_output_of_its_epoch() {
    chain("development").execute_with(|| {
        let mut outputs = blocks(GENESIS_SLOT, EPOCH, Claim::SecondaryVrf);
        outputs.extend(blocks(GENESIS_SLOT + EPOCH, EPOCH / 2, Claim::Primary));
        outputs.extend(blocks(GENESIS_SLOT + EPOCH + EPOCH / 2, EPOCH / 2, Claim::SecondaryVrf));
        block(GENESIS_SLOT + 2 * EPOCH, Claim::Primary);
        assert_eq!(latest(), Some((chained(&outputs), 11)));
    });
}

#[test]
fn a_seal_stays_until_the_next_epoch_ends() {
    chain("development").execute_with(|| {
        blocks(GENESIS_SLOT, 2 * EPOCH, Claim::SecondaryVrf);
        block(GENESIS_SLOT + 2 * EPOCH, Claim::SecondaryVrf);
        let seal = latest();
        for slot in GENESIS_SLOT + 2 * EPOCH + 1..GENESIS_SLOT + 3 * EPOCH {
            block(slot, Claim::SecondaryVrf);
            assert_eq!(latest(), seal);
        }
        block(GENESIS_SLOT + 3 * EPOCH, Claim::SecondaryVrf);
        assert_eq!(latest().map(|(_, epoch_start)| epoch_start), Some(21));
        assert_ne!(latest().map(|(randomness, _)| randomness), seal.map(|(randomness, _)| randomness));
    });
}

#[test]
fn what_is_drawn_with_the_first_seal_after_a_block_stays_the_same() {
    chain("development").execute_with(|| {
        blocks(GENESIS_SLOT, 2 * EPOCH + 5, Claim::SecondaryVrf);
        // Block 25: one seal, of the epoch of blocks 11 to 20.
        let (before, since) = (AuditRandomness::seals(), System::block_number() + 3);
        assert_eq!(before, 1);
        let first = || AuditRandomness::first_since(before, since, 5);
        let mut found = None;
        for slot in GENESIS_SLOT + 2 * EPOCH + 5..GENESIS_SLOT + 9 * EPOCH {
            block(slot, Claim::SecondaryVrf);
            found = found.or(latest().filter(|(_, epoch_start)| *epoch_start >= since));
            assert_eq!(first(), found, "block {}", System::block_number());
        }
        assert_eq!(found.map(|(_, epoch_start)| epoch_start), Some(31));
        assert_eq!(AuditRandomness::first_since(before, since, 1), None, "the first one began before it");
    });
}

#[test]
fn seals_are_forgotten_when_they_are_too_old_and_no_later_one_takes_their_place() {
    chain("development").execute_with(|| {
        // As long as a job can go on; here a short one, or there would be many blocks to make.
        Deadlines::<Runtime>::put(Windows { max_phase: 5, audit: 5, unbonding: 100, ..Windows::TEST });
        blocks(GENESIS_SLOT, 2 * EPOCH + 1, Claim::SecondaryVrf);
        let keep = <Runtime as crate::audit_randomness::Config>::KeepSeals::get();
        let all = u64::from(keep) + 5 * EPOCH;
        blocks(GENESIS_SLOT + 2 * EPOCH + 1, all, Claim::SecondaryVrf);
        let kept = crate::audit_randomness::Seals::<Runtime>::iter().count();
        assert_eq!(keep, 16 * (5 + 5));
        assert!(kept as u64 <= u64::from(keep) / EPOCH + 2, "{kept} seals are kept");
        assert!(AuditRandomness::seals() as usize > kept);
        assert_eq!(AuditRandomness::first_since(0, 0, u32::MAX), None);
        assert_ok!(AuditRandomness::do_try_state());
        // And a gap in the history is seen.
        let middle = AuditRandomness::seals() - 3;
        crate::audit_randomness::Seals::<Runtime>::remove(middle);
        assert!(AuditRandomness::do_try_state().is_err());
    });
}

#[test]
fn the_last_block_of_an_epoch_still_changes_its_seal() {
    let seal_with_last_slot = |last_slot| {
        chain("development").execute_with(|| {
            blocks(GENESIS_SLOT, 2 * EPOCH - 2, Claim::SecondaryVrf);
            block(last_slot, Claim::SecondaryVrf);
            block(GENESIS_SLOT + 2 * EPOCH, Claim::SecondaryVrf);
            latest().expect("the second epoch has ended")
        })
    };
    let (one, other) = (
        seal_with_last_slot(GENESIS_SLOT + 2 * EPOCH - 2),
        seal_with_last_slot(GENESIS_SLOT + 2 * EPOCH - 1),
    );
    assert_eq!(one.1, other.1);
    assert_ne!(one.0, other.0);
}

#[test]
fn an_epoch_without_outputs_keeps_the_seal_before_it() {
    chain("development").execute_with(|| {
        blocks(GENESIS_SLOT, 2 * EPOCH, Claim::SecondaryVrf);
        block(GENESIS_SLOT + 2 * EPOCH, Claim::SecondaryPlain);
        let seal = latest();
        assert_eq!(seal.map(|(_, epoch_start)| epoch_start), Some(11));
        blocks(GENESIS_SLOT + 2 * EPOCH + 1, EPOCH - 1, Claim::SecondaryPlain);
        block(GENESIS_SLOT + 3 * EPOCH, Claim::SecondaryVrf);
        assert_eq!(latest(), seal);
        blocks(GENESIS_SLOT + 3 * EPOCH + 1, EPOCH, Claim::SecondaryVrf);
        assert_eq!(latest().map(|(_, epoch_start)| epoch_start), Some(31));
    });
}

#[test]
fn a_chain_that_slept_through_epochs_seals_the_one_it_fell_asleep_in() {
    chain("development").execute_with(|| {
        let outputs = blocks(GENESIS_SLOT, EPOCH + 3, Claim::SecondaryVrf);
        block(GENESIS_SLOT + 7 * EPOCH + 2, Claim::SecondaryVrf);
        assert_eq!(latest(), Some((chained(&outputs), 11)));
    });
}

#[test]
fn babes_own_randomness_takes_in_the_primary_outputs_of_a_short_epoch() {
    chain("development").execute_with(|| {
        blocks(GENESIS_SLOT, EPOCH, Claim::SecondaryVrf);
        let primary = blocks(GENESIS_SLOT + EPOCH, EPOCH, Claim::Primary);
        let before = Babe::next_epoch();
        block(GENESIS_SLOT + 2 * EPOCH, Claim::SecondaryVrf);
        let after = Babe::next_epoch();
        assert_eq!((before.epoch_index, after.epoch_index), (2, 3));
        let mut input = [before.randomness.as_slice(), &after.epoch_index.to_le_bytes()].concat();
        input.extend(primary.concat());
        assert_eq!(after.randomness, blake2_256(&input));
        assert_eq!(pallet_babe::SegmentIndex::<Runtime>::get(), 0, "the next epoch collects from the start");
        assert_eq!(pallet_babe::UnderConstruction::<Runtime>::iter().count(), 0);
    });
}
