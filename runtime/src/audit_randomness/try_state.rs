//! What has to hold after every block.

use super::*;
use frame_support::ensure;
use sp_runtime::TryRuntimeError;

impl<T: Config> Pallet<T> {
    /// Checks the history of seals.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        let (oldest, count) = (OldestSeal::<T>::get(), SealCount::<T>::get());
        let length = count.checked_sub(oldest).ok_or("the oldest seal is one that is yet to come")?;
        let starts = (oldest..count).map(|index| Seals::<T>::get(index).map(|(_, start)| start));
        ensure!(starts.clone().all(|start| start.is_some()), "a seal is missing between those that are kept");
        ensure!(starts.is_sorted_by(|one, next| one < next), "seals are not in the order of their epochs");
        let kept = Seals::<T>::iter_keys().count();
        ensure!(u32::try_from(kept) == Ok(length), "a seal is kept that was to be forgotten");
        // An earlier runtime sealed and did not count.
        let latest = count.checked_sub(1).and_then(Seals::<T>::get);
        ensure!(
            latest.is_none() || latest == Sealed::<T>::get(),
            "the latest seal is not the last of the history"
        );
        Ok(())
    }
}
