//! A transaction whose call is stopped is not taken.
//!
//! Safe mode and pauses stop calls when they are dispatched, and by then a transaction is in a block. That is late for
//! two reasons. Its sender would have paid for a call that could not do anything. And a call that is free of fees because
//! it is due would stay due when it is stopped, so that a flood of copies would be free: [`RefuseStopped`] is what makes
//! it safe to pause such a call.
//!
//! Only the transaction's own call is looked at. What a batch, a proxy or a multisig wraps is stopped when it is
//! dispatched, and its sender pays.

use crate::{Runtime, RuntimeCall};
use codec::{Decode, DecodeWithMemTracking, Encode};
use core::fmt::{Debug, Formatter};
use frame_support::{
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
    transaction_validity::{InvalidTransaction, TransactionValidityError},
    DispatchResult,
};

/// What the filters read: how long safe mode lasts, and whether the call is paused.
const FILTER_READS: u64 = 2;

/// Refuses a transaction whose call is stopped, and leaves any other to `S`, which is the payment. To wallets it looks
/// like `S` alone.
#[derive(Clone, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking)]
pub struct RefuseStopped<S>(pub S);

impl<S> From<S> for RefuseStopped<S> {
    fn from(payment: S) -> Self {
        Self(payment)
    }
}

impl<S: StaticTypeInfo> TypeInfo for RefuseStopped<S> {
    type Identity = S::Identity;

    fn type_info() -> Type {
        S::type_info()
    }
}

impl<S: Debug> Debug for RefuseStopped<S> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl<S: TransactionExtension<RuntimeCall>> TransactionExtension<RuntimeCall> for RefuseStopped<S> {
    type Implicit = S::Implicit;
    type Pre = S::Pre;
    type Val = S::Val;

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
        self.0.validate(origin, call, info, len, self_implicit, inherited_implication, source)
    }

    fn prepare(
        self,
        val: Self::Val,
        origin: &DispatchOriginOf<RuntimeCall>,
        call: &RuntimeCall,
        info: &DispatchInfoOf<RuntimeCall>,
        len: usize,
    ) -> Result<Self::Pre, TransactionValidityError> {
        self.0.prepare(val, origin, call, info, len)
    }

    fn post_dispatch_details(
        pre: Self::Pre,
        info: &DispatchInfoOf<RuntimeCall>,
        post_info: &PostDispatchInfoOf<RuntimeCall>,
        len: usize,
        result: &DispatchResult,
    ) -> Result<Weight, TransactionValidityError> {
        S::post_dispatch_details(pre, info, post_info, len, result)
    }
}
