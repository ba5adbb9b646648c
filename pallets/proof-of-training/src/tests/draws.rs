//! Who and what is drawn, and when.

use attune_primitives::{traits::EpochRandomness, H256};
use frame_support::{assert_noop, assert_ok, dispatch::Pays};

use crate::{draw as rules, draw::Purpose, mock::*, Audits, Draws, Error, Event, SealsBefore};

/// A stranger draws, for nothing if it succeeds.
fn draw_call(milestone: u32) -> sp_runtime::DispatchResult {
    match Proofs::draw_audits(signed(STRANGER), JOB, milestone) {
        Ok(info) => {
            assert_eq!(info.pays_fee, Pays::No);
            Ok(())
        }
        Err(refused) => {
            assert_eq!(refused.post_info.pays_fee, Pays::Yes);
            Err(refused.error)
        }
    }
}

#[test]
fn a_draw_waits_for_randomness_from_an_epoch_after_the_commitment() {
    ExtBuilder::default().build_and_execute(|| {
        skip(10);
        commit_until(2);
        let committed_at = now();
        skip(100);
        assert_eq!(Beacon::latest(), None);
        assert_noop!(draw_call(0), Error::<Test>::RandomnessTooOld);
        for too_early in [0, committed_at - 1, committed_at, committed_at + MARGIN - 1] {
            Beacon::set(H256::repeat_byte(1), too_early);
            assert_noop!(draw_call(0), Error::<Test>::RandomnessTooOld);
        }
        Beacon::set(H256::repeat_byte(1), committed_at + MARGIN);
        assert_ok!(draw_call(0));
    });
}

#[test]
fn even_without_a_margin_the_epoch_must_begin_after_the_commitment() {
    ExtBuilder::default().build_and_execute(|| {
        FinalityMargin::set(&0);
        skip(10);
        commit_until(2);
        Beacon::set(H256::repeat_byte(1), now());
        assert_noop!(draw_call(0), Error::<Test>::RandomnessTooOld);
        Beacon::set(H256::repeat_byte(1), now() + 1);
        assert_ok!(draw_call(0));
    });
}

#[test]
fn a_provider_that_waits_for_a_better_draw_gets_the_same_one() {
    let drawn_after = |seals: u8| {
        ExtBuilder::default().spec(spec(&[16], 4, 2)).build().execute_with(|| {
            // One seal before the commitment, and one of the epoch that it is made in: neither draws.
            Beacon::set(H256::repeat_byte(90), now());
            commit_until(16);
            Beacon::set(H256::repeat_byte(91), now());
            let first = now() + MARGIN;
            for seal in 1..=seals {
                Beacon::set(H256::repeat_byte(seal), first + u32::from(seal));
            }
            assert_ok!(draw_call(0));
            let segments = Draws::<Test>::get(JOB, 0).expect("it was drawn, qed").segments.to_vec();
            (segments.clone(), segments.iter().map(|segment| waiting(*segment)).collect::<Vec<_>>())
        })
    };
    for later in 2..20 {
        assert_eq!(drawn_after(later), drawn_after(1));
    }
}

#[test]
fn a_milestone_that_an_earlier_runtime_took_in_is_drawn_with_the_latest_seal() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(2);
        SealsBefore::<Test>::remove(JOB);
        fresh_randomness(1);
        assert_ok!(draw_call(0));
    });
}

#[test]
fn a_draw_needs_the_whole_milestone_and_happens_once() {
    ExtBuilder::default().build_and_execute(|| {
        commit_until(1);
        fresh_randomness(1);
        assert_noop!(draw_call(0), Error::<Test>::MilestoneNotCommitted);
        commit_until(2);
        fresh_randomness(1);
        assert_noop!(draw_call(1), Error::<Test>::MilestoneNotCommitted);
        assert_noop!(draw_call(9), Error::<Test>::MilestoneNotCommitted);
        assert_ok!(draw_call(0));
        assert_noop!(draw_call(0), Error::<Test>::AlreadyDrawn);
    });
}

#[test]
fn the_same_randomness_draws_the_same() {
    let outcome = |byte: u8| {
        ExtBuilder::default().spec(spec(&[16], 4, 2)).build().execute_with(|| {
            commit_until(16);
            fresh_randomness(byte);
            assert_ok!(draw_call(0));
            let segments = Draws::<Test>::get(JOB, 0).expect("it was drawn, qed").segments.to_vec();
            let auditors: Vec<_> = segments.iter().map(|s| waiting(*s)).collect();
            (segments, auditors)
        })
    };
    assert_eq!(outcome(1), outcome(1));
    assert_ne!(outcome(1), outcome(2));
}

#[test]
fn a_draw_tells_its_segments_and_auditors() {
    ExtBuilder::default().spec(spec(&[4], 2, 2)).build_and_execute(|| {
        commit_until(4);
        let segments = draw(0);
        let auditors = segments.iter().flat_map(|s| waiting(*s).into_iter().map(|a| (*s, a))).collect();
        let deadline = now() + COMMIT_BLOCKS;
        System::assert_last_event(
            Event::AuditsDrawn { job: JOB, milestone: 0, segments, auditors, deadline }.into(),
        );
    });
}

#[test]
fn neither_provider_nor_customer_is_ever_drawn() {
    for byte in 0..40 {
        ExtBuilder::default().auditors(&[(20, 1)]).build_and_execute(|| {
            // The customer is a provider too, with nearly all stake, and so is one that it operates.
            Staking::add(CUSTOMER, operator(CUSTOMER), &class(), 1_000_000);
            Staking::add(21, CUSTOMER, &class(), 1_000_000);
            commit_until(2);
            fresh_randomness(byte);
            assert_ok!(draw_call(0));
            let segment = Draws::<Test>::get(JOB, 0).expect("it was drawn, qed").segments[0];
            assert_eq!(waiting(segment), vec![20]);
        });
    }
}

#[test]
fn only_active_providers_of_the_class_with_stake_are_drawn() {
    ExtBuilder::default().auditors(&[(20, 100), (21, 100), (22, 100), (23, 0)]).build_and_execute(|| {
        Staking::set_active(20, false);
        Staking::add(21, operator(21), &b"gpu".to_vec().try_into().expect("3 < 64, qed"), 100);
        commit_until(2);
        let segment = draw(0)[0];
        assert_eq!(waiting(segment), vec![22]);
    });
}

#[test]
fn a_draw_without_anybody_eligible_is_refused() {
    ExtBuilder::default().auditors(&[(23, 0)]).build_and_execute(|| {
        commit_until(2);
        fresh_randomness(1);
        assert_noop!(draw_call(0), Error::<Test>::NoEligibleAuditors);
    });
}

#[test]
fn drawn_segments_lie_in_their_milestone() {
    ExtBuilder::default().spec(spec(&[3, 5], 3, 1)).build_and_execute(|| {
        commit_until(8);
        assert_eq!(draw(0), vec![0, 1, 2]);
        let second = draw(1);
        assert!(second.iter().all(|segment| (3..8).contains(segment)), "{second:?}");
        assert!(second.iter().all(|segment| Audits::<Test>::contains_key(JOB, segment)));
    });
}

/// Fixed seeds, so the counts are the same in every run.
fn seeds(count: u64) -> impl Iterator<Item = H256> {
    (0..count).map(|i| rules::seed(H256::from_low_u64_be(i), JOB, Purpose::Segments { milestone: 0 }))
}

#[test]
fn segments_are_distinct_and_evenly_drawn() {
    let (draws, samples, range) = (6_000u64, 3u8, 10u32..20);
    let mut counts = [0u64; 10];
    for seed in seeds(draws) {
        let drawn = rules::segments(&seed, range.start, range.end, samples);
        assert_eq!(drawn.len(), usize::from(samples));
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]), "{drawn:?}");
        for segment in drawn {
            counts[usize::try_from(segment - range.start).expect("a small index, qed")] += 1;
        }
    }
    // Each is drawn with chance 3/10: expected 1800, standard deviation sqrt(6000 * 0.3 * 0.7) = 35.
    assert!(counts.iter().all(|count| count.abs_diff(1_800) < 5 * 35), "{counts:?}");
}

#[test]
fn all_segments_are_drawn_where_there_are_no_more() {
    for seed in seeds(10) {
        assert_eq!(rules::segments(&seed, 4, 7, 8), vec![4, 5, 6]);
        assert!(rules::segments(&seed, 4, 4, 8).is_empty());
    }
}

#[test]
fn auditors_are_distinct_and_drawn_by_stake() {
    let draws = 20_000u64;
    let stakes = [(1u64, 100u128), (2, 200), (3, 300), (4, 400)];
    let (mut first, mut both) = ([0u64; 5], [0u64; 5]);
    for seed in seeds(draws) {
        let drawn = rules::weighted(&seed, stakes.to_vec(), 2);
        assert!(drawn.len() == 2 && drawn[0] != drawn[1], "{drawn:?}");
        first[usize::try_from(drawn[0]).expect("a small index, qed")] += 1;
        for auditor in drawn {
            both[usize::try_from(auditor).expect("a small index, qed")] += 1;
        }
    }
    for (auditor, stake) in stakes {
        let place = usize::try_from(auditor).expect("a small index, qed");
        let share = |stake: u128| f64::from(u32::try_from(stake).expect("a small stake, qed")) / 1_000.0;
        let p = share(stake);
        // The second place is drawn among those who are left.
        let second: f64 = stakes
            .iter()
            .filter(|(other, _)| *other != auditor)
            .map(|(_, other)| share(*other) * p / (1.0 - share(*other)))
            .sum();
        for (count, chance) in [(first[place], p), (both[place], p + second)] {
            let deviation = (draws as f64 * chance * (1.0 - chance)).sqrt();
            let expected = draws as f64 * chance;
            assert!((count as f64 - expected).abs() < 5.0 * deviation, "{auditor}: {count}, not {expected}");
        }
    }
}

#[test]
fn nobody_without_stake_is_drawn_and_a_short_list_is_drawn_whole() {
    for seed in seeds(50) {
        let mut drawn = rules::weighted(&seed, vec![(1u64, 5), (2, 0), (3, u128::MAX / 2)], 5);
        drawn.sort_unstable();
        assert_eq!(drawn, vec![1, 3]);
    }
}

#[test]
fn draws_for_different_purposes_have_different_seeds() {
    let randomness = H256::repeat_byte(1);
    let purposes = [
        Purpose::Segments { milestone: 0 },
        Purpose::Segments { milestone: 1 },
        Purpose::Auditors { segment: 0, in_committee: false, redraws: 0 },
        Purpose::Auditors { segment: 0, in_committee: false, redraws: 1 },
        Purpose::Auditors { segment: 0, in_committee: true, redraws: 0 },
        Purpose::Auditors { segment: 1, in_committee: false, redraws: 0 },
    ];
    let mut seeds: Vec<_> = purposes.iter().map(|p| rules::seed(randomness, JOB, *p)).collect();
    seeds.push(rules::seed(randomness, JOB + 1, purposes[0]));
    seeds.push(rules::seed(H256::repeat_byte(2), JOB, purposes[0]));
    let distinct: std::collections::BTreeSet<_> = seeds.iter().collect();
    assert_eq!(distinct.len(), seeds.len());
}
