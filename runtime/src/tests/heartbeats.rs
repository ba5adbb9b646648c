//! Heartbeats as workers send them, on a chain that executes whole blocks, and what their absence costs.

use super::election::{account, block_with, blocks, election_events, with_providers, EPOCH};
use crate::{
    timing::Windows, units::ATT, AccountId, AuditRandomness, Balances, Executive, Hash, ProviderStaking,
    Runtime, RuntimeCall, RuntimeOrigin, Signature, System, UncheckedExtrinsic,
};
use attune_primitives::heartbeat::{is_drawn, payload};
use codec::Decode;
use frame_support::assert_ok;
use pallet_provider_staking::{Call, Providers, SelfUnbonding};
use pallet_validator_election::Event;
use sp_core::{sr25519, Pair};
use sp_runtime::{
    traits::TrailingZeroInput,
    transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidity},
    Permill,
};

/// How many providers are validators.
const VALIDATORS: u8 = 4;

/// The heartbeat of a provider, signed with the secret key of `path`: a general transaction without a signer.
fn heartbeat(provider: &AccountId, path: &str, period: u32) -> UncheckedExtrinsic {
    let secret = sr25519::Pair::from_string(path, None).expect("the path is valid");
    let signed = payload(&System::block_hash(0).0, provider, period);
    let signature = Signature::from(secret.sign(&signed));
    let call =
        RuntimeCall::ProviderStaking(Call::heartbeat { provider: provider.clone(), period, signature });
    // No era, no nonce, no tip: all of it is encoded as zeros.
    let extensions = Decode::decode(&mut TrailingZeroInput::zeroes()).expect("zeros are plain extensions");
    UncheckedExtrinsic::new_transaction(call, extensions)
}

/// What a node's pool asks before it takes a transaction.
fn validate(transaction: &UncheckedExtrinsic) -> TransactionValidity {
    sp_io::storage::start_transaction();
    let validity =
        Executive::validate_transaction(TransactionSource::External, transaction.clone(), Hash::zero());
    sp_io::storage::rollback_transaction();
    validity
}

/// Goes to the first block of a period in which, of all validators, the first provider alone is asked. Returns it and the
/// period.
fn with_one_asked(test: impl FnOnce(AccountId, u32)) {
    with_providers(VALIDATORS, || {
        let all = (1..=VALIDATORS).map(|number| account(&format!("//Provider{number}"))).collect::<Vec<_>>();
        let period = System::block_number() / EPOCH + 1;
        blocks(period * EPOCH - 1 - System::block_number());
        let alone = |randomness: &Hash| {
            all.iter().all(|who| is_drawn(randomness, who, period, 6) == (*who == all[0]))
        };
        let randomness = (0..=u8::MAX).map(Hash::repeat_byte).find(alone).expect("one of many draws so");
        AuditRandomness::remember(randomness, 1);
        blocks(1);
        assert_eq!(ProviderStaking::due_period(&all[0]), Some(period));
        assert!(all[1..].iter().all(|who| ProviderStaking::due_period(who).is_none()));
        test(all[0].clone(), period);
    });
}

fn answered_and_missed(provider: &AccountId) -> (u32, u32) {
    let seen = Providers::<Runtime>::get(provider).expect("it is registered").reputation;
    (seen.heartbeats_answered, seen.heartbeats_missed)
}

#[test]
fn a_worker_answers_with_a_transaction_that_nobody_signs_and_nobody_pays() {
    with_one_asked(|provider, period| {
        // The first block of an epoch, which comes next, takes no transactions: elections fill it.
        blocks(1);
        let operator = account("//Provider1//operator");
        let account_of = |who: &AccountId| (Balances::free_balance(who), System::account_nonce(who));
        let (worker, stash) = (account_of(&operator), account_of(&provider));
        let beat = heartbeat(&provider, "//Provider1//operator", period);
        let valid = validate(&beat).expect("the provider is asked");
        assert_eq!(valid.longevity, u64::from(EPOCH - 2), "from the next block on");
        assert!(valid.propagate);
        block_with(core::slice::from_ref(&beat));
        assert_eq!(answered_and_missed(&provider), (1, 0));
        assert_eq!(account_of(&operator), worker);
        let (money, nonce) = account_of(&provider);
        assert!(money >= stash.0 && nonce == stash.1, "it earns for its blocks, and pays nothing");
        assert_eq!(ProviderStaking::due_period(&provider), None);
        assert_eq!(validate(&beat), Err(InvalidTransaction::Stale.into()), "it can't be sent again");
        blocks(2 * EPOCH);
        assert_eq!(answered_and_missed(&provider), (1, 0));
        assert!(!ProviderStaking::is_absent(&provider));
    });
}

#[test]
fn the_pool_takes_no_heartbeat_that_is_not_the_operators() {
    with_one_asked(|provider, period| {
        for path in ["//Provider1", "//Provider2//operator", "//Customer"] {
            let forged = validate(&heartbeat(&provider, path, period));
            assert_eq!(forged, Err(InvalidTransaction::BadProof.into()), "signed by {path}");
        }
        let unasked = account("//Provider2");
        let validity = validate(&heartbeat(&unasked, "//Provider2//operator", period));
        let code = pallet_provider_staking::NOT_ASKED;
        assert_eq!(validity, Err(InvalidTransaction::Custom(code).into()));
    });
}

#[test]
fn an_absent_validator_gets_half_of_its_block_rewards_and_leaves_later() {
    with_one_asked(|provider, _| {
        let mut rewards = Vec::new();
        for _ in 0..3 * EPOCH {
            blocks(1);
            rewards.extend(election_events());
        }
        assert!(ProviderStaking::is_absent(&provider));
        let (mut cut, mut whole) = (0, 0);
        for (place, event) in rewards.iter().enumerate() {
            let Event::Rewarded { validator, reward, .. } = event else { continue };
            match place.checked_sub(1).and_then(|before| rewards.get(before)) {
                Some(Event::RewardWithheld { validator: absent, withheld, .. }) if absent == validator => {
                    assert_eq!(*validator, provider);
                    assert_eq!(*reward, Permill::from_percent(50).mul_floor(reward + withheld));
                    cut += 1;
                }
                _ if *validator != provider => whole += 1,
                _ => {}
            }
        }
        assert!(cut >= 1 && whole >= 3, "{rewards:?}");

        assert_ok!(ProviderStaking::unbond_self(RuntimeOrigin::signed(provider.clone()), ATT));
        let longer = Windows::TEST.unbonding + Windows::TEST.unbonding / 2;
        let chunks = SelfUnbonding::<Runtime>::get(&provider);
        assert_eq!(chunks.first().map(|chunk| chunk.unlock_at), Some(System::block_number() + longer));
    });
}
