//! Which jobs a worker takes or bids for, and how many at once.

use attune_chain_client::{
    primitives::job::{ArithmeticMode, BaseFormat},
    types::BidInfo,
};

use super::*;

#[test]
fn an_open_job_that_fits_is_accepted_at_its_quote() {
    let chain = chain(job(JobState::Open));
    // 4 segments of 5 steps of 6 rows of 64 tokens, at a token a second and a planck a second.
    assert_eq!(price(&chain, &policy(), &chain.jobs[&JOB]), Some(4 * 5 * 6 * 64));
    assert_eq!(duties(&chain, &LocalView::default()), [Duty::Accept { job: JOB }]);
}

fn set_mode(chain: &mut ChainView, mode: ArithmeticMode) {
    chain.jobs.get_mut(&JOB).unwrap().job.spec.mode = mode;
}

fn class_exact(class: &str) -> ArithmeticMode {
    ArithmeticMode::ClassExact { class: class.as_bytes().to_vec().try_into().unwrap() }
}

#[test]
fn a_job_in_any_arithmetic_that_the_worker_computes_is_accepted() {
    let modes = [BaseFormat::W8, BaseFormat::W4].map(|base| ArithmeticMode::Exact { version: 1, base });
    for mode in modes.into_iter().chain([class_exact(CLASS)]) {
        let mut chain = chain(job(JobState::Open));
        set_mode(&mut chain, mode.clone());
        assert_eq!(duties(&chain, &LocalView::default()), [Duty::Accept { job: JOB }], "{mode:?}");
    }
}

#[test]
fn an_open_job_that_does_not_fit_is_left_alone() {
    let cases: Vec<(&str, Box<dyn Fn(&mut ChainView)>)> = vec![
        ("a profile without exact arithmetic", Box::new(|c| c.me.profile.exact_version = 0)),
        (
            "another version of exact arithmetic",
            Box::new(|c| {
                c.me.profile.exact_version = 2;
                set_mode(c, ArithmeticMode::Exact { version: 2, base: BaseFormat::W8 });
            }),
        ),
        (
            "another class than the profile's",
            Box::new(|c| {
                set_mode(c, class_exact(CLASS));
                c.me.profile.class = b"other".to_vec().try_into().unwrap();
            }),
        ),
        (
            "another class than the process is pinned to",
            Box::new(|c| {
                set_mode(c, class_exact("other"));
                c.me.profile.class = b"other".to_vec().try_into().unwrap();
            }),
        ),
        ("another engine", Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.spec.engine_version = 2)),
        ("a price below the quote", Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.escrow = 7_679)),
        (
            "another chosen provider",
            Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.spec.provider = Some(OTHER)),
        ),
        ("an own job", Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.customer = ME)),
        ("a job that it pays for", Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.funder = ME)),
        (
            "a job that its operator pays for",
            Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.funder = OPERATOR),
        ),
        (
            "a job that it had and may not have again",
            Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.excluded = vec![ME]),
        ),
        ("the operator's job", Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.customer = OPERATOR)),
        ("a provider that leaves", Box::new(|c| c.me.active = false)),
        ("a stake below the bond", Box::new(|c| c.me.pool.self_bond = 7_679)),
        ("a stake that backs other bonds", Box::new(|c| c.me.pool.locked = 992_321)),
        ("a deadline that is over", Box::new(|c| c.jobs.get_mut(&JOB).unwrap().job.deadline = 99)),
        (
            "a job of its own",
            Box::new(|c| {
                let mut other = job(JobState::Running);
                other.job.id = 4;
                c.jobs.insert(4, other);
            }),
        ),
    ];
    for (what, change) in cases {
        let mut chain = chain(job(JobState::Open));
        change(&mut chain);
        let found = reconcile(&chain, &LocalView::default(), &policy());
        assert!(!found.contains(&Duty::Accept { job: JOB }), "{what}: {found:?}");
    }
}

#[test]
fn a_worker_accepts_no_more_jobs_at_once_than_it_may_train() {
    let mut chain = chain(job(JobState::Open));
    for id in 6..10 {
        let mut other = job(JobState::Open);
        other.job.id = id;
        chain.jobs.insert(id, other);
    }
    // Late enough for this worker's turn at each of them.
    chain.now += MAX_ACCEPT_WAIT;
    for max_jobs in 0..=3 {
        let accepted = reconcile(&chain, &LocalView::default(), &Policy { max_jobs, ..policy() });
        assert_eq!(accepted.len(), max_jobs as usize);
    }
}

#[test]
fn workers_take_turns_at_accepting_unless_the_customer_chose() {
    let mut fresh = chain(job(JobState::Open));
    fresh.jobs.get_mut(&JOB).unwrap().job.deadline = 200;
    let mut other = fresh.clone();
    std::mem::swap(&mut other.me, &mut other.providers[1]);
    other.me = provider(OTHER, OTHER_OPERATOR);
    let first = [&fresh, &other].map(|chain| duties(chain, &LocalView::default()).len());
    assert_eq!(first.iter().sum::<usize>(), 1, "exactly one of two accepts at once");
    let view = fresh.jobs.get_mut(&JOB).unwrap();
    view.job.spec.provider = Some(ME);
    assert_eq!(duties(&fresh, &LocalView::default()), [Duty::Accept { job: JOB }]);
}

#[test]
fn in_a_bidding_window_one_bid_is_placed_and_never_a_second() {
    let bid = Duty::Bid { job: JOB };
    let mut bidding = chain(job(JobState::Bidding));
    assert_eq!(duties(&bidding, &LocalView::default()), [bid]);
    let view = bidding.jobs.get_mut(&JOB).unwrap();
    view.bids = vec![BidInfo { provider: ME, price: 9_999 }];
    assert_eq!(duties(&bidding, &LocalView::default()), [], "it has bid");
    bidding.jobs.get_mut(&JOB).unwrap().bids = vec![BidInfo { provider: OTHER, price: 1 }];
    assert_eq!(duties(&bidding, &LocalView::default()), [bid], "another one has");
    bidding.jobs.get_mut(&JOB).unwrap().job.escrow = 7_679;
    assert_eq!(duties(&bidding, &LocalView::default()), [], "its quote is above the maximum");
}

#[test]
fn a_bid_that_would_be_refused_for_lack_of_room_is_not_placed() {
    let bid = |number, price| BidInfo { provider: AttuneAccount([number; 32]), price };
    for (bids, places) in [
        (vec![bid(21, 7_681)], true),
        (vec![bid(21, 7_681), bid(22, 1)], true),
        (vec![bid(21, 7_680), bid(22, 1)], false),
        (vec![bid(21, 5), bid(22, 1)], false),
        (vec![bid(21, 5)], true),
    ] {
        let mut bidding = chain(job(JobState::Bidding));
        bidding.jobs.get_mut(&JOB).unwrap().bids = bids.clone();
        let found = duties(&bidding, &LocalView::default());
        assert_eq!(found.contains(&Duty::Bid { job: JOB }), places, "{bids:?}");
    }
}

#[test]
fn a_bid_counts_like_a_job_as_it_may_win() {
    let mut both = chain(job(JobState::Open));
    let mut other = job(JobState::Bidding);
    other.job.id = 4;
    other.bids = vec![BidInfo { provider: ME, price: 7_680 }];
    both.jobs.insert(4, other);
    assert_eq!(duties(&both, &LocalView::default()), []);
    both.jobs.get_mut(&4).unwrap().bids[0].provider = OTHER;
    assert_eq!(duties(&both, &LocalView::default()), [Duty::Bid { job: 4 }]);
}

#[test]
fn who_would_win_pushes_the_end_of_the_bidding_at_once() {
    let push = Duty::PushDeadline { job: JOB, deadline: 200 };
    let mut over = chain(job(JobState::Bidding));
    over.now = 201;
    for (first, second, pushes) in [(ME, OTHER, true), (OTHER, ME, false)] {
        over.jobs.get_mut(&JOB).unwrap().bids =
            vec![BidInfo { provider: first, price: 1 }, BidInfo { provider: second, price: 2 }];
        assert_eq!(duties(&over, &LocalView::default()).contains(&push), pushes);
    }
}
