//! What an account has, and what a provider is.

use super::{AccountOverview, Hold, ProviderOverview, Stake};
use crate::{AccountId, JobEscrow, ProviderStaking, Runtime, System, ValidatorElection};
use alloc::vec::Vec;
use attune_primitives::page::MAX_PAGE;
use frame_support::traits::Get;
use pallet_provider_staking::{Operators, OwedCompensation, ProviderIds};

pub(crate) fn provider_overview(provider: AccountId) -> Option<ProviderOverview> {
    Some(ProviderOverview {
        info: ProviderStaking::provider_info(provider.clone())?,
        pool: ProviderStaking::pool_info(provider.clone())?,
        self_unbonding: ProviderStaking::unbonding_clock(provider.clone(), provider.clone())?,
        slashes: ProviderStaking::slashes_of(provider.clone()),
        validator: ValidatorElection::view_validators().into_iter().find(|info| info.validator == provider),
    })
}

pub(crate) fn account_overview(account: AccountId, providers: Vec<AccountId>) -> AccountOverview {
    let data = System::account(&account).data;
    let holds = pallet_balances::Holds::<Runtime>::get(&account);
    // The registry is bounded, so that all of it can be looked at; whoever names more gets no more.
    let most: u32 = <Runtime as pallet_provider_staking::Config>::MaxProviders::get();
    let pools =
        if providers.is_empty() { ProviderIds::<Runtime>::get().into_inner() } else { providers }.into_iter();
    let pools = pools.take(usize::try_from(most).unwrap_or(usize::MAX));
    AccountOverview {
        free: data.free,
        reserved: data.reserved,
        frozen: data.frozen,
        holds: holds.into_iter().map(|hold| Hold { reason: hold.id, amount: hold.amount }).collect(),
        provider: ProviderStaking::provider_info(account.clone()),
        operates: Operators::<Runtime>::get(&account),
        stakes: pools.filter_map(|provider| stake(&account, provider)).collect(),
        owed: JobEscrow::view_owed(&account, None, MAX_PAGE),
    }
}

/// What `account` has in the pool of `provider`; `None` if nothing.
fn stake(account: &AccountId, provider: AccountId) -> Option<Stake> {
    let delegation = ProviderStaking::delegation_info(provider.clone(), account.clone());
    let unbonding = ProviderStaking::unbonding_clock(provider.clone(), account.clone())?;
    let owed_compensation = OwedCompensation::<Runtime>::get(&provider, account);
    let any = delegation.is_some() || !unbonding.chunks.is_empty() || owed_compensation > 0;
    any.then_some(Stake { provider, delegation, unbonding, owed_compensation })
}
