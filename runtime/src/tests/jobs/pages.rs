//! What the API for pages says of state that the real pallets made together.

use super::*;
use crate::{
    page_api::{runtime_decl_for_attune_api::AttuneApiV1, EscrowBooks, JobOverview, Step, TimelineEntry},
    RuntimeHoldReason,
};
use attune_primitives::{page::Page, proof::Verdict};
use frame_support::traits::fungible::Mutate;
use pallet_job_escrow::Owed;
use pallet_proof_of_training::views::RecordFilter;
use pallet_provider_staking::{Delegations, Obstacle};

fn overview() -> JobOverview {
    Runtime::job_overview(JOB).expect("the job is not pruned in this test")
}

/// The steps, each in a word or two, with `@` and the block where there is one, and `ms` where there is a time.
fn steps(timeline: &[TimelineEntry]) -> Vec<String> {
    let say = |entry: &TimelineEntry| {
        let word = match &entry.step {
            Step::Requested { .. } => "requested".into(),
            Step::FormerAttempt { first_milestone, last_milestone, .. } => {
                format!("former {first_milestone}-{last_milestone}")
            }
            Step::HandedOver { times, excluded } => format!("handed over {times}/{}", excluded.len()),
            Step::Assigned { first_milestone, .. } => format!("assigned {first_milestone}"),
            Step::Started => "started".into(),
            Step::Committed { milestone } => format!("committed {milestone}"),
            Step::Drawn { milestone, segments } => format!("drawn {milestone}:{}", segments.len()),
            Step::Audited { milestone, passed, drawn } => format!("audited {milestone}:{passed}/{drawn}"),
            Step::Paid { milestone } => format!("paid {milestone}"),
            Step::Submitted { .. } => "submitted".into(),
            Step::Disputed { audits } => format!("disputed {audits}"),
            Step::CalledOff => "called off".into(),
            Step::Ended { state } => format!("{state:?}"),
        };
        let block = entry.block.map(|_| "@").unwrap_or_default();
        format!("{word}{block}{}", entry.unix_millis.map(|_| "ms").unwrap_or_default())
    };
    timeline.iter().map(say).collect()
}

/// A chain with six providers and a model, at a time.
fn with_providers(test: impl FnOnce()) {
    chain("development").execute_with(|| {
        set_up();
        pallet_timestamp::Now::<Runtime>::put(1_000);
        test();
        assert!(Runtime::solvency().differing.is_empty());
        assert_ok!(ProviderStaking::do_try_state());
        assert_ok!(JobEscrow::do_try_state());
    });
}

fn quoted() -> JobSpec<AccountId> {
    let mut quoted = spec();
    quoted.timing.bidding_blocks = 0;
    quoted
}

#[test]
fn a_jobs_life_is_told_step_by_step_through_a_handover_to_its_record() {
    with_providers(|| {
        assert_eq!(Runtime::job_overview(JOB), None);
        assert_ok!(JobEscrow::create_job(signed("//Customer"), spec(), None));
        assert_ok!(JobEscrow::place_bid(key("//Provider1"), JOB, 6 * ATT));
        assert_eq!(steps(&overview().timeline), ["requestedms"]);
        assert_eq!(overview().bids[0].provider, account("//Provider1"));
        push();
        assert_eq!(steps(&overview().timeline), ["requestedms", "assigned 0@"]);
        let assigned_at = now();
        assert_ok!(JobEscrow::start_job(key("//Provider1"), JOB));
        verify("//Provider1", 0);
        commit("//Provider1", 2..4);
        let committed_at = now();
        let segment = draw(1);
        assert_eq!(
            steps(&overview().timeline),
            [
                "requestedms",
                "assigned 0@",
                "startedms",
                "committed 0@",
                "drawn 0:1@",
                "audited 0:1/1",
                "paid 0",
                "committed 1@",
                "drawn 1:1@"
            ]
        );
        let blocks: Vec<_> = overview().timeline.iter().filter_map(|entry| entry.block).collect();
        assert_eq!((blocks[0], blocks[3], blocks[4]), (assigned_at, committed_at, now()));
        assert_eq!(overview().timeline[2].unix_millis, Some(1_000));

        vote("//Provider1", segment, false);
        assert_eq!(steps(&overview().timeline).last().map(String::as_str), Some("disputed 1"));
        assert_eq!(overview().progress.open_disputes, 1);
        vote("//Provider1", segment, false);
        let after = [
            "requestedms",
            "former 0-0ms",
            "committed 0@",
            "drawn 0:1@",
            "audited 0:1/1",
            "paid 0",
            "handed over 1/1",
        ];
        assert_eq!(steps(&overview().timeline), after);
        assert_eq!(Runtime::open_jobs(None, 10).items[0].most, Some(4_800 * MILLI_ATT));

        assert_ok!(JobEscrow::accept_job(key("//Provider2"), JOB, 4 * ATT));
        assert_ok!(JobEscrow::start_job(key("//Provider2"), JOB));
        verify("//Provider2", 1);
        verify("//Provider2", 2);
        pallet_timestamp::Now::<Runtime>::put(9_000);
        assert_ok!(ProofOfTraining::submit_result(key("//Provider2"), JOB, H256::repeat_byte(3), 77));
        assert_eq!(overview().record, None);
        push();
        // The proofs are deleted with the job's end: what is left of the blocks is in the record.
        let ended = [
            "requestedms",
            "former 0-0ms",
            "committed 0",
            "paid 0",
            "handed over 1/1",
            "assigned 1@",
            "startedms",
            "committed 1",
            "paid 1",
            "committed 2",
            "paid 2",
            "submittedms",
            "Finalized@",
        ];
        assert_eq!(steps(&overview().timeline), ended);
        let record = overview().record.expect("a finalized job leaves a record");
        assert_eq!((record.ended_at, record.tranches, record.finalized_at), (9_000, 2, now()));
        assert_eq!(overview().timeline[11].unix_millis, Some(9_000));
        assert_eq!(Runtime::open_jobs(None, 10), Page::empty());

        let all = RecordFilter { customer: Some(account("//Customer")), provider: None, model: None };
        assert_eq!(Runtime::records(all.clone(), None, 10).items, [record]);
        assert_eq!(Runtime::records(all, Some(JOB), 10), Page::empty());
        System::set_block_number(now() + 100_000);
        assert_ok!(JobEscrow::prune_job(signed("//Eve"), JOB));
        assert_eq!(Runtime::job_overview(JOB), None);
    });
}

#[test]
fn a_job_that_is_called_off_under_audit_says_so_until_it_ends() {
    with_providers(|| {
        assert_ok!(JobEscrow::create_job(signed("//Customer"), quoted(), None));
        assert_ok!(JobEscrow::accept_job(key("//Provider1"), JOB, 5 * ATT));
        assert_ok!(JobEscrow::start_job(key("//Provider1"), JOB));
        commit("//Provider1", 0..2);
        assert_ok!(JobEscrow::cancel_job(signed("//Customer"), JOB));
        let last = || steps(&overview().timeline).pop();
        assert_eq!(last().as_deref(), Some("called off"));
        let segment = draw(0);
        let audit = overview().progress.milestones[0].audits[0].clone();
        assert_eq!((audit.segment, audit.auditors.len()), (segment, 1));
        vote("//Provider1", segment, true);
        assert_eq!(last().as_deref(), Some("Cancelled@"));
        assert_eq!(overview().info.closed_at, Some(now()));
        assert_eq!(overview().record, None);
    });
}

#[test]
fn open_jobs_are_those_that_wait_for_a_provider_and_come_in_pages() {
    with_providers(|| {
        for _ in 0..3 {
            assert_ok!(JobEscrow::create_job(signed("//Customer"), quoted(), None));
        }
        assert_ok!(JobEscrow::create_job(signed("//Customer2"), spec(), None));
        assert_ok!(JobEscrow::accept_job(key("//Provider1"), 1, ATT));
        let page = |before, limit| {
            let page = Runtime::open_jobs(before, limit);
            (page.items.iter().map(|info| info.job).collect::<Vec<_>>(), page.next)
        };
        assert_eq!(page(None, 2), (vec![3, 2], Some(2)));
        assert_eq!(page(Some(2), 2), (vec![0], None));
        assert_eq!(page(None, 10_000), (vec![3, 2, 0], None));
    });
}

#[test]
fn a_providers_overview_is_the_sum_of_its_views() {
    with_providers(|| {
        let provider = account("//Provider1");
        assert_eq!(Runtime::provider_overview(account("//Customer")), None);
        assert_ok!(ProviderStaking::bond_more(signed("//Provider1"), 50 * ATT));
        assert_ok!(ProviderStaking::unbond_self(signed("//Provider1"), 30 * ATT));
        let found = Runtime::provider_overview(provider.clone()).expect("it is registered");
        assert_eq!((found.pool.self_bond, found.pool.self_unbonding), (220 * ATT, 30 * ATT));
        assert_eq!(found.self_unbonding.chunks[0].worth, 30 * ATT);
        assert_eq!((found.slashes.len(), found.validator), (0, None));
        let page = Runtime::providers(Some(provider.clone()), 1);
        assert_eq!(page.items, [found.info]);
        assert_eq!(Runtime::providers(None, 100).items.len(), PROVIDERS.len());
    });
}

#[test]
fn an_account_sees_its_money_by_reason_and_its_stake_with_income_and_clock() {
    with_providers(|| {
        let (provider, dave) = (account("//Provider1"), account("//Dave"));
        assert_ok!(ProviderStaking::delegate(signed("//Dave"), provider.clone(), 100 * ATT));
        let shares = Delegations::<Runtime>::get(&provider, &dave).expect("he delegates").shares;
        assert_ok!(ProviderStaking::undelegate(signed("//Dave"), provider.clone(), shares / 4));
        let pool = ProviderStaking::pool_account_of(&provider);
        assert_ok!(Balances::mint_into(&pool, 11 * ATT));
        use attune_primitives::traits::Providers;
        assert_ok!(ProviderStaking::note_income(&provider, 11 * ATT, Permill::zero()));

        let found = Runtime::account_overview(dave.clone(), vec![]);
        let [stake] = &found.stakes[..] else { panic!("Dave has stake in one pool") };
        let delegation = stake.delegation.as_ref().expect("he delegates");
        assert_eq!((&stake.provider, delegation.worth), (&provider, 75 * ATT));
        assert_eq!(delegation.pending_income, ProviderStaking::pending_income(&provider, &dave));
        assert!(delegation.pending_income > 2 * ATT);
        let chunk = stake.unbonding.chunks[0];
        assert_eq!((chunk.worth, chunk.unlock_at), (25 * ATT, now() + chunk.blocks_left));
        assert_eq!((stake.unbonding.due, stake.unbonding.obstacle), (0, None));
        // Only the named pools are looked at.
        let other = Runtime::account_overview(dave.clone(), vec![account("//Provider2")]);
        assert!(other.stakes.is_empty());
        // Dave registered the model.
        let [hold] = &found.holds[..] else { panic!("there is one hold") };
        let reason = pallet_proof_of_training::HoldReason::ModelDeposit;
        assert_eq!(hold.reason, RuntimeHoldReason::ProofOfTraining(reason));
        assert_eq!((hold.amount, found.free), (found.reserved, Balances::free_balance(&dave)));
        assert_eq!((found.provider, found.operates), (None, None));

        let operator = Runtime::account_overview(account("//Provider1//operator"), vec![]);
        assert_eq!(operator.operates, Some(provider.clone()));
        let own = Runtime::account_overview(provider.clone(), vec![]);
        assert_eq!(own.provider.map(|info| info.provider), Some(provider));
        let nobody = Runtime::account_overview(AccountId::new([9; 32]), vec![]);
        assert_eq!((nobody.free, nobody.holds.len(), nobody.stakes.len()), (0, 0, 0));
    });
}

#[test]
fn a_conviction_freezes_the_clock_of_who_leaves() {
    with_providers(|| {
        let provider = account("//Provider1");
        assert_ok!(ProviderStaking::delegate(signed("//Dave"), provider.clone(), 100 * ATT));
        let shares = Delegations::<Runtime>::get(&provider, account("//Dave")).expect("he delegates").shares;
        assert_ok!(ProviderStaking::undelegate(signed("//Dave"), provider.clone(), shares));
        assert_ok!(JobEscrow::create_job(signed("//Customer"), quoted(), None));
        assert_ok!(JobEscrow::accept_job(key("//Provider1"), JOB, 5 * ATT));
        assert_ok!(JobEscrow::start_job(key("//Provider1"), JOB));
        push();
        let slashes = Runtime::provider_overview(provider).expect("it is registered").slashes;
        let until = slashes[0].pending.apply_at;
        let stakes = Runtime::account_overview(account("//Dave"), vec![]).stakes;
        assert_eq!(stakes[0].unbonding.obstacle, Some(Obstacle::SlashPending { until }));
    });
}

#[test]
fn the_books_of_pools_and_jobs_are_the_money_on_hold() {
    with_providers(|| {
        for name in ["//Customer", "//Customer2", "//Customer"] {
            assert_ok!(JobEscrow::create_job(signed(name), quoted(), None));
        }
        assert_ok!(JobEscrow::accept_job(key("//Provider1"), JOB, 5 * ATT));
        assert_ok!(JobEscrow::start_job(key("//Provider1"), JOB));
        verify("//Provider1", 0);
        let found = Runtime::solvency();
        assert_eq!((found.pools, found.booked, found.held), (6, 1_200 * ATT, 1_200 * ATT));
        assert_eq!(found.issuance, Balances::total_issuance());

        let (mut books, mut before) = (Vec::<EscrowBooks>::new(), None);
        loop {
            let page = Runtime::escrow_books(before, 2);
            books.extend(page.items);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(books.iter().map(|book| book.job).collect::<Vec<_>>(), [2, 1, 0]);
        for name in ["//Customer", "//Customer2"] {
            let own: Vec<_> = books.iter().filter(|book| book.funder == account(name)).collect();
            let escrow: Balance = own.iter().map(|book| book.booked_escrow).sum();
            let deposit: Balance = own.iter().map(|book| book.booked_deposit).sum();
            assert_eq!((escrow, deposit), (own[0].held_escrow, own[0].held_deposit));
            assert_eq!(escrow, on_hold(name, HoldReason::Escrow));
        }
    });
}

#[test]
fn a_pool_whose_money_is_gone_is_named() {
    chain("development").execute_with(|| {
        set_up();
        let provider = account("//Provider3");
        let pool = ProviderStaking::pool_account_of(&provider);
        let reason = pallet_provider_staking::HoldReason::Pool.into();
        let set = <Balances as frame_support::traits::fungible::UnbalancedHold<_>>::set_balance_on_hold;
        assert_ok!(set(&reason, &pool, 199 * ATT));
        let [pool] = &Runtime::solvency().differing[..] else { panic!("one pool is short") };
        assert_eq!((&pool.provider, pool.booked, pool.held), (&provider, 200 * ATT, 199 * ATT));
    });
}

#[test]
fn what_is_owed_is_in_the_account_and_in_the_books() {
    with_providers(|| {
        assert_ok!(JobEscrow::create_job(signed("//Customer"), quoted(), None));
        let provider = account("//Provider1");
        Owed::<Runtime>::insert(JOB, &provider, 7);
        let owed = Runtime::account_overview(provider.clone(), vec![]).owed.items;
        assert_eq!((owed.len(), owed[0].job, owed[0].amount), (1, JOB, 7));
        let books = Runtime::escrow_books(None, 1).items;
        assert_eq!(books[0].booked_escrow, books[0].held_escrow + 7, "this is on no hold: the books show it");
        assert_eq!(overview().money.owed, [(provider.clone(), 7)]);
        Owed::<Runtime>::remove(JOB, provider);
    });
}

#[test]
fn the_api_has_the_version_that_clients_ask_for() {
    use sp_api::RuntimeApiInfo;
    let id = <dyn crate::page_api::AttuneApi<crate::Block>>::ID;
    let found = crate::VERSION.apis.iter().find(|(api, _)| *api == id);
    assert_eq!(found.map(|(_, version)| *version), Some(1));
}

#[test]
fn a_record_counts_the_matches_of_its_audits() {
    with_providers(|| {
        assert_ok!(JobEscrow::create_job(signed("//Customer"), quoted(), None));
        assert_ok!(JobEscrow::accept_job(key("//Provider1"), JOB, 5 * ATT));
        assert_ok!(JobEscrow::start_job(key("//Provider1"), JOB));
        (0..3).for_each(|milestone| verify("//Provider1", milestone));
        assert_ok!(ProofOfTraining::submit_result(key("//Provider1"), JOB, H256::repeat_byte(3), 77));
        push();
        let audits = Records::<Runtime>::get(JOB).expect("it is finalized").audits;
        let matches = audits.iter().filter(|audit| audit.verdict == Some(Verdict::Match)).count();
        let record = overview().record.expect("it is finalized");
        assert_eq!((record.audits, record.matches), (3, 3));
        assert_eq!((audits.len(), matches), (3, 3));
    });
}
