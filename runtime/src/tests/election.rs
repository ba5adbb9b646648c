//! Elections, reports of equivocations and rewards, on a chain that executes whole blocks.

use super::chain;
use crate::{
    configs::election::MaxInflation,
    genesis::{
        accounts::{ACCOUNTS, VALIDATORS},
        INFLATION,
    },
    units::ATT,
    AccountId, Babe, Balance, Balances, Block, Executive, Grandpa, Hash, Header, ProviderStaking, Runtime,
    RuntimeCall, RuntimeEvent, RuntimeOrigin, Session, SessionKeys, System, UncheckedExtrinsic,
    ValidatorElection, VoterList,
};
use attune_primitives::provider::{Hardware, ProviderProfile};
use codec::{Decode, Encode};
use frame_election_provider_support::SortedListProvider;
use frame_support::{assert_noop, assert_ok, weights::Weight};
use pallet_provider_staking::PendingSlashes;
use pallet_session::historical::HistoricalSessions;
use pallet_validator_election::{inflation, Event, SlashedParts, Unpaid};
use sp_consensus_babe::{
    digests::{PreDigest, SecondaryPlainPreDigest},
    runtime_decl_for_babe_api::BabeApiV2,
    BABE_ENGINE_ID,
};
use sp_consensus_grandpa::{localized_payload, runtime_decl_for_grandpa_api::GrandpaApiV3};
use sp_core::{
    ed25519,
    offchain::{testing::TestTransactionPoolExt, TransactionPoolExt},
    sr25519, Pair,
};
use sp_io::TestExternalities;
use sp_runtime::{
    generic, traits::Header as _, transaction_validity::TransactionSource, Digest, DigestItem, Perbill,
    Permill,
};

/// The slot of block 1: any, but not 0.
const GENESIS_SLOT: u64 = 1_000_000;
/// Length of an epoch in the presets.
pub(super) const EPOCH: u32 = 10;
/// What each provider bonds.
const STAKE: Balance = 2_000 * ATT;

/// The digest of a block of this slot by the authority at this place.
fn claim(slot: u64, authority_index: u32) -> Digest {
    let claim = PreDigest::SecondaryPlain(SecondaryPlainPreDigest { authority_index, slot: slot.into() });
    Digest { logs: vec![DigestItem::PreRuntime(BABE_ENGINE_ID, claim.encode())] }
}

/// Executes the next block, by the authority whose turn it is, with these transactions.
pub(super) fn block_with(transactions: &[UncheckedExtrinsic]) {
    let number = System::block_number() + 1;
    let slot = GENESIS_SLOT + u64::from(number) - 1;
    let authorities = u32::try_from(Session::validators().len()).expect("a handful");
    let digest = claim(slot, number % authorities);
    Executive::initialize_block(&Header::new(
        number,
        Hash::zero(),
        Hash::zero(),
        Hash::repeat_byte(u8::try_from(number % 251).expect("it is below 251")),
        digest,
    ));
    let set_time = RuntimeCall::Timestamp(pallet_timestamp::Call::set { now: slot * Babe::slot_duration() });
    for transaction in [UncheckedExtrinsic::new_bare(set_time)].iter().chain(transactions) {
        Executive::apply_extrinsic(transaction.clone())
            .expect("the transaction is valid")
            .expect("its call succeeds");
    }
    Executive::finalize_block();
}

pub(super) fn blocks(count: u32) {
    (0..count).for_each(|_| block_with(&[]));
}

pub(super) fn account(path: &str) -> AccountId {
    let (_, key) = ACCOUNTS.iter().find(|(known, _)| *known == path).expect("the path is in the table");
    AccountId::from(*key)
}

/// The first `count` of the providers of the presets.
fn providers(count: u8) -> Vec<AccountId> {
    (1..=count).map(|number| account(&format!("//Provider{number}"))).collect()
}

/// A provider's secret keys for consensus.
fn secrets(number: u8) -> (sr25519::Pair, ed25519::Pair) {
    let path = format!("//Provider{number}//consensus");
    (
        sr25519::Pair::from_string(&path, None).expect("the path is valid"),
        ed25519::Pair::from_string(&path, None).expect("the path is valid"),
    )
}

/// Registers the provider with stake and session keys.
fn register(number: u8) {
    let bytes = |text: &str| text.as_bytes().to_vec();
    let profile = ProviderProfile {
        name: bytes("garage").try_into().expect("short"),
        endpoint: bytes("http://127.0.0.1:9000").try_into().expect("short"),
        class: bytes("cpu-a").try_into().expect("short"),
        exact_version: 1,
        hardware: Hardware {
            model: bytes("EPYC").try_into().expect("short"),
            accelerators: 0,
            memory_mib: 1,
        },
        price_per_gpu_hour: 5,
        tokens_per_second: 100,
    };
    let who = account(&format!("//Provider{number}"));
    let operator = account(&format!("//Provider{number}//operator"));
    let signed = RuntimeOrigin::signed(who.clone());
    assert_ok!(ProviderStaking::register(
        signed.clone(),
        profile,
        Permill::from_percent(10),
        operator,
        STAKE
    ));
    let (babe, grandpa) = secrets(number);
    let proof = (babe.sign(&possession(&who)), grandpa.sign(&possession(&who))).encode();
    let keys = SessionKeys { babe: babe.public().into(), grandpa: grandpa.public().into() };
    assert_ok!(Session::set_keys(signed, keys, proof));
    assert_eq!(VoterList::get_score(&who), Ok(STAKE));
}

/// What the owner of a key signs to show that it is his.
fn possession(owner: &AccountId) -> Vec<u8> {
    [b"POP_".as_slice(), &owner.encode()].concat()
}

/// Runs on a chain on which the first `count` providers are candidates, past the two sessions after which they are
/// validators.
pub(super) fn with_providers(count: u8, test: impl FnOnce()) {
    chain("local_testnet").execute_with(|| {
        blocks(1);
        (1..=count).for_each(register);
        blocks(2 * EPOCH);
        test();
    });
}

pub(super) fn election_events() -> Vec<Event<Runtime>> {
    System::events()
        .into_iter()
        .filter_map(|record| match record.event {
            RuntimeEvent::ValidatorElection(event) => Some(event),
            _ => None,
        })
        .collect()
}

/// Two blocks by the offender in one slot.
fn two_blocks(
    secret: &sr25519::Pair,
    slot: u64,
    authority_index: u32,
) -> sp_consensus_babe::EquivocationProof<Header> {
    let header = |state| {
        let mut header: Header = generic::Header {
            parent_hash: Hash::zero(),
            number: 1,
            state_root: Hash::repeat_byte(state),
            extrinsics_root: Hash::zero(),
            digest: claim(slot, authority_index),
        };
        let seal = secret.sign(header.hash().as_ref());
        header.digest_mut().push(DigestItem::Seal(BABE_ENGINE_ID, seal.encode()));
        header
    };
    sp_consensus_babe::EquivocationProof {
        offender: secret.public().into(),
        slot: slot.into(),
        first_header: header(1),
        second_header: header(2),
    }
}

/// Two prevotes by the offender in one round.
fn two_votes(
    secret: &ed25519::Pair,
    set: u64,
    round: u64,
) -> sp_consensus_grandpa::EquivocationProof<Hash, u32> {
    let vote = |target| {
        let prevote = finality_grandpa::Prevote { target_hash: Hash::repeat_byte(target), target_number: 9 };
        let payload = localized_payload(round, set, &finality_grandpa::Message::Prevote(prevote.clone()));
        (prevote, secret.sign(&payload).into())
    };
    let equivocation = finality_grandpa::Equivocation {
        round_number: round,
        identity: secret.public().into(),
        first: vote(1),
        second: vote(2),
    };
    sp_consensus_grandpa::EquivocationProof::new(
        set,
        sp_consensus_grandpa::Equivocation::Prevote(equivocation),
    )
}

/// One of four providers who are validators, with its number and place, whose turn the next block is not: who is disabled
/// can't make the block that disables it.
fn offender() -> (u8, AccountId, u32) {
    let place = (System::block_number() + 2) % 4;
    let who = Session::validators()[usize::try_from(place).expect("below 4")].clone();
    let number = (1..=4).find(|number| account(&format!("//Provider{number}")) == who);
    (number.expect("a provider was elected"), who, place)
}

/// The slot of the last block.
fn slot_now() -> u64 {
    GENESIS_SLOT + u64::from(System::block_number()) - 1
}

/// The report that the runtime API puts into the node's pool.
fn submitted(
    externalities: &mut TestExternalities,
    submit: impl FnOnce() -> Option<()>,
) -> UncheckedExtrinsic {
    let (pool, state) = TestTransactionPoolExt::new();
    externalities.register_extension(TransactionPoolExt::new(pool));
    externalities.execute_with(submit).expect("the report is made");
    let transactions = state.read().transactions.clone();
    assert_eq!(transactions.len(), 1);
    UncheckedExtrinsic::decode(&mut &transactions[0][..]).expect("the report is a transaction")
}

#[test]
fn the_genesis_validators_go_on_while_no_provider_has_keys() {
    chain("local_testnet").execute_with(|| {
        let issuance = Balances::total_issuance();
        blocks(5 * EPOCH);
        let stashes = VALIDATORS.map(|validator| AccountId::from(validator.stash));
        assert_eq!(Session::validators(), stashes);
        assert_eq!(Babe::authorities().len(), 3);
        assert_eq!(Grandpa::grandpa_authorities().len(), 3);
        assert_eq!(Balances::total_issuance(), issuance, "nothing is minted for them");
        assert!(Unpaid::<Runtime>::get().is_empty());
    });
}

#[test]
fn providers_with_keys_and_stake_are_authorities_two_sessions_later() {
    with_providers(3, || {
        let mut expected = providers(3);
        expected.sort();
        assert_eq!(Session::validators(), expected);
        let mut babe = Babe::authorities().into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        babe.sort();
        let mut keys = (1..=3).map(|number| secrets(number).0.public().into()).collect::<Vec<_>>();
        keys.sort();
        assert_eq!(babe, keys);
        blocks(EPOCH);
        let mut grandpa = Grandpa::grandpa_authorities().into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        grandpa.sort();
        let mut keys = (1..=3).map(|number| secrets(number).1.public().into()).collect::<Vec<_>>();
        keys.sort();
        assert_eq!(grandpa, keys);
    });
}

#[test]
fn fewer_providers_than_genesis_had_validators_do_not_take_over() {
    with_providers(2, || {
        blocks(2 * EPOCH);
        assert_eq!(Session::validators(), VALIDATORS.map(|validator| AccountId::from(validator.stash)));
    });
}

#[test]
fn who_exits_leaves_the_list_at_once_and_the_validators_two_sessions_later() {
    with_providers(4, || {
        let leaver = account("//Provider4");
        assert!(Session::validators().contains(&leaver));
        assert_ok!(ProviderStaking::exit(RuntimeOrigin::signed(leaver.clone())));
        assert!(!VoterList::contains(&leaver));
        blocks(2 * EPOCH);
        let mut expected = providers(3);
        expected.sort();
        assert_eq!(Session::validators(), expected);
    });
}

#[test]
fn a_delegation_moves_its_provider_up_the_list() {
    with_providers(3, || {
        let last = VoterList::iter().last().expect("three are listed");
        let delegator = RuntimeOrigin::signed(account("//Delegator1"));
        assert_ok!(ProviderStaking::delegate(delegator, last.clone(), STAKE));
        assert_eq!(VoterList::iter().next(), Some(last.clone()));
        assert_eq!(VoterList::get_score(&last), Ok(2 * STAKE));
    });
}

#[test]
fn the_first_block_of_a_session_is_its_own_validators() {
    with_providers(3, || {
        let author =
            |number: u32| Session::validators()[usize::try_from(number % 3).expect("below 3")].clone();
        let session = Session::current_index();
        assert_eq!(System::block_number() % EPOCH, 1, "the last block opened a session");
        let points = |who: &AccountId| pallet_validator_election::Points::<Runtime>::get(session, who);
        assert_eq!(points(&author(System::block_number())), 1);
    });
}

#[test]
fn rewards_reach_the_pools_and_stay_within_the_cap() {
    with_providers(3, || {
        let before = Balances::total_issuance();
        let first = Session::current_index();
        let pot = |issuance, rate| inflation::session_pot(issuance, rate, 2_000 * u64::from(EPOCH));
        let expected = pot(before, INFLATION).expect("fits");
        let balances = || providers(3).iter().map(Balances::free_balance).sum::<Balance>();
        let had = balances();
        blocks(EPOCH + 4);
        assert_eq!(Session::current_index(), first + 1);
        let minted = Balances::total_issuance() - before;
        assert!(minted <= expected && minted > expected - 10, "{minted} of {expected}");
        assert_eq!(balances() - had, minted, "all of it is income of the pools, here the providers' own");
        assert_ok!(ValidatorElection::set_inflation(RuntimeOrigin::root(), MaxInflation::get()));
        let before = Balances::total_issuance();
        blocks(5 * EPOCH);
        let cap = pot(Balances::total_issuance(), MaxInflation::get()).expect("fits");
        assert!(Balances::total_issuance() - before <= 6 * cap);
        assert!(Balances::total_issuance() - before >= 3 * cap);
    });
}

#[test]
fn nobody_but_the_administrator_sets_inflation() {
    chain("local_testnet").execute_with(|| {
        assert_noop!(
            ValidatorElection::set_inflation(RuntimeOrigin::signed(providers(1)[0].clone()), Permill::zero()),
            sp_runtime::DispatchError::BadOrigin
        );
        let above = Permill::from_parts(MaxInflation::get().deconstruct() + 1);
        assert_noop!(
            ValidatorElection::set_inflation(RuntimeOrigin::root(), above),
            pallet_validator_election::Error::<Runtime>::AboveCap
        );
    });
}

#[test]
fn two_blocks_in_one_slot_are_reported_through_the_api_and_slash_the_pool() {
    let mut externalities = chain("local_testnet");
    let (slot, (number, offender, place)) = externalities.execute_with(|| {
        blocks(1);
        (1..=4).for_each(register);
        blocks(2 * EPOCH);
        (slot_now(), offender())
    });
    let (babe, _) = secrets(number);
    let report = submitted(&mut externalities, || {
        let proof = two_blocks(&babe, slot, place);
        let owner =
            <Runtime as BabeApiV2<Block>>::generate_key_ownership_proof(slot.into(), babe.public().into())?;
        <Runtime as BabeApiV2<Block>>::submit_report_equivocation_unsigned_extrinsic(proof, owner)
    });
    externalities.execute_with(|| {
        let validate = |source| Executive::validate_transaction(source, report.clone(), Hash::zero());
        assert!(validate(TransactionSource::External).is_err(), "only who found it puts it into a block");
        assert!(validate(TransactionSource::Local).is_ok());
        block_with(std::slice::from_ref(&report));
        let session = Session::current_index();
        // min((3k/n)^2, 1) for one of four.
        let part = Permill::from_parts(562_500);
        assert!(election_events().contains(&Event::OffenderSlashed {
            offender: offender.clone(),
            session,
            part
        }));
        assert_eq!(SlashedParts::<Runtime>::get(session, &offender), Perbill::from_parts(562_500_000));
        assert_eq!(Session::disabled_validators(), [place]);
        let booked = PendingSlashes::<Runtime>::iter_prefix_values(&offender).map(|slash| slash.amount);
        assert_eq!(booked.collect::<Vec<_>>(), [part.mul_ceil(STAKE)]);
        assert!(validate(TransactionSource::Local).is_err(), "it is known by now");
    });
}

#[test]
fn two_votes_in_one_round_are_reported_through_the_api_and_slash_the_pool() {
    let mut externalities = chain("local_testnet");
    let (set, (number, offender, place)) = externalities.execute_with(|| {
        blocks(1);
        (1..=4).for_each(register);
        blocks(2 * EPOCH + 2);
        (Grandpa::current_set_id(), offender())
    });
    let (_, grandpa) = secrets(number);
    let report = submitted(&mut externalities, || {
        let proof = two_votes(&grandpa, set, 7);
        let owner =
            <Runtime as GrandpaApiV3<Block>>::generate_key_ownership_proof(set, grandpa.public().into())?;
        <Runtime as GrandpaApiV3<Block>>::submit_report_equivocation_unsigned_extrinsic(proof, owner)
    });
    externalities.execute_with(|| {
        block_with(&[report]);
        let session = Session::current_index();
        let part = Permill::from_parts(562_500);
        assert!(election_events().contains(&Event::OffenderSlashed { offender, session, part }));
        assert_eq!(Session::disabled_validators(), [place]);
    });
}

#[test]
fn an_offence_of_a_past_session_can_be_reported_by_anyone_and_costs_no_fee() {
    let mut externalities = chain("local_testnet");
    externalities.execute_with(|| {
        blocks(1);
        (1..=4).for_each(register);
        blocks(2 * EPOCH);
        let (babe, _) = secrets(1);
        let (slot, session) = (slot_now(), Session::current_index());
        let owner =
            <Runtime as BabeApiV2<Block>>::generate_key_ownership_proof(slot.into(), babe.public().into())
                .and_then(|owner| owner.decode())
                .expect("the key is a validator's");
        blocks(3 * EPOCH);
        assert_eq!(Session::current_index(), session + 3);
        let proof = Box::new(two_blocks(&babe, slot, 0));
        let reporter = account("//Challenger");
        let report = || {
            Babe::report_equivocation(
                RuntimeOrigin::signed(reporter.clone()),
                proof.clone(),
                Clone::clone(&owner),
            )
        };
        let paid = report().expect("the proof is good");
        assert_eq!(paid.pays_fee, frame_support::dispatch::Pays::No);
        assert!(election_events()
            .iter()
            .any(|event| matches!(event, Event::OffenderSlashed { session: of, .. } if *of == session)));
        assert_noop!(report(), pallet_babe::Error::<Runtime>::DuplicateOffenceReport);
    });
}

#[test]
fn a_validator_of_genesis_has_no_pool_and_its_offence_says_so() {
    let mut externalities = chain("local_testnet");
    externalities.execute_with(|| {
        blocks(3);
        let babe = sr25519::Pair::from_string("//Bob", None).expect("the path is valid");
        let slot = slot_now();
        let owner =
            <Runtime as BabeApiV2<Block>>::generate_key_ownership_proof(slot.into(), babe.public().into())
                .and_then(|owner| owner.decode())
                .expect("the key is a validator's");
        let issuance = Balances::total_issuance();
        assert_ok!(Babe::report_equivocation(
            RuntimeOrigin::signed(account("//Challenger")),
            Box::new(two_blocks(&babe, slot, 1)),
            owner
        ));
        let offender = AccountId::from(VALIDATORS[1].stash);
        assert!(election_events().contains(&Event::OffenderWithoutPool {
            offender,
            session: 0,
            part: Permill::one()
        }));
        assert_eq!(Balances::total_issuance(), issuance);
        blocks(2 * EPOCH);
        assert_eq!(Session::validators().len(), 3, "with so few nobody can be spared");
    });
}

#[test]
fn a_proof_of_another_slot_or_key_is_refused() {
    with_providers(4, || {
        let (babe, _) = secrets(1);
        let (slot, key) = (slot_now(), babe.public().into());
        let owner = <Runtime as BabeApiV2<Block>>::generate_key_ownership_proof(slot.into(), key)
            .and_then(|owner| owner.decode::<sp_session::MembershipProof>())
            .expect("the key is a validator's");
        let report = |proof| {
            let reporter = RuntimeOrigin::signed(account("//Challenger"));
            Babe::report_equivocation(reporter, Box::new(proof), owner.clone())
        };
        let past = slot - 2 * u64::from(EPOCH);
        assert_noop!(
            report(two_blocks(&babe, past, 0)),
            pallet_babe::Error::<Runtime>::InvalidKeyOwnershipProof
        );
        assert_noop!(
            report(two_blocks(&secrets(2).0, slot, 0)),
            pallet_babe::Error::<Runtime>::InvalidKeyOwnershipProof
        );
        let mut same = two_blocks(&babe, slot, 0);
        same.second_header = same.first_header.clone();
        assert_noop!(report(same), pallet_babe::Error::<Runtime>::InvalidEquivocationProof);
    });
}

#[test]
fn history_goes_as_far_back_as_stake_unbonds() {
    chain("local_testnet").execute_with(|| {
        use frame_support::traits::Get;
        // 1,500 blocks of unbonding in sessions of ten.
        let depth = crate::configs::consensus::HistorySessions::get();
        assert_eq!(depth, 151);
        blocks(4 * EPOCH);
        assert_eq!(Session::current_index(), 3);
        assert_eq!(HistoricalSessions::<Runtime>::iter().count(), 3, "sessions 2 to 4");
    });
}

#[test]
fn the_list_of_candidates_has_room_for_every_stake() {
    chain("local_testnet").execute_with(|| {
        let (least, most) = VoterList::range();
        assert_eq!(least, 100 * ATT);
        assert!(most > 100 * Balances::total_issuance());
    });
}

#[test]
fn paying_one_validator_fits_into_a_block() {
    use pallet_validator_election::WeightInfo;
    let block: Weight = <<Runtime as frame_system::Config>::BlockWeights as frame_support::traits::Get<
        frame_system::limits::BlockWeights,
    >>::get()
    .max_block;
    assert!(<() as WeightInfo>::pay_one().saturating_mul(100).all_lt(block));
}
