//! How what is stored came to be what it is. Each change of a stored type is a migration here, which the runtime lists
//! under its multi-block migrations; once every network has it behind it, it can go.
//!
//! While one runs there are no transactions and no `on_poll`, but the hooks that every block needs go on: what they read of
//! the entries that are still to be translated is read in its old form ([`v2::status_before`]).

pub mod v2 {
    //! From version 1 to 2: heartbeats. [`crate::Provider`] gets two counters and its presence.

    use core::marker::PhantomData;

    use attune_primitives::{provider::ProviderProfile, Balance, BlockNumber};
    use codec::DecodeAll;
    use frame_support::{
        defensive,
        migrations::{MigrationId, SteppedMigration, SteppedMigrationError},
        pallet_prelude::*,
        storage::{unhashed, StoragePrefixedMap},
        weights::WeightMeter,
    };
    use sp_arithmetic::Permill;

    use crate::{CommissionRise, Config, Pallet, Presence, Providers, Status, WeightInfo, GRACE_PERIODS};

    /// Names the migration among those of all pallets.
    const NAME: &[u8; 23] = b"pallet-provider-staking";

    /// [`crate::Reputation`] as version 1 stored it.
    #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
    pub struct OldReputation {
        pub(crate) jobs_finished: u32,
        pub(crate) jobs_failed: u32,
        pub(crate) audits_answered: u32,
        pub(crate) audits_missed: u32,
        pub(crate) audits_overruled: u32,
    }

    /// [`crate::Provider`] as version 1 stored it.
    #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
    pub struct OldProvider<AccountId> {
        pub(crate) profile: ProviderProfile,
        pub(crate) commission: Permill,
        pub(crate) rise: Option<CommissionRise>,
        pub(crate) operator: AccountId,
        pub(crate) status: Status,
        pub(crate) reputation: OldReputation,
        pub(crate) registered_at: BlockNumber,
        pub(crate) deposit: Balance,
    }

    impl<AccountId> OldProvider<AccountId> {
        /// The provider in its new form, asked for heartbeats from period `due_from` on.
        fn translate(self, due_from: u32) -> crate::Provider<AccountId> {
            let Self { profile, commission, rise, operator, status, reputation, registered_at, deposit } =
                self;
            crate::Provider {
                profile,
                commission,
                rise,
                operator,
                status,
                reputation: crate::Reputation {
                    jobs_finished: reputation.jobs_finished,
                    jobs_failed: reputation.jobs_failed,
                    audits_answered: reputation.audits_answered,
                    audits_missed: reputation.audits_missed,
                    audits_overruled: reputation.audits_overruled,
                    heartbeats_answered: 0,
                    heartbeats_missed: 0,
                },
                presence: Presence { due_from, absent_since: None },
                registered_at,
                deposit,
            }
        }
    }

    #[cfg(any(test, feature = "runtime-benchmarks"))]
    impl<AccountId> From<crate::Provider<AccountId>> for OldProvider<AccountId> {
        fn from(new: crate::Provider<AccountId>) -> Self {
            let crate::Provider { profile, commission, rise, operator, status, reputation, .. } = new;
            let (registered_at, deposit) = (new.registered_at, new.deposit);
            let reputation = OldReputation {
                jobs_finished: reputation.jobs_finished,
                jobs_failed: reputation.jobs_failed,
                audits_answered: reputation.audits_answered,
                audits_missed: reputation.audits_missed,
                audits_overruled: reputation.audits_overruled,
            };
            Self { profile, commission, rise, operator, status, reputation, registered_at, deposit }
        }
    }

    /// An entry that is stored in the old form. The new one is longer, so that neither can be taken for the other.
    fn old<T: Config>(provider: &T::AccountId) -> Option<OldProvider<T::AccountId>> {
        let bytes = unhashed::get_raw(&Providers::<T>::hashed_key_for(provider))?;
        OldProvider::decode_all(&mut bytes.as_slice()).ok()
    }

    /// The status of a provider that is not translated yet, for hooks that run in the meantime: an election in which the
    /// others alone could be chosen would be a wrong one.
    pub(crate) fn status_before<T: Config>(provider: &T::AccountId) -> Option<Status> {
        old::<T>(provider).map(|stored| stored.status)
    }

    /// Translates the providers, as many in a step as the weight allows, in the order of their keys. The cursor is the
    /// provider that was translated last. An entry that is in its new form already is left as it is.
    ///
    /// Nobody is asked for a heartbeat in the period in which this happens and in the [`GRACE_PERIODS`] after it.
    pub struct AddHeartbeats<T>(PhantomData<T>);

    impl<T: Config> AddHeartbeats<T> {
        fn translate(provider: &T::AccountId) {
            if let Some(stored) = old::<T>(provider) {
                let due_from = Pallet::<T>::next_period().saturating_add(GRACE_PERIODS);
                Providers::<T>::insert(provider, stored.translate(due_from));
            } else if Providers::<T>::get(provider).is_none() {
                defensive!("a provider is stored in the form of version 1 or of version 2");
            }
        }

        /// What is there before the migration.
        #[cfg(any(test, feature = "try-runtime"))]
        pub(crate) fn before() -> alloc::vec::Vec<(T::AccountId, OldProvider<T::AccountId>)> {
            Providers::<T>::iter_keys().filter_map(|who| old::<T>(&who).map(|stored| (who, stored))).collect()
        }

        /// Compares what is there after the migration with what was there before it.
        #[cfg(any(test, feature = "try-runtime"))]
        pub(crate) fn compare(
            before: alloc::vec::Vec<(T::AccountId, OldProvider<T::AccountId>)>,
        ) -> Result<(), sp_runtime::TryRuntimeError> {
            ensure!(StorageVersion::get::<Pallet<T>>() == 2, "the storage version is not 2");
            for (who, stored) in before {
                let found = Providers::<T>::get(&who).ok_or("a provider is lost")?;
                let expected = stored.translate(found.presence.due_from);
                ensure!(found == expected, "a provider is not what it was");
            }
            ensure!(
                Providers::<T>::iter_keys()
                    .all(|who| Providers::<T>::contains_key(&who) && old::<T>(&who).is_none()),
                "a provider was not translated"
            );
            Ok(())
        }
    }

    impl<T: Config> SteppedMigration for AddHeartbeats<T> {
        type Cursor = T::AccountId;
        type Identifier = MigrationId<23>;

        fn id() -> Self::Identifier {
            MigrationId { pallet_id: *NAME, version_from: 1, version_to: 2 }
        }

        /// A step translates one provider at least, and the last may find none.
        fn max_steps() -> Option<u32> {
            Some(T::MaxProviders::get().saturating_add(1))
        }

        fn migrating_prefixes() -> Option<impl IntoIterator<Item = alloc::vec::Vec<u8>>> {
            Some([Providers::<T>::final_prefix().to_vec()])
        }

        fn step(
            mut cursor: Option<Self::Cursor>,
            meter: &mut WeightMeter,
        ) -> Result<Option<Self::Cursor>, SteppedMigrationError> {
            let required = T::WeightInfo::migrate_provider();
            if !meter.can_consume(required) {
                return Err(SteppedMigrationError::InsufficientWeight { required });
            }
            // Nothing to do on a chain that began with version 2, or if it is done.
            if Pallet::<T>::on_chain_storage_version() >= 2 {
                return Ok(None);
            }
            let mut rest = match &cursor {
                Some(last) => Providers::<T>::iter_keys_from(Providers::<T>::hashed_key_for(last)),
                None => Providers::<T>::iter_keys(),
            };
            while meter.try_consume(required).is_ok() {
                let Some(provider) = rest.next() else {
                    StorageVersion::new(2).put::<Pallet<T>>();
                    return Ok(None);
                };
                Self::translate(&provider);
                cursor = Some(provider);
            }
            Ok(cursor)
        }

        #[cfg(feature = "try-runtime")]
        fn pre_upgrade() -> Result<alloc::vec::Vec<u8>, sp_runtime::TryRuntimeError> {
            Ok(Self::before().encode())
        }

        #[cfg(feature = "try-runtime")]
        fn post_upgrade(state: alloc::vec::Vec<u8>) -> Result<(), sp_runtime::TryRuntimeError> {
            let before =
                Decode::decode(&mut state.as_slice()).map_err(|_| "the state before is not readable")?;
            Self::compare(before)
        }
    }
}
