//! One call, dispatched and checked.

use crate::{invariants::wealth, logging, weights};
use attune_runtime::{
    metadata_hash::{CheckMetadataHash, Mode},
    payment::Payment,
    AccountId, Balances, Runtime, RuntimeCall, RuntimeOrigin, System, TransactionExtensions,
};
use codec::Encode;
use frame_support::{
    dispatch::{CheckIfFeeless, DispatchInfo, DispatchResultWithPostInfo, GetDispatchInfo, PostDispatchInfo},
    storage::with_transaction_unchecked,
    traits::OriginTrait,
    weights::Weight,
};
use frame_system::RawOrigin;
use pallet_transaction_payment::ChargeTransactionPayment;
use sp_core::H256;
use sp_runtime::{
    generic::{CheckedExtrinsic, Era, ExtrinsicFormat},
    traits::{Applyable, ExtensionVariant},
    transaction_validity::{InvalidTransaction, TransactionValidityError},
    DispatchError, StateVersion, TransactionOutcome,
};

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It did what it says.
    Done,
    /// It was dispatched and failed.
    Failed(DispatchError),
    /// The transaction never got into a block: its fee can't be paid.
    Refused(TransactionValidityError),
}

/// Who calls.
pub type Origin = RawOrigin<AccountId>;

/// Dispatches `call`, and checks what must hold for any call.
///
/// # Errors
/// Says which rule is broken.
pub(crate) fn attempt(
    origin: &Origin,
    call: RuntimeCall,
    pays_fees: bool,
    sampled: bool,
) -> Result<Outcome, String> {
    let push = matches!(origin, RawOrigin::Signed(_)).then(|| call.clone());
    let was_free = push.as_ref().is_some_and(|call| is_free(origin, call));
    let outcome = match origin {
        RawOrigin::Authorized => as_general_transaction(call, sampled),
        RawOrigin::Signed(who) if pays_fees => as_transaction(who, call),
        _ => bare(origin, call, sampled),
    }?;
    match (push.filter(|_| was_free), &outcome) {
        (Some(push), Outcome::Done) if is_free(origin, &push) => {
            Err("a call that costs nothing as it is due is still due when it is done".into())
        }
        (Some(_), Outcome::Failed(error)) => {
            Err(format!("a call that costs nothing as it is due has failed: {error:?}"))
        }
        _ => Ok(outcome),
    }
}

/// True if `origin` would pay nothing for a transaction with this call now.
fn is_free(origin: &Origin, call: &RuntimeCall) -> bool {
    let origin = RuntimeOrigin::from(origin.clone());
    origin.filter_call(call) && call.is_feeless(&origin)
}

/// Dispatches without transaction extensions. A call that fails must leave everything as it was.
fn bare(origin: &Origin, call: RuntimeCall, sampled: bool) -> Result<Outcome, String> {
    let info = call.get_dispatch_info();
    let root_before = sampled.then(state_root);
    let caller = match origin {
        RawOrigin::Signed(who) => Some((who.clone(), wealth(who))),
        _ => None,
    };
    let result = weights::dispatch(call, origin.clone().into())?;
    check_defensive()?;
    check_weight(&result, info.call_weight)?;
    if result.is_err() {
        if let Some((who, before)) = caller {
            let after = wealth(&who);
            if after != before {
                return Err(format!(
                    "a failed call changed the caller's balance from {before:?} to {after:?}"
                ));
            }
        }
        if root_before.is_some_and(|before| before != state_root()) {
            return Err("a failed call changed the state".into());
        }
    }
    Ok(outcome(result))
}

/// Dispatches as the executive does with a transaction whose signature it has verified. A call that fails must cost its
/// sender the fee and nothing else.
fn as_transaction(who: &AccountId, call: RuntimeCall) -> Result<Outcome, String> {
    rehearse(&RawOrigin::Signed(who.clone()), &call)?;
    let encoded = call.encode();
    let nonce = System::account_nonce(who);
    let mut before = wealth(who);
    let apply = |call: RuntimeCall| {
        let checked: CheckedExtrinsic<AccountId, RuntimeCall, TransactionExtensions> = CheckedExtrinsic {
            format: ExtrinsicFormat::Signed(who.clone(), extensions(nonce)),
            function: call,
        };
        let info: DispatchInfo = checked.get_dispatch_info();
        // As a block's author does: what a transaction that is turned away wrote on the way is forgotten.
        let applied = with_transaction_unchecked(|| match checked.apply::<Runtime>(&info, encoded.len()) {
            Ok(result) => TransactionOutcome::Commit(Ok(result)),
            Err(error) => TransactionOutcome::Rollback(Err(error)),
        });
        (info, applied)
    };
    let (mut info, mut applied) = apply(call.clone());
    let full = TransactionValidityError::Invalid(InvalidTransaction::ExhaustsResources);
    if applied.as_ref().err() == Some(&full) {
        // The first block of an epoch takes no ordinary transaction, so the one after it is tried, too.
        for _ in 0..2 {
            crate::chain::advance(1, 0);
            // A block may pay its sender a reward.
            before = wealth(who);
            (info, applied) = apply(call.clone());
            if applied.as_ref().err() != Some(&full) {
                break;
            }
        }
    }
    check_defensive()?;
    let result = match applied {
        Ok(result) => result,
        Err(error) => return Ok(Outcome::Refused(error)),
    };
    System::note_extrinsic(encoded);
    System::note_applied_extrinsic(&result, info);
    check_weight(&result, info.total_weight())?;
    let ((free_before, reserved_before), (free, reserved)) = (before, wealth(who));
    // The author of the block may be the sender: it gets its fee back.
    if result.is_err() && (free > free_before || reserved != reserved_before) {
        return Err(format!(
            "a failed transaction changed its sender's balance from {:?} to {:?}",
            (free_before, reserved_before),
            (free, reserved)
        ));
    }
    Ok(outcome(result))
}

/// Dispatches as the executive does with a transaction that nobody has signed: the call has to authorise itself. It costs
/// nobody anything, and what is refused changes nothing.
fn as_general_transaction(call: RuntimeCall, sampled: bool) -> Result<Outcome, String> {
    if weights::authorize(&call)? {
        rehearse(&RawOrigin::Authorized, &call)?;
    }
    let encoded = call.encode();
    let (root_before, issued) = (sampled.then(state_root), Balances::total_issuance());
    let checked: CheckedExtrinsic<AccountId, RuntimeCall, TransactionExtensions> = CheckedExtrinsic {
        format: ExtrinsicFormat::General(ExtensionVariant::V0(extensions(0))),
        function: call,
    };
    let info: DispatchInfo = checked.get_dispatch_info();
    let applied = with_transaction_unchecked(|| match checked.apply::<Runtime>(&info, encoded.len()) {
        Ok(result) => TransactionOutcome::Commit(Ok(result)),
        Err(error) => TransactionOutcome::Rollback(Err(error)),
    });
    check_defensive()?;
    if Balances::total_issuance() != issued {
        return Err("a transaction that nobody pays for made or burned money".into());
    }
    let result = match applied {
        Ok(result) => result,
        Err(_) if root_before.is_some_and(|before| before != state_root()) => {
            return Err("a refused transaction changed the state".into())
        }
        Err(error) => return Ok(Outcome::Refused(error)),
    };
    System::note_extrinsic(encoded);
    System::note_applied_extrinsic(&result, info);
    check_weight(&result, info.total_weight())?;
    // Whoever is authorised was looked at with the state in which the call is dispatched.
    match outcome(result) {
        Outcome::Failed(error) => Err(format!("a call that was authorised failed: {error:?}")),
        outcome => Ok(outcome),
    }
}

/// Dispatches without transaction extensions, which touch keys of their own, compares what the call touches with its
/// weight, and forgets it.
fn rehearse(origin: &Origin, call: &RuntimeCall) -> Result<(), String> {
    with_transaction_unchecked(|| {
        TransactionOutcome::Rollback(weights::dispatch(call.clone(), origin.clone().into()).map(|_| ()))
    })
}

/// What a transaction signs besides its call.
fn extensions(nonce: u32) -> TransactionExtensions {
    (
        frame_system::AuthorizeCall::new(),
        frame_system::CheckNonZeroSender::new(),
        frame_system::CheckSpecVersion::new(),
        frame_system::CheckTxVersion::new(),
        frame_system::CheckGenesis::new(),
        frame_system::CheckEra::from(Era::Immortal),
        frame_system::CheckNonce::from(nonce),
        frame_system::CheckWeight::new(),
        Payment::from(ChargeTransactionPayment::from(0)),
        CheckMetadataHash { mode: Mode::Disabled },
        frame_system::WeightReclaim::new(),
    )
}

fn outcome(result: DispatchResultWithPostInfo) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(failed) => Outcome::Failed(failed.error),
    }
}

fn check_weight(result: &DispatchResultWithPostInfo, declared: Weight) -> Result<(), String> {
    let post: &PostDispatchInfo = match result {
        Ok(post) => post,
        Err(failed) => &failed.post_info,
    };
    match post.actual_weight {
        Some(actual) if actual.any_gt(declared) => {
            Err(format!("the actual weight {actual:?} is above the declared one {declared:?}"))
        }
        _ => Ok(()),
    }
}

fn check_defensive() -> Result<(), String> {
    logging::take().map_or(Ok(()), |said| Err(format!("code that can't be reached was reached: {said}")))
}

/// A fingerprint of the whole state.
pub(crate) fn state_root() -> H256 {
    let root = sp_io::storage::root(StateVersion::V1);
    H256::from_slice(&root)
}
