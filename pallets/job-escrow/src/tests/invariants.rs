//! Random sequences of calls: whatever happens, the books agree with the money, no token comes from nowhere, and every
//! job ends with everything paid or given back.

use std::collections::BTreeMap;

use attune_primitives::{machine::Failure, traits::JobEscrow, Balance, JobId};
use frame_support::traits::fungible::{InspectHold, Mutate};
use proptest::prelude::*;
use sp_arithmetic::Permill;

use crate::{mock::*, *};

#[derive(Clone, Debug)]
enum Act {
    Create { customer: AccountId, max_price: Balance, fee: Balance, share: u32, chosen: Option<AccountId> },
    CreateSponsored { max_price: Balance, bidding: u32 },
    Bid { job: JobId, operator: AccountId, price: Balance },
    Withdraw { job: JobId },
    TopUp { job: JobId, for_training: Balance, for_audits: Balance },
    Sponsor { limit: Balance, per_job: Balance, blocks: u32 },
    EndSponsorship { who: AccountId },
    Accept { job: JobId, operator: AccountId, price: Balance },
    Start { job: JobId },
    Decline { job: JobId, operator: AccountId },
    Cancel { job: JobId, customer: AccountId },
    Enforce { job: JobId },
    Claim { job: JobId, payee: AccountId },
    Prune { job: JobId },
    Commit { job: JobId, skipped: u32 },
    Submit { job: JobId },
    Verify { job: JobId, milestone: u32 },
    PayAuditor { job: JobId, milestone: u32, auditor: AccountId },
    Dispute { job: JobId },
    Uphold { job: JobId },
    Fail { job: JobId, failure: Failure },
    RefuseIncome { refused: bool },
    Pass { blocks: u32 },
}

/// An account that doesn't exist, and so can't receive small fees.
const NOBODY: AccountId = 77;

fn act() -> impl Strategy<Value = Act> {
    let job = 0..3u64;
    let milestone = 0..4u32;
    let operator = prop_oneof![
        4 => Just(ALICE_KEY),
        2 => Just(CAROL_KEY),
        2 => Just(DAVE_KEY),
        1 => Just(BOB_KEY),
        1 => Just(ZOE)
    ];
    let customer = prop_oneof![3 => Just(CUSTOMER), 1 => Just(ALICE), 1 => Just(ZOE)];
    let failure = prop_oneof![
        Just(Failure::WrongResult),
        Just(Failure::TraceNotOpened),
        Just(Failure::NoAuditors),
        Just(Failure::AuditsUnfinished)
    ];
    let chosen = prop_oneof![4 => Just(None), 1 => Just(Some(ALICE)), 1 => Just(Some(CAROL))];
    prop_oneof![
        4 => (customer.clone(), 1..20_000u128, 5..200u128, 1..999_998u32, chosen).prop_map(
            |(customer, max_price, fee, share, chosen)| Act::Create { customer, max_price, fee, share, chosen }
        ),
        3 => (1..20_000u128, 0..8u32)
            .prop_map(|(max_price, bidding)| Act::CreateSponsored { max_price, bidding }),
        2 => (1..80_000u128, 1..40_000u128, 0..40u32)
            .prop_map(|(limit, per_job, blocks)| Act::Sponsor { limit, per_job, blocks }),
        1 => prop_oneof![Just(SPONSOR), Just(CUSTOMER), Just(ZOE)].prop_map(|who| Act::EndSponsorship { who }),
        2 => (job.clone(), 0..2_000u128, 0..500u128)
            .prop_map(|(job, for_training, for_audits)| Act::TopUp { job, for_training, for_audits }),
        6 => (job.clone(), operator.clone(), 1..15_000u128)
            .prop_map(|(job, operator, price)| Act::Bid { job, operator, price }),
        2 => job.clone().prop_map(|job| Act::Withdraw { job }),
        8 => (job.clone(), operator.clone(), 1..15_000u128)
            .prop_map(|(job, operator, price)| Act::Accept { job, operator, price }),
        6 => job.clone().prop_map(|job| Act::Start { job }),
        1 => (job.clone(), operator).prop_map(|(job, operator)| Act::Decline { job, operator }),
        1 => (job.clone(), customer.clone()).prop_map(|(job, customer)| Act::Cancel { job, customer }),
        3 => job.clone().prop_map(|job| Act::Enforce { job }),
        4 => (job.clone(), prop_oneof![Just(NOBODY), Just(ALICE), Just(CAROL), Just(AUDITOR)])
            .prop_map(|(job, payee)| Act::Claim { job, payee }),
        2 => job.clone().prop_map(|job| Act::Prune { job }),
        14 => (job.clone(), prop_oneof![9 => Just(0), 1 => Just(1)])
            .prop_map(|(job, skipped)| Act::Commit { job, skipped }),
        8 => job.clone().prop_map(|job| Act::Submit { job }),
        12 => (job.clone(), milestone.clone()).prop_map(|(job, milestone)| Act::Verify { job, milestone }),
        4 => (job.clone(), milestone, prop_oneof![Just(AUDITOR), Just(NOBODY)])
            .prop_map(|(job, milestone, auditor)| Act::PayAuditor { job, milestone, auditor }),
        2 => job.clone().prop_map(|job| Act::Dispute { job }),
        4 => job.clone().prop_map(|job| Act::Uphold { job }),
        1 => (job, failure).prop_map(|(job, failure)| Act::Fail { job, failure }),
        2 => any::<bool>().prop_map(|refused| Act::RefuseIncome { refused }),
        5 => (1..4u32).prop_map(|blocks| Act::Pass { blocks }),
        1 => (50..150u32).prop_map(|blocks| Act::Pass { blocks }),
    ]
}

/// Does one act as a transaction; true if it was not refused.
fn perform(act: &Act) -> bool {
    transact(|| match act.clone() {
        Act::Create { customer, max_price, fee, share, chosen } => {
            let mut order = spec();
            order.max_price = max_price;
            order.audit_fee = fee;
            order.provider = chosen;
            order.timing.bidding_blocks = if chosen.is_none() && fee % 4 == 0 { 6 } else { 0 };
            if share < 400_000 {
                order.milestones.truncate(1);
                order.milestones[0].share = Permill::one();
                return Escrow::create_job(signed(customer), order, None);
            }
            for (milestone, parts) in order.milestones.iter_mut().zip([share, 1, 999_999 - share]) {
                milestone.share = Permill::from_parts(parts);
            }
            Escrow::create_job(signed(customer), order, None)
        }
        Act::CreateSponsored { max_price, bidding } => {
            let mut order = spec();
            order.max_price = max_price;
            order.timing.bidding_blocks = bidding;
            Escrow::create_job(signed(CUSTOMER), order, Some(SPONSOR))
        }
        Act::Bid { job, operator, price } => Escrow::place_bid(signed(operator), job, price),
        Act::Withdraw { job } => {
            let bidder = Bids::<Test>::get(job).first().map_or(ZOE, |bid| bid.provider + 10);
            Escrow::withdraw_bid(signed(bidder), job)
        }
        Act::TopUp { job, for_training, for_audits } => {
            let funder = Jobs::<Test>::get(job).map_or(ZOE, |job| job.funder);
            Escrow::top_up(signed(funder), job, for_training, for_audits)
        }
        Act::Sponsor { limit, per_job, blocks } => {
            let expires_at = u32::try_from(System::block_number()).expect("tests are short, qed") + blocks;
            Escrow::sponsor(signed(SPONSOR), CUSTOMER, limit, per_job, expires_at)
        }
        Act::EndSponsorship { who } => Escrow::end_sponsorship(signed(who), SPONSOR, CUSTOMER),
        Act::Accept { job, operator, price } => Escrow::accept_job(signed(operator), job, price),
        Act::Start { job } => {
            let assigned = Jobs::<Test>::get(job).and_then(|job| job.assignment);
            Escrow::start_job(signed(assigned.map_or(ZOE, |a| a.provider + 10)), job)
        }
        Act::Decline { job, operator } => Escrow::decline_job(signed(operator), job),
        Act::Cancel { job, customer } => Escrow::cancel_job(signed(customer), job),
        Act::Enforce { job } => Escrow::enforce_deadline(signed(ZOE), job),
        Act::Claim { job, payee } => Escrow::claim_owed(signed(ZOE), job, payee),
        Act::Prune { job } => Escrow::prune_job(signed(ZOE), job),
        Act::Commit { job, skipped } => {
            let next = Jobs::<Test>::get(job).map(|job| job.milestones_committed).unwrap_or_default();
            Escrow::milestone_committed(job, next + skipped)
        }
        Act::Submit { job } => Escrow::submitted(job),
        Act::Verify { job, milestone } => Escrow::milestone_verified(job, milestone),
        Act::PayAuditor { job, milestone, auditor } => Escrow::pay_auditor(job, milestone, &auditor),
        Act::Dispute { job } => Escrow::disputed(job),
        Act::Uphold { job } => Escrow::upheld(job),
        Act::Fail { job, failure } => Escrow::fail(job, failure),
        Act::RefuseIncome { refused } => {
            IncomeRefused::put(refused);
            Ok(())
        }
        Act::Pass { blocks } => {
            pass_blocks(blocks);
            Ok(())
        }
    })
    .is_ok()
}

/// A stranger pushes every deadline and prunes; payees claim. Nothing may be left.
fn wind_up() {
    let ids: Vec<_> = Jobs::<Test>::iter().map(|(id, _)| id).collect();
    for id in &ids {
        // Bidding, open and dispute at the most, once more for each handover.
        for _ in 0..12 {
            if !state(*id).is_terminal() {
                pass_deadline(*id);
                assert!(perform(&Act::Enforce { job: *id }), "a live job has no way out: {:?}", job(*id));
            }
        }
        assert!(closed_as(*id).is_some());
    }
    pass_blocks(PRUNE_AFTER);
    IncomeRefused::kill();
    Balances::mint_into(&NOBODY, EXISTENTIAL).expect("an existential deposit makes an account, qed");
    for (job, payee, _) in Owed::<Test>::iter().collect::<Vec<_>>() {
        assert!(perform(&Act::Claim { job, payee }));
    }
    for id in ids {
        assert!(perform(&Act::Prune { job: id }));
    }
    perform(&Act::EndSponsorship { who: SPONSOR });
    for who in [CUSTOMER, ALICE, ZOE, SPONSOR] {
        assert_eq!(Balances::total_balance_on_hold(&who), 0);
    }
    let left = Owed::<Test>::iter().count() + Bonds::iter().count() + Bids::<Test>::iter().count();
    assert_eq!(left + Sponsorships::<Test>::iter().count(), 0);
}

/// What each job has cost and may still cost.
fn costs() -> BTreeMap<JobId, Balance> {
    Jobs::<Test>::iter().map(|(id, job)| (id, job.spent + job.escrow + job.audit_budget)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_keeps_the_books(acts in proptest::collection::vec(act(), 1..200)) {
        new_test_ext().execute_with(|| {
            for act in &acts {
                let (issued, cost) = (Balances::total_issuance(), costs());
                perform(act);
                prop_assert_eq!(Escrow::do_try_state(), Ok(()), "after {:?}", act);
                check_bonds();
                let after = Balances::total_issuance();
                prop_assert!(after <= issued, "{act:?} made money");
                let may_burn = matches!(act, Act::Enforce { .. } | Act::Fail { .. });
                prop_assert!(after == issued || may_burn, "{act:?} burned money");
                let raised = costs().into_iter().filter(|(id, now)| cost.get(id).is_some_and(|was| now > was));
                let may_raise = matches!(act, Act::TopUp { .. });
                prop_assert!(may_raise || raised.count() == 0, "{act:?} made a job cost more than was escrowed");
            }
            wind_up();
            prop_assert_eq!(Escrow::do_try_state(), Ok(()));
            Ok(())
        })?;
    }
}

#[test]
fn the_random_acts_reach_every_rule() {
    // A sequence generator that only meets refusals would prove nothing.
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut done = std::collections::BTreeSet::new();
    let (mut paid_in_full, mut left_a_tranche, mut has_a_second_provider) = (false, false, false);
    for _ in 0..300 {
        let acts = proptest::collection::vec(act(), 200)
            .new_tree(&mut runner)
            .expect("the strategy has no filter, qed")
            .current();
        new_test_ext().execute_with(|| {
            for act in &acts {
                if perform(act) {
                    let name = format!("{act:?}");
                    done.insert(name.split(' ').next().unwrap_or_default().to_owned());
                }
            }
            paid_in_full |= Jobs::<Test>::iter().any(|(_, job)| job.all_verified());
            left_a_tranche |= Jobs::<Test>::iter().any(|(_, job)| !job.tranches.is_empty());
            has_a_second_provider |=
                Jobs::<Test>::iter().any(|(_, job)| job.handovers > 0 && job.assignment.is_some());
        });
    }
    assert_eq!(done.len(), 23, "{done:?}");
    assert!(left_a_tranche, "no random job was ever handed over after a paid milestone");
    assert!(has_a_second_provider, "no random job ever had a second provider");
    assert!(paid_in_full, "no random job was ever paid in full");
}
