//! What proxies may do for their principals, for every call of the runtime.

use super::emergency::{named, EVERY_CALL};
use crate::configs::convenience::ProxyType;
use frame_support::traits::InstanceFilter;
use std::collections::BTreeSet;

fn allowed(kind: ProxyType) -> BTreeSet<(&'static str, &'static str)> {
    EVERY_CALL.iter().filter(|call| kind.filter(call)).map(named).collect()
}

/// The whole pallets whose calls a proxy that must not spend may not make, and of ours those that spend or put at stake. A
/// call that is new is refused, and makes this test fail: decide whether it can bring free balance into other hands.
const REFUSED: &[(&str, &[&str])] = &[
    ("JobEscrow", &["create_job", "sponsor", "top_up"]),
    ("ProofOfTraining", &[]),
    // `cancel_slash` is governance's, `heartbeat` is signed inside.
    (
        "ProviderStaking",
        &["bond_more", "cancel_slash", "delegate", "heartbeat", "redelegate", "register", "set_operator"],
    ),
];

#[test]
fn a_proxy_that_must_not_spend_does_not_spend() {
    let allowed = allowed(ProxyType::NonTransfer);
    for (pallet, expected) in REFUSED {
        let of_pallet = EVERY_CALL.iter().map(named).filter(|(of, _)| of == pallet);
        let refused: Vec<_> =
            of_pallet.filter(|call| !allowed.contains(call)).map(|(_, name)| name).collect();
        assert_eq!(refused.iter().collect::<BTreeSet<_>>(), expected.iter().collect(), "{pallet}");
    }
    let pallets: BTreeSet<_> = allowed.iter().map(|(pallet, _)| *pallet).collect();
    let expected = [
        "JobEscrow",
        "Multisig",
        "ProofOfTraining",
        "ProviderStaking",
        "Proxy",
        "System",
        "Utility",
        "VoterList",
    ];
    assert_eq!(pallets, expected.into());
}

#[test]
fn a_kind_that_is_said_to_hold_another_allows_all_of_it() {
    let kinds = [ProxyType::Any, ProxyType::NonTransfer, ProxyType::Work];
    for (of, part) in kinds.iter().flat_map(|of| kinds.iter().map(move |part| (*of, *part))) {
        if of.is_superset(&part) {
            assert!(allowed(of).is_superset(&allowed(part)), "{of:?} and {part:?}");
        }
    }
}
