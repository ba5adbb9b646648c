//! Commission. A cut acts at once; a rise waits longer than unbonding takes, so that whoever doesn't want it is out,
//! money in hand, before it acts. Nothing runs when the time has come: whoever reads the commission reads the one of
//! that block.

use frame_support::pallet_prelude::*;
use sp_arithmetic::{traits::Saturating, Permill};

use crate::*;

impl<T: Config> Pallet<T> {
    pub(crate) fn do_set_commission(who: T::AccountId, commission: Permill) -> DispatchResult {
        let now = Self::now();
        let mut told = None;
        Self::change(&who, |provider| {
            provider.commission = provider.commission_at(now);
            let queued = provider.rise.take().filter(|rise| rise.from_block > now);
            let current = provider.commission;
            match queued {
                _ if commission < current => {
                    provider.commission = commission;
                    told = Some(Event::CommissionLowered { provider: who.clone(), commission });
                }
                Some(_) if commission == current => {
                    told = Some(Event::CommissionRiseCancelled { provider: who.clone() });
                }
                None if commission == current => return Err(Error::<T>::CommissionUnchanged.into()),
                // Less than was announced: no delegator needs more time for that.
                Some(rise) if commission < rise.to => {
                    provider.rise = Some(CommissionRise { to: commission, ..rise });
                }
                Some(_) => return Err(Error::<T>::CommissionRisePending.into()),
                None => {
                    let step = commission.saturating_sub(current);
                    ensure!(step <= T::MaxCommissionRise::get(), Error::<T>::CommissionRiseTooHigh);
                    let from_block = now
                        .checked_add(T::CommissionRiseDelay::get())
                        .ok_or(Error::<T>::ArithmeticOverflow)?;
                    provider.rise = Some(CommissionRise { to: commission, from_block });
                }
            }
            if let Some(CommissionRise { to, from_block }) = provider.rise {
                told = Some(Event::CommissionRiseQueued { provider: who.clone(), to, from_block });
            }
            Ok(())
        })?;
        if let Some(event) = told {
            Self::deposit_event(event);
        }
        Ok(())
    }
}
