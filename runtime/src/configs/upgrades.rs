//! Upgrades: what migrations may take of a block, and what happens if one fails.

use crate::{configs::system::RuntimeBlockWeights, migrations::Migrations, Runtime, RuntimeEvent};
use frame_support::{
    migrations::FreezeChainOnFailedMigration, parameter_types, traits::ConstU32, weights::Weight,
};
use sp_runtime::Perbill;

parameter_types! {
    /// What migrations take of a block: half of it. There are no transactions beside them, but the hooks of sessions
    /// and elections have to fit, and the block has to be made on a slow machine in time.
    pub MigrationWeight: Weight = Perbill::from_percent(50) * RuntimeBlockWeights::get().max_block;
}

impl pallet_migrations::Config for Runtime {
    /// A cursor is the last key that was done: of our maps, three accounts at the most.
    type CursorMaxLen = ConstU32<256>;
    /// **A migration that fails stops all transactions**, the administrator's too; blocks and finality go on. The other
    /// choice is to open the chain again: then calls move money on a state that is half of the one layout and half of the
    /// other, and what they do can't be taken back. A pause can be ended: the operators agree on a mended runtime and put
    /// it into their chain specifications as a code substitute (docs/launch.md).
    type FailedMigrationHandler = FreezeChainOnFailedMigration;
    /// A pallet's name and two versions.
    type IdentifierMaxLen = ConstU32<64>;
    type MaxServiceWeight = MigrationWeight;
    /// Nobody needs to be told.
    type MigrationStatusHandler = ();
    type Migrations = Migrations;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = pallet_migrations::weights::SubstrateWeight<Runtime>;
}
