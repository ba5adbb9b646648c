//! A benchmark for each call, on its longest path: the most milestones and bids, a sponsor that pays, and where a call can end
//! a job, it does, with all that proof-of-training keeps of it. Deadlines end in three different ways, so that there are
//! three, of which the call's weight is the largest: [`Call::enforce_deadline`] finalizes a job with its record,
//! `miss_milestone` ends it with a slash that acts at once, and `end_bidding` tries every bid but the last in vain.

use alloc::{vec, vec::Vec};

use attune_primitives::{
    job::{Assurance, JobSpec, Milestone, MAX_MILESTONES},
    machine::{Failure, JobState},
    testing,
    traits::JobEscrow,
    Balance, BlockNumber, JobId, ModelId,
};
use frame_benchmarking::v2::*;
use frame_support::{traits::Get, BoundedVec};
use frame_system::RawOrigin;
use sp_arithmetic::Permill;

use crate::{Bids, Call, Config, Job, Jobs, Owed, Pallet, Sponsorships};

/// Sets up what benchmarks need of the neighbours.
pub trait BenchmarkHelper<AccountId> {
    /// Gives `who` enough to pay for any job.
    fn fund(who: &AccountId);
    /// A model that is registered.
    fn model() -> ModelId;
    /// Registers as many active providers who compute exact arithmetic, version 1, as there may be, each with stake for many
    /// bonds, and gives each with its operator. More than a job keeps bids.
    fn fill_providers() -> Vec<(AccountId, AccountId)>;
    /// Lets `provider` take no further work.
    fn deactivate(provider: &AccountId);
    /// Fills what proof-of-training keeps of `job`, all of whose milestones are committed, to its bounds, with a result.
    fn fill_proofs(job: JobId);
    /// Fills the queue of slashes of `provider`: another one acts at once.
    fn fill_slashes(provider: &AccountId);
    /// Sets the block number.
    fn set_block(block: BlockNumber);
}

type HelperOf<T> = <T as Config>::BenchmarkHelper;

/// A sponsored job and those around it.
struct Scene<T: Config> {
    customer: T::AccountId,
    sponsor: T::AccountId,
    /// All providers with their operators.
    providers: Vec<(T::AccountId, T::AccountId)>,
    job: JobId,
}

const BIDDING_BLOCKS: BlockNumber = 10;

fn max_price<T: Config>() -> Balance {
    T::MinAuditFee::get().saturating_mul(100)
}

fn spec<T: Config>(bidding_blocks: BlockNumber) -> JobSpec<T::AccountId> {
    let milestone = Milestone { segments: 8, share: Permill::from_parts(1_000_000 / MAX_MILESTONES) };
    let mut spec = testing::job_spec((0..MAX_MILESTONES).map(|_| milestone));
    spec.model = HelperOf::<T>::model();
    spec.assurance = Assurance { samples: 4, auditors: 4 };
    spec.theme = BoundedVec::truncate_from(vec![b't'; 64]);
    (spec.max_price, spec.audit_fee) = (max_price::<T>(), T::MinAuditFee::get());
    spec.timing.bidding_blocks = bidding_blocks;
    spec
}

impl<T: Config> Scene<T> {
    /// A customer, its sponsor, and providers; no job yet.
    fn set() -> Result<Self, BenchmarkError> {
        HelperOf::<T>::set_block(1);
        let (customer, sponsor) = (account("customer", 0, 0), account("sponsor", 0, 0));
        HelperOf::<T>::fund(&customer);
        HelperOf::<T>::fund(&sponsor);
        let providers = HelperOf::<T>::fill_providers();
        let (limit, expires_at) = (Balance::MAX, 1_000_000);
        let origin = RawOrigin::Signed(sponsor.clone()).into();
        Pallet::<T>::sponsor(origin, customer.clone(), limit, limit, expires_at)?;
        Ok(Self { customer, sponsor, providers, job: crate::NextJobId::<T>::get() })
    }

    /// A job that waits for a quote, or for bids.
    fn ordered(bidding_blocks: BlockNumber) -> Result<Self, BenchmarkError> {
        let scene = Self::set()?;
        let origin = RawOrigin::Signed(scene.customer.clone()).into();
        Pallet::<T>::create_job(origin, spec::<T>(bidding_blocks), Some(scene.sponsor.clone()))?;
        Ok(scene)
    }

    /// A job with as many bids as are kept, the first provider's the lowest.
    fn bid_for() -> Result<Self, BenchmarkError> {
        let scene = Self::ordered(BIDDING_BLOCKS)?;
        let bids = usize::try_from(T::MaxBids::get()).unwrap_or(usize::MAX);
        for ((_, operator), price) in scene.providers.iter().take(bids).zip(2..) {
            Pallet::<T>::place_bid(RawOrigin::Signed(operator.clone()).into(), scene.job, price)?;
        }
        Ok(scene)
    }

    /// A job that the first provider has.
    fn assigned() -> Result<Self, BenchmarkError> {
        let scene = Self::ordered(0)?;
        let price = max_price::<T>().saturating_sub(1);
        Pallet::<T>::accept_job(RawOrigin::Signed(scene.operator()).into(), scene.job, price)?;
        Ok(scene)
    }

    /// The same, running, with `committed` milestones committed and `verified` of them paid.
    fn running(committed: u32, verified: u32) -> Result<Self, BenchmarkError> {
        let scene = Self::assigned()?;
        Pallet::<T>::start_job(RawOrigin::Signed(scene.operator()).into(), scene.job)?;
        for milestone in 0..committed {
            <Pallet<T> as JobEscrow<_>>::milestone_committed(scene.job, milestone)?;
        }
        for milestone in 0..verified {
            <Pallet<T> as JobEscrow<_>>::milestone_verified(scene.job, milestone)?;
        }
        Ok(scene)
    }

    /// The last milestone is open, all others are paid, and no other provider may go on after this one.
    fn last_attempt(committed: u32) -> Result<Self, BenchmarkError> {
        let scene = Self::running(committed, MAX_MILESTONES.saturating_sub(1))?;
        HelperOf::<T>::fill_proofs(scene.job);
        Jobs::<T>::mutate_extant(scene.job, |job| job.handovers = T::MaxHandovers::get());
        Ok(scene)
    }

    fn operator(&self) -> T::AccountId {
        self.providers[0].1.clone()
    }

    fn job(&self) -> Result<Job<T::AccountId>, BenchmarkError> {
        Ok(Jobs::<T>::get(self.job).ok_or("the job exists")?)
    }

    fn pass_deadline(&self) -> Result<(), BenchmarkError> {
        HelperOf::<T>::set_block(self.job()?.deadline.saturating_add(1));
        Ok(())
    }
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn create_job() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::set()?;
        let mut chosen = spec::<T>(0);
        chosen.provider = Some(scene.providers[0].0.clone());

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.customer.clone()), chosen, Some(scene.sponsor.clone()));

        assert_eq!(scene.job()?.funder, scene.sponsor);
        Ok(())
    }

    #[benchmark]
    fn accept_job() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::ordered(0)?;

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.operator()), scene.job, max_price::<T>().saturating_sub(1));

        assert_eq!(scene.job()?.state, JobState::Assigned);
        Ok(())
    }

    #[benchmark]
    fn start_job() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::assigned()?;

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.operator()), scene.job);

        assert_eq!(scene.job()?.state, JobState::Running);
        Ok(())
    }

    #[benchmark]
    fn decline_job() -> Result<(), BenchmarkError> {
        // The first provider has done all milestones but one; the second, and last, gives the job back.
        let scene = Scene::<T>::running(MAX_MILESTONES.saturating_sub(1), MAX_MILESTONES.saturating_sub(1))?;
        HelperOf::<T>::fill_proofs(scene.job);
        scene.pass_deadline()?;
        Pallet::<T>::enforce_deadline(RawOrigin::Signed(scene.operator()).into(), scene.job)?;
        let (_, second) = scene.providers.get(1).ok_or("there are several providers")?.clone();
        Pallet::<T>::accept_job(RawOrigin::Signed(second.clone()).into(), scene.job, 1)?;
        Jobs::<T>::mutate_extant(scene.job, |job| job.handovers = T::MaxHandovers::get());

        #[extrinsic_call]
        _(RawOrigin::Signed(second), scene.job);

        assert_eq!(scene.job()?.state, JobState::Failed(Failure::InputsUnusable));
        Ok(())
    }

    #[benchmark]
    fn cancel_job() -> Result<(), BenchmarkError> {
        let paid = MAX_MILESTONES.saturating_sub(1);
        let scene = Scene::<T>::running(paid, paid)?;
        HelperOf::<T>::fill_proofs(scene.job);

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.customer.clone()), scene.job);

        assert_eq!(scene.job()?.state, JobState::Cancelled);
        Ok(())
    }

    #[benchmark]
    fn enforce_deadline() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::running(MAX_MILESTONES, MAX_MILESTONES)?;
        HelperOf::<T>::fill_proofs(scene.job);
        <Pallet<T> as JobEscrow<_>>::submitted(scene.job)?;
        scene.pass_deadline()?;

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.operator()), scene.job);

        assert_eq!(scene.job()?.state, JobState::Finalized);
        Ok(())
    }

    #[benchmark]
    fn miss_milestone() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::last_attempt(MAX_MILESTONES)?;
        HelperOf::<T>::fill_slashes(&scene.providers[0].0);
        scene.pass_deadline()?;

        #[extrinsic_call]
        enforce_deadline(RawOrigin::Signed(scene.operator()), scene.job);

        assert_eq!(scene.job()?.state, JobState::Failed(Failure::MissedMilestone));
        Ok(())
    }

    #[benchmark]
    fn end_bidding() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::bid_for()?;
        let bids = usize::try_from(T::MaxBids::get()).unwrap_or(usize::MAX);
        // Everyone but the last has become ineligible in the costliest way that the helper knows.
        for (provider, _) in scene.providers.iter().take(bids.saturating_sub(1)) {
            HelperOf::<T>::deactivate(provider);
        }
        scene.pass_deadline()?;

        #[extrinsic_call]
        enforce_deadline(RawOrigin::Signed(scene.customer.clone()), scene.job);

        assert_eq!(scene.job()?.state, JobState::Assigned);
        Ok(())
    }

    #[benchmark]
    fn claim_owed() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::running(0, 0)?;
        let (provider, amount) = (scene.providers[0].0.clone(), max_price::<T>() / 2);
        Jobs::<T>::mutate_extant(scene.job, |job| job.escrow = job.escrow.saturating_sub(amount));
        Owed::<T>::insert(scene.job, &provider, amount);

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.customer.clone()), scene.job, provider.clone());

        assert!(!Owed::<T>::contains_key(scene.job, &provider));
        Ok(())
    }

    #[benchmark]
    fn prune_job() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::assigned()?;
        Pallet::<T>::cancel_job(RawOrigin::Signed(scene.customer.clone()).into(), scene.job)?;
        HelperOf::<T>::set_block(T::PruneAfter::get().saturating_add(2));

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.customer.clone()), scene.job);

        assert!(!Jobs::<T>::contains_key(scene.job));
        Ok(())
    }

    #[benchmark]
    fn place_bid() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::bid_for()?;
        let next = usize::try_from(T::MaxBids::get()).unwrap_or(usize::MAX);
        let (provider, operator) = scene.providers.get(next).ok_or("more providers than bids")?.clone();

        #[extrinsic_call]
        _(RawOrigin::Signed(operator), scene.job, 1);

        assert!(Bids::<T>::get(scene.job).iter().any(|bid| bid.provider == provider));
        Ok(())
    }

    #[benchmark]
    fn withdraw_bid() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::bid_for()?;

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.operator()), scene.job);

        assert!(!Bids::<T>::get(scene.job).is_full());
        Ok(())
    }

    #[benchmark]
    fn top_up() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::ordered(0)?;

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.sponsor.clone()), scene.job, 5, 6);

        assert_eq!(scene.job()?.escrow, max_price::<T>().saturating_add(5));
        Ok(())
    }

    #[benchmark]
    fn sponsor() -> Result<(), BenchmarkError> {
        let (payer, customer): (T::AccountId, T::AccountId) = (account("s", 0, 0), account("c", 0, 0));
        HelperOf::<T>::fund(&payer);
        HelperOf::<T>::set_block(1);

        #[extrinsic_call]
        _(RawOrigin::Signed(payer.clone()), customer.clone(), 3, 2, 1);

        assert!(Sponsorships::<T>::contains_key(&payer, &customer));
        Ok(())
    }

    #[benchmark]
    fn end_sponsorship() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::set()?;

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.customer.clone()), scene.sponsor.clone(), scene.customer.clone());

        assert!(!Sponsorships::<T>::contains_key(&scene.sponsor, &scene.customer));
        Ok(())
    }

    impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Test);
}
