//! Pushes that are free of fees: exactly when they are due, and once.

use super::{
    chain,
    jobs::{account, commit, draw, key, set_up, signed, spec, JOB},
    send, validate,
};
use crate::{
    configs::{attune::AutoCompoundMin, money::ExistentialDeposit},
    units::ATT,
    AccountId, AuditRandomness, Balance, Balances, JobEscrow, ProviderStaking, Runtime, RuntimeCall,
    RuntimeOrigin, System, TxPause,
};
use attune_primitives::traits::Providers as _;
use frame_support::{
    assert_noop, assert_ok,
    traits::{fungible::Mutate, tokens::Preservation},
    BoundedVec,
};
use pallet_job_escrow::{Call as EscrowCall, Error as EscrowError, Jobs};
use pallet_proof_of_training::{Audits, Call as ProofCall};
use pallet_provider_staking::{Call as StakingCall, Delegations, PendingSlashes, Pools};
use sp_runtime::{transaction_validity::InvalidTransaction, Permill};

/// Somebody who has no part in anything.
fn stranger() -> AccountId {
    account("//Eve")
}

/// A job that waits for a provider.
fn order() {
    let mut quoted = spec();
    quoted.timing.bidding_blocks = 0;
    assert_ok!(JobEscrow::create_job(signed("//Customer"), quoted, None));
}

/// The same, taken and begun by the first provider.
fn begin() {
    order();
    assert_ok!(JobEscrow::accept_job(key("//Provider1"), JOB, 5 * ATT));
    assert_ok!(JobEscrow::start_job(key("//Provider1"), JOB));
}

fn enforce() -> RuntimeCall {
    EscrowCall::enforce_deadline { job: JOB }.into()
}

fn deadline() -> u32 {
    Jobs::<Runtime>::get(JOB).expect("the job is not pruned").deadline
}

/// Runs `test` where a job waits for a provider and its deadline is over, so that [`enforce`] is due.
fn where_a_push_is_due(test: impl FnOnce()) {
    chain("development").execute_with(|| {
        set_up();
        order();
        System::set_block_number(deadline() + 1);
        test();
    });
}

/// A stranger's transaction that must do its work and cost nothing; a second copy of it is charged and fails.
fn pushed_for_nothing_once(call: RuntimeCall) {
    let who = stranger();
    let nonce = System::account_nonce(&who);
    let (outcome, fee) = send(&who, call.clone()).expect("it is valid");
    assert_eq!((outcome, fee), (Ok(()), 0), "{call:?}");
    let (outcome, fee) = send(&who, call.clone()).expect("it is valid");
    assert!(outcome.is_err() && fee > 0, "{call:?}: {outcome:?} for {fee}");
    assert_eq!(System::account_nonce(&who), nonce + 2);
}

/// A stranger's transaction that fails and is charged.
fn charged(call: RuntimeCall) {
    let (outcome, fee) = send(&stranger(), call.clone()).expect("it is valid");
    assert!(outcome.is_err() && fee > 0, "{call:?}: {outcome:?} for {fee}");
}

/// Leaves `who` with `left`.
fn leave(who: &AccountId, left: Balance) {
    let rest = Balances::free_balance(who) - left;
    assert_ok!(<Balances as Mutate<AccountId>>::transfer(
        who,
        &account("//Bob"),
        rest,
        Preservation::Expendable
    ));
}

#[test]
fn a_due_push_costs_nothing() {
    where_a_push_is_due(|| {
        let (outcome, fee) = send(&stranger(), enforce()).expect("it is valid");
        assert_eq!((outcome, fee), (Ok(()), 0));
    });
}

#[test]
fn a_push_before_its_deadline_pays_the_fee() {
    chain("development").execute_with(|| {
        set_up();
        order();
        System::set_block_number(deadline());
        let (outcome, fee) = send(&stranger(), enforce()).expect("it is valid");
        assert_eq!(outcome, Err(EscrowError::<Runtime>::DeadlineNotOver.into()));
        assert!(fee > 0);
    });
}

#[test]
fn the_second_copy_of_a_push_in_one_block_pays() {
    where_a_push_is_due(|| {
        // In the pool both are free of fees: neither has been executed yet.
        for who in ["//Eve", "//Dave"] {
            assert_eq!(validate(&account(who), enforce()).map(|valid| valid.priority), Ok(0));
        }
        assert_eq!(send(&account("//Eve"), enforce()), Ok((Ok(()), 0)));
        let (outcome, fee) = send(&account("//Dave"), enforce()).expect("it is valid");
        assert_eq!(outcome, Err(EscrowError::<Runtime>::NotAllowedInState.into()));
        assert!(fee > 0);
    });
}

#[test]
fn a_second_copy_whose_sender_can_not_pay_is_left_out_of_the_block() {
    where_a_push_is_due(|| {
        let poor = stranger();
        leave(&poor, ExistentialDeposit::get());
        assert_eq!(send(&account("//Dave"), enforce()), Ok((Ok(()), 0)));
        assert_noop!(send(&poor, enforce()), InvalidTransaction::Payment);
    });
}

#[test]
fn an_account_that_can_pay_no_fee_can_push_what_is_due() {
    where_a_push_is_due(|| {
        let poor = stranger();
        leave(&poor, ExistentialDeposit::get());
        assert_eq!(send(&poor, enforce()), Ok((Ok(()), 0)));
        assert_eq!(Balances::free_balance(&poor), ExistentialDeposit::get());
    });
}

#[test]
fn an_account_that_does_not_exist_can_push_nothing() {
    where_a_push_is_due(|| {
        let nobody = AccountId::from([99; 32]);
        // Its nonce would have to be stored, and nobody would have paid for that.
        assert_noop!(send(&nobody, enforce()), InvalidTransaction::Payment);
    });
}

#[test]
fn whoever_pays_goes_before_pushes_that_do_not() {
    where_a_push_is_due(|| {
        let remark = frame_system::Call::remark { remark: vec![1] };
        let paid = validate(&stranger(), remark.into()).expect("it is valid").priority;
        let free = validate(&stranger(), enforce()).expect("it is valid").priority;
        assert!(paid > free, "{paid} and {free}");
    });
}

#[test]
fn who_tidies_up_an_abandoned_job_pays_nothing_to_its_end() {
    chain("development").execute_with(|| {
        set_up();
        begin();
        System::set_block_number(deadline() + 1);
        // Handed over; nobody goes on, so it expires.
        pushed_for_nothing_once(enforce());
        System::set_block_number(deadline() + 1);
        pushed_for_nothing_once(enforce());

        let prune: RuntimeCall = EscrowCall::prune_job { job: JOB }.into();
        charged(prune.clone());
        let provider = account("//Provider1");
        let (slash, booked) = PendingSlashes::<Runtime>::iter_prefix(&provider)
            .next()
            .expect("the provider missed its deadline");
        let apply: RuntimeCall = StakingCall::apply_slash { provider, slash }.into();
        System::set_block_number(booked.apply_at - 1);
        charged(apply.clone());
        System::set_block_number(booked.apply_at);
        pushed_for_nothing_once(apply);

        System::set_block_number(System::block_number() + 100_000);
        pushed_for_nothing_once(prune);
    });
}

#[test]
fn an_audit_that_waits_for_auditors_is_pushed_for_nothing() {
    chain("development").execute_with(|| {
        set_up();
        begin();
        commit("//Provider1", 0..2);
        let segment = draw(0);
        let audit = || Audits::<Runtime>::get(JOB, segment).expect("the segment is drawn");
        let push: RuntimeCall = ProofCall::enforce_audit_deadline { job: JOB, segment }.into();
        System::set_block_number(audit().deadline);
        charged(push.clone());
        System::set_block_number(audit().deadline + 1);
        // Others are drawn, who have time again.
        pushed_for_nothing_once(push.clone());
        System::set_block_number(audit().deadline + 1);
        pushed_for_nothing_once(push);
    });
}

#[test]
fn a_draw_costs_nothing_if_it_succeeds_and_its_price_if_not() {
    chain("development").execute_with(|| {
        set_up();
        begin();
        commit("//Provider1", 0..2);
        System::set_block_number(System::block_number() + 10);
        let draw: RuntimeCall = ProofCall::draw_audits { job: JOB, milestone: 0 }.into();
        charged(draw.clone());
        AuditRandomness::remember(attune_primitives::H256::repeat_byte(9), System::block_number());
        let (outcome, fee) = send(&stranger(), draw.clone()).expect("it is valid");
        assert_eq!((outcome, fee), (Ok(()), 0));
        charged(draw);
    });
}

#[test]
fn an_expired_sponsorship_is_ended_for_nothing() {
    chain("development").execute_with(|| {
        System::set_block_number(1);
        let (sponsor, customer) = (account("//Bob"), account("//Customer"));
        assert_ok!(JobEscrow::sponsor(signed("//Bob"), customer.clone(), ATT, ATT, 10));
        let end: RuntimeCall = EscrowCall::end_sponsorship { sponsor, customer }.into();
        System::set_block_number(10);
        charged(end.clone());
        // Its parties may end it before that, and pay.
        let (transaction, _) = super::transaction(&account("//Bob"), end.clone());
        assert!(!is_free(&transaction.function));
        System::set_block_number(11);
        pushed_for_nothing_once(end);
    });
}

fn is_free(call: &RuntimeCall) -> bool {
    use frame_support::dispatch::CheckIfFeeless;
    call.is_feeless(&signed("//Eve"))
}

#[test]
fn a_lien_that_is_over_is_ended_for_nothing() {
    chain("development").execute_with(|| {
        set_up();
        let (from, to, who) = (account("//Provider1"), account("//Provider2"), account("//Bob"));
        assert_ok!(ProviderStaking::delegate(signed("//Bob"), from.clone(), 10 * ATT));
        let shares = Delegations::<Runtime>::get(&from, &who).expect("Bob delegates").shares;
        assert_ok!(ProviderStaking::redelegate(signed("//Bob"), from, to.clone(), shares));
        let lien = Delegations::<Runtime>::get(&to, &who).and_then(|delegation| delegation.lien);
        let settle: RuntimeCall = StakingCall::settle_lien { provider: to, delegator: who }.into();
        let until = lien.expect("the stake has just moved").until;
        System::set_block_number(until - 1);
        charged(settle.clone());
        System::set_block_number(until);
        pushed_for_nothing_once(settle);
    });
}

/// Bob delegates as much as the first provider has, and `income` comes for him. Gives the push that compounds it.
fn income_for_bob(income: Balance) -> RuntimeCall {
    let (provider, delegator) = (account("//Provider1"), account("//Bob"));
    let stake = ProviderStaking::stake_of(&provider);
    assert_ok!(ProviderStaking::delegate(signed("//Bob"), provider.clone(), stake));
    more_for_bob(income);
    StakingCall::compound { provider, delegator }.into()
}

fn more_for_bob(income: Balance) {
    let (provider, delegator) = (account("//Provider1"), account("//Bob"));
    let before = ProviderStaking::pending_income(&provider, &delegator);
    let delegation = Delegations::<Runtime>::get(&provider, &delegator).expect("Bob delegates");
    let pool = Pools::<Runtime>::get(&provider).expect("it is registered");
    let own = pool.active.worth(delegation.shares).expect("there are so many");
    let amount = income * pool.stake().expect("it is small") / own;
    assert_ok!(Balances::mint_into(&ProviderStaking::pool_account(&provider), amount));
    assert_ok!(ProviderStaking::note_income(&provider, amount, Permill::zero()));
    assert_eq!(ProviderStaking::pending_income(&provider, &delegator) - before, income);
}

#[test]
fn income_is_compounded_for_nothing_for_who_asked_for_it() {
    chain("development").execute_with(|| {
        set_up();
        let push = income_for_bob(AutoCompoundMin::get());
        charged(push.clone());
        assert_ok!(ProviderStaking::set_auto_compound(signed("//Bob"), account("//Provider1"), true));
        pushed_for_nothing_once(push);
    });
}

#[test]
fn dust_is_not_compounded_for_nothing() {
    chain("development").execute_with(|| {
        set_up();
        let push = income_for_bob(AutoCompoundMin::get() - 1);
        assert_ok!(ProviderStaking::set_auto_compound(signed("//Bob"), account("//Provider1"), true));
        charged(push.clone());
        more_for_bob(1);
        pushed_for_nothing_once(push);
    });
}

#[test]
fn who_compounds_for_itself_pays() {
    chain("development").execute_with(|| {
        set_up();
        let push = income_for_bob(2 * AutoCompoundMin::get());
        assert_ok!(ProviderStaking::set_auto_compound(signed("//Bob"), account("//Provider1"), true));
        assert!(is_free(&push));
        let (outcome, fee) = send(&account("//Bob"), push).expect("it is valid");
        assert_eq!(outcome, Ok(()));
        assert!(fee > 0);
    });
}

#[test]
fn what_a_free_compounding_moves_is_worth_hundreds_of_fees() {
    chain("development").execute_with(|| {
        set_up();
        let push = income_for_bob(2 * AutoCompoundMin::get());
        let (outcome, fee) = send(&account("//Bob"), push).expect("it is valid");
        assert_eq!(outcome, Ok(()));
        assert!(AutoCompoundMin::get() >= 500 * fee, "the fee is {fee}");
    });
}

#[test]
fn a_provider_that_is_gone_is_deleted_for_nothing() {
    chain("development").execute_with(|| {
        set_up();
        let provider = account("//Provider1");
        let deregister: RuntimeCall = StakingCall::deregister { provider: provider.clone() }.into();
        assert_ok!(ProviderStaking::exit(signed("//Provider1")));
        charged(deregister.clone());
        System::set_block_number(System::block_number() + 1_000_000);
        assert_ok!(ProviderStaking::withdraw(signed("//Provider1"), provider));
        pushed_for_nothing_once(deregister);
    });
}

#[test]
fn a_push_that_is_paused_is_refused_and_so_never_a_free_failure() {
    where_a_push_is_due(|| {
        let name = |name: &str| BoundedVec::truncate_from(name.as_bytes().to_vec());
        let paused = (name("JobEscrow"), name("enforce_deadline"));
        assert_ok!(TxPause::pause(RuntimeOrigin::root(), paused.clone()));
        assert!(is_free(&enforce()), "it is due all the same");
        assert_eq!(validate(&stranger(), enforce()), Err(InvalidTransaction::Call.into()));
        assert_noop!(send(&stranger(), enforce()), InvalidTransaction::Call);
        assert_ok!(TxPause::unpause(RuntimeOrigin::root(), paused));
        pushed_for_nothing_once(enforce());
    });
}
