//! Plans from wishes: numbers, choices and refusals.

use super::*;
use attune_chain_client::{
    types::{PoolInfo, Reputation},
    H256,
};
use attune_primitives::{
    job::BaseFormat,
    provider::{Hardware, ProviderProfile},
};
use money::ATT;

fn provider(number: u8, class: &str, price_per_hour: Balance, tokens_per_second: u32) -> ProviderInfo {
    let bounded = |text: &str| text.as_bytes().to_vec().try_into().unwrap();
    ProviderInfo {
        account: AccountId::from([number; 32]),
        profile: ProviderProfile {
            name: bounded("p"),
            endpoint: b"http://127.0.0.1:1".to_vec().try_into().unwrap(),
            class: bounded(class),
            exact_version: 1,
            hardware: Hardware { model: bounded("cpu"), accelerators: 0, memory_mib: 8_192 },
            price_per_gpu_hour: price_per_hour,
            tokens_per_second,
        },
        commission_ppm: 0,
        operator: AccountId::from([number + 100; 32]),
        commission_rise: None,
        active: true,
        chilled: false,
        absent_since: None,
        reputation: Reputation::default(),
        registered_at: 0,
        pool: PoolInfo::default(),
    }
}

fn wishes() -> Wishes {
    Wishes {
        method: Method::Lora { rank: 8, alpha: 16, rank_stabilised: false },
        learning_rate_nano: 1_000_000,
        schedule: Schedule::Cosine,
        warmup_steps: None,
        micro_batch_rows: 4,
        gradient_accumulation: 1,
        max_gradient_norm_micro: 1_000_000,
        weight_decay_micro: 0,
        length: Length::Epochs(2.0),
        milestones: 3,
        segments: 2,
        samples: 1,
        auditors: 2,
        seed: 1,
        theme: "test".into(),
        max_price: None,
        audit_fee: None,
        arithmetic: Wanted::Exact(BaseFormat::W8),
        provider: None,
        sponsor: None,
        bidding_blocks: 0,
        open_blocks: None,
        start_blocks: None,
        milestone_blocks: None,
    }
}

fn constants() -> Constants {
    Constants {
        job_deposit: 7,
        min_audit_fee: 5,
        max_phase_blocks: 10_000,
        max_bond_multiple: 10,
        min_bond_share_ppm: 500_000,
        committee_reserve: 3,
        challenge_window: 5,
        finality_margin: 2,
        max_handovers: 3,
        ..Constants::default()
    }
}

fn make(wishes: &Wishes, providers: &[ProviderInfo]) -> Result<Plan> {
    let data = DataSpec {
        root: H256([1; 32]),
        bytes: 1,
        tokens: 900,
        rows: 100,
        held_out_rows: 1,
        sequence_length: 10,
    };
    let chain = ChainIdentity {
        name: "x".into(),
        chain_type: "Local".into(),
        genesis: H256([0; 32]),
        block_millis: 2_000,
        epoch_slots: 10,
    };
    plan(wishes, 0, data, providers, &constants(), &chain)
}

#[test]
fn the_whole_is_trained_in_equal_segments_at_least_as_long_as_wished() {
    let found = make(&wishes(), &[provider(1, "a", ATT, 100), provider(2, "a", ATT, 100)]).unwrap();
    // 2 epochs of 100 rows, 4 rows a step: 50 steps, in 6 segments: 9 each.
    assert_eq!((found.spec.steps_per_segment, found.steps), (9, 54));
    assert_eq!(found.tokens, 54 * 4 * 10);
    let shares: Vec<u32> = found.spec.milestones.iter().map(|m| m.share.deconstruct()).collect();
    assert_eq!(shares, [333_333, 333_333, 333_334]);
}

#[test]
fn the_price_is_the_time_at_the_advertised_speed() {
    let found =
        make(&wishes(), &[provider(1, "a", 3_600 * ATT, 100), provider(2, "a", 7_200 * ATT, 200)]).unwrap();
    // 2,160 tokens: 21.6 s at 100 a second, half of that at 200.
    assert_eq!((found.quotes[0].price, found.quotes[0].seconds), (ATT * 216 / 10, 11));
    assert_eq!((found.quotes[1].price, found.quotes[1].seconds), (ATT * 216 / 10, 22));
    assert_eq!(found.spec.max_price, ATT * 27);
    assert_eq!(found.spec.audit_fee, ATT * 36 / 10, "a sixth of the price for one of six segments");
    // 3 milestones of 1 sample by 2 auditors, and 3 more audits in reserve for each milestone.
    assert_eq!(found.audit_budget, found.spec.audit_fee * (6 + 9));
    assert_eq!(found.held().unwrap(), found.spec.max_price + found.audit_budget + 7);
}

#[test]
fn the_class_with_most_providers_is_taken() {
    let providers = [
        provider(1, "a", ATT, 1),
        provider(2, "b", ATT, 1),
        provider(3, "b", ATT, 1),
        provider(4, "c", ATT, 1),
    ];
    let of_class =
        |class: Option<&str>| Wishes { arithmetic: Wanted::Class(class.map(str::to_string)), ..wishes() };
    let found = make(&of_class(None), &providers).unwrap();
    assert_eq!(found.spec.mode, ArithmeticMode::ClassExact { class: b"b".to_vec().try_into().unwrap() });
    assert_eq!(found.quotes.len(), 2, "only providers of the class are asked");
    let error = make(&of_class(Some("a")), &providers).unwrap_err().to_string();
    assert!(error.contains("class-exact, a is computed by 1 of 4 provider(s)"), "{error}");
    assert!(error.contains("b (2)"), "{error}");
    let chosen = Wishes { provider: Some(AccountId::from([4; 32])), ..of_class(Some("b")) };
    let error = make(&chosen, &providers).unwrap_err().to_string();
    assert!(error.contains("p doesn't compute class-exact, b; it is of class c"), "{error}");
    assert!(make(&wishes(), &[]).unwrap_err().to_string().contains("no provider is registered"));
}

#[test]
fn in_exact_arithmetic_providers_of_all_classes_quote() {
    let mut providers = [provider(1, "a", ATT, 1), provider(2, "b", ATT, 1), provider(3, "c", ATT, 1)];
    let found = make(&wishes(), &providers).unwrap();
    assert_eq!(found.spec.mode, ArithmeticMode::Exact { version: 1, base: BaseFormat::W8 });
    assert_eq!(found.quotes.len(), 3);
    providers[0].profile.exact_version = 0;
    assert_eq!(make(&wishes(), &providers).unwrap().quotes.len(), 2);
    providers[1].profile.exact_version = 2;
    let error = make(&wishes(), &providers).unwrap_err().to_string();
    assert!(error.contains("exact AX-1, 8-bit base is computed by 1 of 3 provider(s)"), "{error}");
    assert!(error.contains("--arithmetic class") && error.contains("a (1), b (1), c (1)"), "{error}");
}

#[test]
fn the_story_says_who_pays_and_what_happens_on_a_handover() {
    let two = [provider(1, "a", ATT, 1), provider(2, "a", ATT, 1)];
    let story = money_story(&make(&wishes(), &two).unwrap());
    assert!(story.contains("held on your own account"), "{story}");
    assert!(story.contains("the first provider at or under the maximum"), "{story}");
    assert!(story.contains("at most 3 times, for what is still held"), "{story}");
    let sponsored = Wishes { sponsor: Some(AccountId::from([8; 32])), bidding_blocks: 9, ..wishes() };
    let plan = make(&sponsored, &two).unwrap();
    assert_eq!(plan.spec.timing.bidding_blocks, 9);
    let story = money_story(&plan);
    assert!(story.contains(&format!("{}'s account, who pays for you", AccountId::from([8; 32]))), "{story}");
    assert!(story.contains("providers bid for 9 blocks"), "{story}");
    let chosen = Wishes { provider: Some(AccountId::from([1; 32])), ..wishes() };
    let story = money_story(&make(&chosen, &two).unwrap());
    assert!(story.contains("you chose the provider: if it fails, the job ends"), "{story}");
}

#[test]
fn wishes_out_of_range_are_named() {
    let two = [provider(1, "a", ATT, 1), provider(2, "a", ATT, 1)];
    for (wishes, part) in [
        (Wishes { milestones: 17, ..wishes() }, "--milestones is 17; expected 1 to 16"),
        (Wishes { segments: 0, ..wishes() }, "--segments is 0"),
        (Wishes { samples: 3, ..wishes() }, "--samples is above --segments"),
        (Wishes { micro_batch_rows: 0, ..wishes() }, "--batch"),
        (Wishes { length: Length::Epochs(-1.0), ..wishes() }, "steps; expected more than 0"),
        (Wishes { audit_fee: Some(4), ..wishes() }, "--audit-fee is 0.000000000004 ATT, below the least"),
        (Wishes { theme: "x".repeat(65), ..wishes() }, "--theme has 65 bytes"),
        (Wishes { provider: Some(AccountId::from([9; 32])), ..wishes() }, "is not a registered provider"),
        (
            Wishes { provider: Some(AccountId::from([1; 32])), bidding_blocks: 5, ..wishes() },
            "--bidding-blocks has no sense with --provider",
        ),
    ] {
        let error = make(&wishes, &two).expect_err(part).to_string();
        assert!(error.contains(part), "expected {part:?} in {error:?}");
    }
}
