//! Migrations: how the state of an older chain becomes what this runtime reads.
//!
//! A chain keeps its state when its code is replaced. Where a pallet lays out its storage in another way than before, its
//! storage version rises, and a migration in [`Migrations`] turns the old layout into the new one.
//!
//! All of them are **stepped**: an entry, or a few, at a time, as far as the block's budget goes
//! ([`crate::configs::upgrades`]), and on in the next block. So an upgrade takes as many blocks as there is state, and
//! never one block that is too long to be made. While migrations run, blocks hold inherents alone: transactions wait in
//! the pool, and none ever meets a state that is half of the one layout and half of the other. Hooks do run, those of
//! sessions first of all; a pallet with hooks has to read both layouts while its own migration is on the way.
//!
//! ## Adding one
//!
//! 1. Raise the pallet's storage version by one and write the migration beside the pallet, as
//!    `migrations::v<from>_to_v<to>`, with its own identifier (pallet, from, to), its weight from a benchmark, and tests that
//!    break it off after every step.
//! 2. Put it at the **end** of [`Migrations`], under the version of the runtime that brings it.
//! 3. Raise `spec_version`. The node's `upgrade_tests` compare the storage versions with those of the previous runtime, which the
//!    repository keeps as Wasm (`runtime/previous`), and run what is listed on its state.
//!
//! One that has run on a chain is remembered there by its identifier and skipped, so it does no harm to leave it in for the
//! chains that come later. It is dropped together with the last previous runtime that needs it.

/// Every migration, in the order in which they run.
///
/// | runtime | from | migrations |
/// |---|---|---|
/// | 2 | 1 | provider-staking 1 to 2: what heartbeats need |
#[cfg(not(feature = "runtime-benchmarks"))]
pub type Migrations = (pallet_provider_staking::migrations::v2::AddHeartbeats<crate::Runtime>,);

/// What the pallet asks for when it is benchmarked itself.
#[cfg(feature = "runtime-benchmarks")]
pub type Migrations = pallet_migrations::mock_helpers::MockedMigrations;
