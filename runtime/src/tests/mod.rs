//! Tests of the composition: each is named by the rule it holds.

mod constants;
mod election;
mod emergency;
mod events;
mod feeless;
mod fees;
mod genesis;
mod heartbeats;
mod jobs;
mod metadata;
mod proxies;
mod randomness;
mod timing;
mod weights;

use crate::{
    genesis::preset,
    metadata_hash::{CheckMetadataHash, Mode},
    payment::Payment,
    AccountId, Balance, Balances, Runtime, RuntimeCall, RuntimeGenesisConfig, System, TransactionExtensions,
};
use codec::Encode;
use frame_support::{
    dispatch::GetDispatchInfo,
    genesis_builder_helper::{build_state, get_preset},
    storage::with_transaction_unchecked,
    traits::fungible::Inspect,
};
use pallet_transaction_payment::ChargeTransactionPayment;
use serde_json::Value;
use sp_io::TestExternalities;
use sp_runtime::{
    generic::{CheckedExtrinsic, Era, ExtrinsicFormat},
    traits::Applyable,
    transaction_validity::{TransactionSource, TransactionValidity, TransactionValidityError},
    DispatchError, TransactionOutcome,
};

/// An endowed account's free balance at genesis.
const ENDOWMENT: Balance = crate::genesis::ENDOWMENT;

/// The full genesis of a preset: its patch merged into the default, as RFC 7386 says.
fn full_genesis(name: &str) -> Value {
    let default = get_preset::<RuntimeGenesisConfig>(&None, |_| None).expect("there is a default");
    let mut genesis = serde_json::from_slice(&default).expect("the default is JSON");
    let patch = preset(&name.into()).expect("the preset exists");
    merge(&mut genesis, serde_json::from_slice(&patch).expect("the preset is JSON"));
    genesis
}

/// Merges `patch` into `target`; a null deletes.
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

/// A chain at its genesis block.
fn chain(name: &str) -> TestExternalities {
    let genesis = full_genesis(name).to_string().into_bytes();
    let mut externalities = TestExternalities::new_empty();
    externalities
        .execute_with(|| build_state::<RuntimeGenesisConfig>(genesis))
        .expect("the preset builds its state");
    externalities
}

type Transaction = CheckedExtrinsic<AccountId, RuntimeCall, TransactionExtensions>;

/// A transaction of `who` with its next nonce, and its length.
fn transaction(who: &AccountId, call: RuntimeCall) -> (Transaction, usize) {
    let extensions = (
        frame_system::AuthorizeCall::new(),
        frame_system::CheckNonZeroSender::new(),
        frame_system::CheckSpecVersion::new(),
        frame_system::CheckTxVersion::new(),
        frame_system::CheckGenesis::new(),
        frame_system::CheckEra::from(Era::Immortal),
        frame_system::CheckNonce::from(System::account_nonce(who)),
        frame_system::CheckWeight::new(),
        Payment::from(ChargeTransactionPayment::from(0)),
        CheckMetadataHash { mode: Mode::Disabled },
        frame_system::WeightReclaim::new(),
    );
    let length = call.encoded_size();
    (CheckedExtrinsic { format: ExtrinsicFormat::Signed(who.clone(), extensions), function: call }, length)
}

/// What the pool of a node says of a transaction.
fn validate(who: &AccountId, call: RuntimeCall) -> TransactionValidity {
    let (transaction, length) = transaction(who, call);
    let info = transaction.get_dispatch_info();
    transaction.validate::<Runtime>(TransactionSource::External, &info, length)
}

/// Executes a transaction as a block does. Gives what became of its call, and what it cost besides.
fn send(
    who: &AccountId,
    call: RuntimeCall,
) -> Result<(Result<(), DispatchError>, Balance), TransactionValidityError> {
    let before = Balances::total_balance(who);
    let (transaction, length) = transaction(who, call);
    let info = transaction.get_dispatch_info();
    let applied = with_transaction_unchecked(|| match transaction.apply::<Runtime>(&info, length) {
        Ok(result) => TransactionOutcome::Commit(Ok(result)),
        Err(refused) => TransactionOutcome::Rollback(Err(refused)),
    })?;
    let outcome = applied.map(|_| ()).map_err(|failed| failed.error);
    Ok((outcome, before.saturating_sub(Balances::total_balance(who))))
}
