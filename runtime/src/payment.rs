//! What a transaction pays: its fee, nothing, or it is not taken at all.
//!
//! **Nothing** is paid for a call that says so of itself (`feeless_if`): pushes that anyone may make, as long as they are
//! due. That is asked when a transaction is validated, in the pool and again just before it is executed, so that the
//! second of two copies in one block is charged.
//!
//! **Not taken** is a call that safe mode or a pause stops. When it is dispatched, where such calls are stopped anyhow, the
//! transaction is in a block, which is late for two reasons. Its sender would have paid for a call that could not do
//! anything. And a push that is due would stay due, so that a flood of failing copies would be free.
//!
//! Only the transaction's own call is looked at. What a batch, a proxy or a multisig wraps is stopped when it is
//! dispatched, and its sender pays, for pushes that are due, too.
//!
//! The first is what the SDK's `pallet-skip-feeless-payment` does. Its manifest puts it under another licence than its
//! files, and the second is needed with it.

use crate::{Runtime, RuntimeCall};
use codec::{Decode, DecodeWithMemTracking, Encode};
use core::fmt::{Debug, Formatter};
use frame_support::{
    dispatch::CheckIfFeeless,
    pallet_prelude::{TransactionSource, Weight},
    traits::OriginTrait,
    weights::RuntimeDbWeight,
};
use scale_info::{StaticTypeInfo, Type, TypeInfo};
use sp_runtime::{
    traits::{
        DispatchInfoOf, DispatchOriginOf, Implication, PostDispatchInfoOf, TransactionExtension,
        TransactionExtensionMetadata, ValidateResult,
    },
    transaction_validity::{InvalidTransaction, TransactionValidityError, ValidTransaction},
    DispatchResult,
};

/// What the filters read: how long safe mode lasts, and whether the call is paused.
const FILTER_READS: u64 = 2;

/// Refuses a transaction whose call is stopped, lets one that is free of fees pass, and leaves any other to `S`, which takes
/// the fee. To wallets it looks like `S` alone.
#[derive(Clone, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking)]
pub struct Payment<S>(pub S);

impl<S> From<S> for Payment<S> {
    fn from(payment: S) -> Self {
        Self(payment)
    }
}

impl<S: StaticTypeInfo> TypeInfo for Payment<S> {
    type Identity = S::Identity;

    fn type_info() -> Type {
        S::type_info()
    }
}

impl<S: Debug> Debug for Payment<S> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl<S: TransactionExtension<RuntimeCall>> TransactionExtension<RuntimeCall> for Payment<S> {
    type Implicit = S::Implicit;
    type Pre = Option<S::Pre>;
    type Val = Option<S::Val>;

    const IDENTIFIER: &'static str = S::IDENTIFIER;

    fn metadata() -> alloc::vec::Vec<TransactionExtensionMetadata> {
        S::metadata()
    }

    fn implicit(&self) -> Result<Self::Implicit, TransactionValidityError> {
        self.0.implicit()
    }

    fn weight(&self, call: &RuntimeCall) -> Weight {
        let database: RuntimeDbWeight = <Runtime as frame_system::Config>::DbWeight::get();
        self.0.weight(call).saturating_add(database.reads(FILTER_READS))
    }

    fn validate(
        &self,
        origin: DispatchOriginOf<RuntimeCall>,
        call: &RuntimeCall,
        info: &DispatchInfoOf<RuntimeCall>,
        len: usize,
        self_implicit: S::Implicit,
        inherited_implication: &impl Implication,
        source: TransactionSource,
    ) -> ValidateResult<Self::Val, RuntimeCall> {
        if !origin.filter_call(call) {
            return Err(InvalidTransaction::Call.into());
        }
        if call.is_feeless(&origin) {
            return Ok((ValidTransaction::default(), None, origin));
        }
        let (valid, val, origin) =
            self.0.validate(origin, call, info, len, self_implicit, inherited_implication, source)?;
        Ok((valid, Some(val), origin))
    }

    fn prepare(
        self,
        val: Self::Val,
        origin: &DispatchOriginOf<RuntimeCall>,
        call: &RuntimeCall,
        info: &DispatchInfoOf<RuntimeCall>,
        len: usize,
    ) -> Result<Self::Pre, TransactionValidityError> {
        val.map(|val| self.0.prepare(val, origin, call, info, len)).transpose()
    }

    fn post_dispatch_details(
        pre: Self::Pre,
        info: &DispatchInfoOf<RuntimeCall>,
        post_info: &PostDispatchInfoOf<RuntimeCall>,
        len: usize,
        result: &DispatchResult,
    ) -> Result<Weight, TransactionValidityError> {
        match pre {
            Some(pre) => S::post_dispatch_details(pre, info, post_info, len, result),
            None => Ok(Weight::zero()),
        }
    }
}
