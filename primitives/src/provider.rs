//! What a provider advertises.

use bounded_collections::{BoundedVec, ConstU32};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_arithmetic::Permill;

use crate::{
    job::{ArithmeticMode, ExecutionClass},
    Balance,
};

/// A name as its owner words it (UTF-8, at most 64 bytes).
pub type Name = BoundedVec<u8, ConstU32<64>>;
/// Where a worker serves artifacts, as a URL (at most 128 bytes).
pub type Endpoint = BoundedVec<u8, ConstU32<128>>;

/// The machine of a provider, as it reports it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Hardware {
    /// Model of the accelerator, or of the CPU where there is none.
    pub model: Name,
    /// Number of accelerators; 0 for a machine that trains on its CPU.
    pub accelerators: u16,
    /// Memory of one accelerator, or of the machine where there is none, in MiB.
    pub memory_mib: u32,
}

/// What a provider says about itself; it can change all of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct ProviderProfile {
    /// Name shown to customers and delegators.
    pub name: Name,
    /// Where its worker serves artifacts.
    pub endpoint: Endpoint,
    /// Execution class that its worker trains and audits in where arithmetic is not exact.
    pub class: ExecutionClass,
    /// Version of exact arithmetic that its worker computes; 0 for none.
    pub exact_version: u16,
    /// Its machine.
    pub hardware: Hardware,
    /// Price of an hour of one GPU (or of the machine where there is none), in planck.
    pub price_per_gpu_hour: Balance,
    /// Tokens per second that its worker measured on its own reference load; an aid to estimate, not a promise.
    pub tokens_per_second: u32,
}

impl ProviderProfile {
    /// True if its worker can train and audit in `mode`.
    pub fn computes(&self, mode: &ArithmeticMode) -> bool {
        match mode {
            ArithmeticMode::ClassExact { class } => self.class == *class,
            ArithmeticMode::Exact { version, .. } => *version > 0 && self.exact_version == *version,
        }
    }
}

/// What other pallets see of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderView<AccountId> {
    /// Its profile.
    pub profile: ProviderProfile,
    /// The share of its income that it keeps before delegators share the rest.
    pub commission: Permill,
    /// The worker's hot key.
    pub operator: AccountId,
}
