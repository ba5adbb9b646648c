//! Generators of what the administrator does when something is wrong: safe mode, and pauses of single calls.

use super::{Work, OWN};
use crate::{accounts, draw::Draw};
use attune_runtime::{AccountId, Runtime, RuntimeCall};
use pallet_safe_mode::Call as SafeMode;
use pallet_tx_pause::{Call as TxPause, PausedCalls, RuntimeCallNameOf};

/// Somebody who may not. Rows of these calls are for root.
fn outsider() -> AccountId {
    accounts::account(accounts::STRANGER)
}

pub(super) fn force_enter(_: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    (outsider(), SafeMode::force_enter {}.into())
}

pub(super) fn force_extend(_: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    (outsider(), SafeMode::force_extend {}.into())
}

pub(super) fn force_exit(_: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    (outsider(), SafeMode::force_exit {}.into())
}

/// Pauses one of Attune's own calls, or what is none.
pub(super) fn pause(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let which = usize::from(draw.byte()) % OWN.len();
    let Work::Call(pallet, call, _) = OWN[which].work else { unreachable!("the table holds calls only") };
    let call = if draw.rarely(16) { "no_such_call" } else { call };
    (outsider(), TxPause::pause { full_name: full_name(pallet, call) }.into())
}

/// Lifts a pause, or none.
pub(super) fn unpause(draw: &mut Draw<'_>) -> (AccountId, RuntimeCall) {
    let paused: Vec<_> = PausedCalls::<Runtime>::iter_keys().collect();
    let ident = match paused.len() {
        0 => full_name("JobEscrow", "create_job"),
        count => paused[usize::from(draw.byte()) % count].clone(),
    };
    (outsider(), TxPause::unpause { ident }.into())
}

fn full_name(pallet: &str, call: &str) -> RuntimeCallNameOf<Runtime> {
    let bounded = |name: &str| name.as_bytes().to_vec().try_into().expect("names are short; qed");
    (bounded(pallet), bounded(call))
}
