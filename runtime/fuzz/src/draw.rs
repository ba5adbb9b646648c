//! Parameters out of a step's bytes: mostly plausible, sometimes at the edge, sometimes wild.
//!
//! One byte decides one thing and small bytes mean plain things, so that a fuzzer that changes one byte changes one
//! thing, and a step of zeros is the plainest form of its call.

use crate::accounts;
use attune_primitives::{Balance, BlockNumber, JobId};
use attune_runtime::{AccountId, Balances, JobEscrow, Runtime};
use frame_support::traits::Get;
use sp_runtime::Permill;

/// The existential deposit, in planck.
pub(crate) fn existential_deposit() -> Balance {
    <<Runtime as pallet_balances::Config>::ExistentialDeposit as Get<Balance>>::get()
}

/// Hands out a step's bytes, then zeros.
#[derive(Clone, Debug)]
pub struct Draw<'a> {
    left: &'a [u8],
}

impl<'a> Draw<'a> {
    /// Over these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.left.split_first() {
            Some((byte, left)) => {
                self.left = left;
                *byte
            }
            None => 0,
        }
    }

    /// All bytes that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.left)
    }

    /// One of the values; the first for a byte of 0.
    pub fn of<T: Clone>(&mut self, values: &[T]) -> T {
        values[usize::from(self.byte()) % values.len()].clone()
    }

    /// True for one byte in `rarity`, never for 0.
    pub fn rarely(&mut self, rarity: u8) -> bool {
        self.byte() % rarity.max(1) == rarity.max(1).saturating_sub(1)
    }

    /// An amount near `anchor`, or at an edge, or all that `who` has, in planck.
    pub fn amount(&mut self, anchor: Balance, who: &AccountId) -> Balance {
        let (ed, all) = (existential_deposit(), Balances::free_balance(who));
        let kind = self.byte();
        match kind {
            // Plain: one to 64 times the anchor.
            0..=159 => anchor.saturating_mul(Balance::from(kind % 64) + 1),
            160..=167 => 0,
            168..=175 => anchor.saturating_sub(1),
            176..=183 => anchor.saturating_add(1),
            184..=191 => 1,
            192..=199 => ed,
            200..=207 => ed.saturating_sub(1),
            208..=215 => all,
            216..=223 => all.saturating_sub(ed),
            224..=231 => all.saturating_sub(ed).saturating_add(1),
            232..=239 => all / 2,
            240..=243 => Balance::from(u64::MAX),
            244..=247 => Balance::MAX / 2,
            _ => Balance::MAX,
        }
    }

    /// A share of a whole.
    pub fn permill(&mut self) -> Permill {
        match self.byte() {
            byte @ 0..=199 => Permill::from_percent(u32::from(byte) / 2),
            200..=219 => Permill::zero(),
            220..=239 => Permill::one(),
            byte => Permill::from_parts(u32::from(byte)),
        }
    }

    /// A span of blocks: plain up to 32, and the edges.
    pub fn span(&mut self) -> BlockNumber {
        match self.byte() {
            byte @ 0..=223 => BlockNumber::from(byte % 32) + 8,
            224..=231 => 0,
            232..=239 => 1,
            240..=247 => crate::chain::WINDOWS.max_phase,
            248..=251 => crate::chain::WINDOWS.max_phase + 1,
            _ => BlockNumber::MAX,
        }
    }

    /// One of the last jobs for which `fits`, else one of the last jobs, rarely one that never was.
    pub fn job(&mut self, fits: impl Fn(JobId) -> bool) -> JobId {
        let byte = self.byte();
        let next = pallet_job_escrow::NextJobId::<Runtime>::get();
        if byte >= 248 {
            return if byte == 255 { JobId::MAX } else { next.saturating_add(JobId::from(byte & 1)) };
        }
        let last = next.saturating_sub(1);
        let looked_at: Vec<JobId> = (0..8.min(next)).map(|back| last - back).collect();
        let fitting: Vec<JobId> = looked_at.iter().copied().filter(|id| fits(*id)).collect();
        let from = if byte >= 224 || fitting.is_empty() { looked_at } else { fitting };
        if from.is_empty() {
            return 0;
        }
        from[usize::from(byte) % from.len()]
    }

    /// One of the last jobs in a state that `fits`.
    pub fn job_in(&mut self, fits: impl Fn(&attune_primitives::machine::JobState) -> bool) -> JobId {
        self.job(|id| {
            <JobEscrow as attune_primitives::traits::JobEscrow<_>>::job(id)
                .is_some_and(|job| fits(&job.state))
        })
    }

    /// A registered provider, rarely anybody.
    pub fn provider(&mut self) -> AccountId {
        let byte = self.byte();
        if byte >= 240 {
            return accounts::anyone(byte);
        }
        let ids = crate::view::providers();
        if ids.is_empty() {
            return accounts::stash(byte);
        }
        ids[usize::from(byte) % ids.len()].clone()
    }

    /// Somebody who can sign.
    pub fn somebody(&mut self) -> AccountId {
        accounts::somebody(self.byte())
    }

    /// Anybody at all, pools and nobody too: a target, not a signer.
    pub fn anyone(&mut self) -> AccountId {
        accounts::anyone(self.byte() % 48)
    }
}
