//! A benchmark for each call, on its longest path: the most segments, samples, auditors and providers; where a call can
//! end a job, it does. Where it is not plain which of two paths costs more, each has its benchmark, and the call's weight
//! is the larger one: [`Call::reveal_verdict`] may draw a committee (`draw_committee`), and
//! [`Call::enforce_audit_deadline`] further auditors (`redraw_auditors`), from the largest registry.
//!
//! The costliest end of an audit reads that registry in vain: whoever is left has lost its self-bond and takes no work, so
//! that nobody can be drawn, and those who answered decide at once. The job is not handed over but closed, and the slash
//! finds the provider's queue of slashes full, so that it acts at once.

use alloc::{vec, vec::Vec};

use attune_primitives::{
    job::{
        ArithmeticMode, Assurance, ExecutionClass, JobSpec, Milestone, MAX_AUDITORS, MAX_MILESTONES,
        MAX_SAMPLES, MAX_SEGMENTS,
    },
    proof::{
        AuditEntry, SegmentCommitment, SegmentMetrics, TrainingRecord, Tranche, Verdict, MAX_AUDIT_ENTRIES,
    },
    provider::Hardware,
    testing, trace, BlockNumber, JobId, H256,
};
use frame_benchmarking::v2::*;
use frame_support::{traits::Get, BoundedVec};
use frame_system::RawOrigin;
use sp_runtime::Permill;

use crate::{
    types::{ModelInfo, Round, Stage},
    Audits, Call, Config, Draws, Models, Pallet, Records,
};

/// Sets up what benchmarks need of the neighbours.
pub trait BenchmarkHelper<AccountId> {
    /// Gives `who` enough to pay any deposit.
    fn fund(who: &AccountId);
    /// Registers as many active providers of `class` as there may be, and gives each with its operator.
    fn fill_providers(class: &ExecutionClass) -> Vec<(AccountId, AccountId)>;
    /// Takes the stake of all providers but `spared`: they are looked up still, with their pools, but never drawn.
    fn ruin_all_but(spared: &[AccountId]);
    /// Fills the queue of slashes of `provider`: another one acts at once.
    fn fill_slashes(provider: &AccountId);
    /// A running job of `customer`, who chose `provider` for it, with its money on hold.
    fn running_job(customer: &AccountId, provider: &AccountId, spec: JobSpec<AccountId>) -> JobId;
    /// Makes the latest randomness `randomness`, from an epoch that began at `epoch_start`.
    fn set_randomness(randomness: H256, epoch_start: BlockNumber);
    /// Sets the block number.
    fn set_block(block: BlockNumber);
}

type HelperOf<T> = <T as Config>::BenchmarkHelper;

/// A job in the middle of its audits.
struct Scene<T: Config> {
    job: JobId,
    /// All providers with their operators; the first one trains.
    providers: Vec<(T::AccountId, T::AccountId)>,
}

fn class() -> ExecutionClass {
    BoundedVec::truncate_from(b"bench".to_vec())
}

fn model_info() -> ModelInfo {
    ModelInfo {
        name: BoundedVec::truncate_from(vec![b'n'; 64]),
        architecture: BoundedVec::truncate_from(vec![b'a'; 32]),
        parameters: 1,
        artifact: H256::repeat_byte(1),
        artifact_bytes: 1,
        tokenizer: H256::repeat_byte(2),
        licence: BoundedVec::truncate_from(vec![b'l'; 64]),
    }
}

/// How a job spends the audits that it may have.
#[derive(Clone, Copy)]
struct Shape {
    milestones: u32,
    auditors: u8,
}

/// As many auditors of a segment as there may be.
const WIDE: Shape = Shape { milestones: 8, auditors: MAX_AUDITORS };

/// As many milestones as there may be, and an audit of every segment.
const LONG: Shape = Shape { milestones: MAX_MILESTONES, auditors: 2 };

fn spec<AccountId>(shape: Shape) -> JobSpec<AccountId> {
    let milestone = Milestone {
        segments: MAX_SEGMENTS.div_euclid(shape.milestones),
        share: Permill::from_parts(1_000_000u32.div_euclid(shape.milestones)),
    };
    let mut spec = testing::job_spec((0..shape.milestones).map(|_| milestone));
    spec.data.held_out_rows = 1;
    spec.mode = ArithmeticMode::ClassExact { class: class() };
    spec.assurance = Assurance { samples: MAX_SAMPLES, auditors: shape.auditors };
    spec.theme = BoundedVec::truncate_from(vec![b't'; 64]);
    spec.max_price = 1_000_000_000_000;
    spec.audit_fee = 1_000_000_000;
    (spec.timing.open_blocks, spec.timing.start_blocks) = (1_000_000, 1_000_000);
    spec.timing.milestone_blocks = 1_000_000;
    spec
}

const NONCE: [u8; 32] = [4; 32];
const SALT: [u8; 32] = [5; 32];

fn commitment() -> SegmentCommitment {
    SegmentCommitment {
        state_root: H256::repeat_byte(6),
        trace_commitment: trace::commitment(H256::repeat_byte(7), &NONCE),
        checkpoint: H256::repeat_byte(8),
        checkpoint_bytes: 1,
        metrics: SegmentMetrics {
            train_loss_micro: 1,
            tokens: 1,
            held_out_loss_before_micro: Some(1),
            held_out_loss_micro: Some(1),
        },
    }
}

impl<T: Config> Scene<T> {
    /// A running job with `segments` committed.
    fn committed(segments: u32, shape: Shape) -> Result<Self, BenchmarkError> {
        Self::committed_among(None, segments, shape)
    }

    /// The same where no more than `eligible` providers can be drawn, if that is given.
    fn committed_among(eligible: Option<u32>, segments: u32, shape: Shape) -> Result<Self, BenchmarkError> {
        HelperOf::<T>::set_block(1);
        let customer: T::AccountId = account("customer", 0, 0);
        HelperOf::<T>::fund(&customer);
        Pallet::<T>::register_model(RawOrigin::Signed(customer.clone()).into(), model_info())?;
        let mut providers = HelperOf::<T>::fill_providers(&class());
        // Between two others wherever providers stand in an order.
        providers.swap(0, 1);
        let trainer = providers.first().ok_or("the helper registers providers")?.clone();
        if let Some(eligible) = eligible {
            let spared = usize::try_from(eligible).unwrap_or(usize::MAX).saturating_add(1);
            let spared: Vec<_> = providers.iter().take(spared).map(|(id, _)| id.clone()).collect();
            HelperOf::<T>::ruin_all_but(&spared);
        }
        let job = HelperOf::<T>::running_job(&customer, &trainer.0, spec(shape));
        for segment in 0..segments {
            let origin = RawOrigin::Signed(trainer.1.clone()).into();
            Pallet::<T>::commit_segment(origin, job, segment, commitment())?;
        }
        Ok(Self { job, providers })
    }

    /// The same with all segments committed and randomness to draw with.
    fn drawable(eligible: Option<u32>, shape: Shape) -> Result<Self, BenchmarkError> {
        let scene = Self::committed_among(eligible, MAX_SEGMENTS, shape)?;
        let start = 1_000;
        HelperOf::<T>::set_block(start);
        HelperOf::<T>::set_randomness(H256::repeat_byte(9), start);
        Ok(scene)
    }

    /// The same with the audits drawn, and the first drawn segment.
    fn drawn(eligible: Option<u32>, shape: Shape) -> Result<(Self, u32), BenchmarkError> {
        let scene = Self::drawable(eligible, shape)?;
        Pallet::<T>::draw_audits(RawOrigin::Signed(scene.trainer()).into(), scene.job, 0)?;
        let draw = Draws::<T>::get(scene.job, 0).ok_or("the milestone is drawn")?;
        let segment = *draw.segments.first().ok_or("a segment is drawn")?;
        Ok((scene, segment))
    }

    /// The same with the other milestones drawn, too: all audits go with the job. The first round of the segment waits
    /// for one more verdict, all before it against; a slash acts at once.
    fn nearly_disputed(eligible: u32) -> Result<(Self, u32), BenchmarkError> {
        let (scene, segment) = Self::drawn(Some(eligible), LONG)?;
        for milestone in 1..MAX_MILESTONES {
            Pallet::<T>::draw_audits(RawOrigin::Signed(scene.trainer()).into(), scene.job, milestone)?;
        }
        scene.all_but_one_reveal(segment)?;
        HelperOf::<T>::fill_slashes(&scene.providers[0].0);
        Ok((scene, segment))
    }

    /// Those whom the round waits for commit, the trace is opened if it is not, and all but the last reveal.
    fn all_but_one_reveal(&self, segment: u32) -> Result<(), BenchmarkError> {
        let auditors = self.waiting(segment);
        self.commit(segment, &auditors)?;
        self.open(segment)?;
        let (_, others) = auditors.split_last().ok_or("auditors are drawn")?;
        self.reveal(segment, others)
    }

    fn last_waiting(&self, segment: u32) -> Result<T::AccountId, BenchmarkError> {
        Ok(self.waiting(segment).pop().ok_or("auditors are drawn")?)
    }

    fn trainer(&self) -> T::AccountId {
        self.providers[0].1.clone()
    }

    fn operator(&self, provider: &T::AccountId) -> T::AccountId {
        let found = self.providers.iter().find(|(id, _)| id == provider);
        found.expect("only registered providers are drawn, qed").1.clone()
    }

    fn waiting(&self, segment: u32) -> Vec<T::AccountId> {
        let audit = Audits::<T>::get(self.job, segment).expect("the segment is drawn, qed");
        audit.waiting().map(|slot| slot.auditor.clone()).collect()
    }

    fn commit(&self, segment: u32, auditors: &[T::AccountId]) -> Result<(), BenchmarkError> {
        for auditor in auditors {
            let found = trace::verdict_commitment(H256::zero(), H256::zero(), auditor, &SALT);
            let origin = RawOrigin::Signed(self.operator(auditor)).into();
            Pallet::<T>::commit_verdict(origin, self.job, segment, found)?;
        }
        Ok(())
    }

    fn open(&self, segment: u32) -> Result<(), BenchmarkError> {
        let origin = RawOrigin::Signed(self.trainer()).into();
        Pallet::<T>::open_trace(origin, self.job, segment, H256::repeat_byte(7), NONCE)?;
        Ok(())
    }

    fn reveal(&self, segment: u32, auditors: &[T::AccountId]) -> Result<(), BenchmarkError> {
        for auditor in auditors {
            let origin = RawOrigin::Signed(self.operator(auditor)).into();
            Pallet::<T>::reveal_verdict(origin, self.job, segment, H256::zero(), H256::zero(), SALT)?;
        }
        Ok(())
    }
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn register_model() {
        let owner: T::AccountId = whitelisted_caller();
        HelperOf::<T>::fund(&owner);

        #[extrinsic_call]
        _(RawOrigin::Signed(owner), model_info());

        assert!(Models::<T>::contains_key(0));
    }

    #[benchmark]
    fn remove_model() -> Result<(), BenchmarkError> {
        let owner: T::AccountId = whitelisted_caller();
        HelperOf::<T>::fund(&owner);
        Pallet::<T>::register_model(RawOrigin::Signed(owner.clone()).into(), model_info())?;

        #[extrinsic_call]
        _(RawOrigin::Signed(owner), 0);

        assert!(!Models::<T>::contains_key(0));
        Ok(())
    }

    #[benchmark]
    fn commit_segment() -> Result<(), BenchmarkError> {
        let last = MAX_SEGMENTS.saturating_sub(1);
        let scene = Scene::<T>::committed(last, LONG)?;

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.trainer()), scene.job, last, commitment());

        assert_eq!(Pallet::<T>::segments_committed(scene.job), MAX_SEGMENTS);
        Ok(())
    }

    #[benchmark]
    fn submit_result() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::committed(MAX_SEGMENTS, LONG)?;

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.trainer()), scene.job, H256::repeat_byte(1), 1);

        assert!(crate::Results::<T>::contains_key(scene.job));
        Ok(())
    }

    #[benchmark]
    fn draw_audits() -> Result<(), BenchmarkError> {
        let scene = Scene::<T>::drawable(None, WIDE)?;

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.trainer()), scene.job, 0);

        assert!(Draws::<T>::contains_key(scene.job, 0));
        Ok(())
    }

    #[benchmark]
    fn commit_verdict() -> Result<(), BenchmarkError> {
        let (scene, segment) = Scene::<T>::drawn(None, WIDE)?;
        let auditors = scene.waiting(segment);
        let (last, others) = auditors.split_last().ok_or("auditors are drawn")?;
        scene.commit(segment, others)?;
        let found = trace::verdict_commitment(H256::zero(), H256::zero(), last, &SALT);

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.operator(last)), scene.job, segment, found);

        let audit = Audits::<T>::get(scene.job, segment).ok_or("the audit goes on")?;
        assert_eq!(audit.stage, Stage::Opening);
        Ok(())
    }

    #[benchmark]
    fn open_trace() -> Result<(), BenchmarkError> {
        let (scene, segment) = Scene::<T>::drawn(None, WIDE)?;
        scene.commit(segment, &scene.waiting(segment))?;

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.trainer()), scene.job, segment, H256::repeat_byte(7), NONCE);

        let audit = Audits::<T>::get(scene.job, segment).ok_or("the audit goes on")?;
        assert_eq!(audit.stage, Stage::Revealing);
        Ok(())
    }

    #[benchmark]
    fn reveal_verdict() -> Result<(), BenchmarkError> {
        // Nobody is left for a committee: the verdict condemns at once.
        let (scene, segment) = Scene::<T>::nearly_disputed(LONG.auditors.into())?;
        let last = scene.last_waiting(segment)?;
        let operator = scene.operator(&last);

        #[extrinsic_call]
        _(RawOrigin::Signed(operator), scene.job, segment, H256::zero(), H256::zero(), SALT);

        assert!(!Audits::<T>::contains_key(scene.job, segment));
        Ok(())
    }

    #[benchmark]
    fn draw_committee() -> Result<(), BenchmarkError> {
        let (scene, segment) = Scene::<T>::drawn(None, WIDE)?;
        scene.all_but_one_reveal(segment)?;
        let last = scene.last_waiting(segment)?;
        let operator = scene.operator(&last);

        #[extrinsic_call]
        reveal_verdict(RawOrigin::Signed(operator), scene.job, segment, H256::zero(), H256::zero(), SALT);

        let audit = Audits::<T>::get(scene.job, segment).ok_or("the audit goes on")?;
        assert_eq!((audit.round, audit.stage), (Round::Committee, Stage::Committing));
        assert_eq!(u32::try_from(audit.waiting().count()), Ok(T::CommitteeSize::get()));
        Ok(())
    }

    #[benchmark]
    fn enforce_audit_deadline() -> Result<(), BenchmarkError> {
        // The committee is silent, and nobody is left for another: those of the first round condemn.
        let eligible = u32::from(LONG.auditors).saturating_add(T::CommitteeSize::get());
        let (scene, segment) = Scene::<T>::nearly_disputed(eligible)?;
        let last = scene.last_waiting(segment)?;
        scene.reveal(segment, &[last])?;
        let audit = Audits::<T>::get(scene.job, segment).ok_or("the audit goes on")?;
        assert_eq!((audit.round, audit.stage), (Round::Committee, Stage::Committing));
        HelperOf::<T>::set_block(audit.deadline.saturating_add(1));

        #[extrinsic_call]
        _(RawOrigin::Signed(scene.trainer()), scene.job, segment);

        assert!(!Audits::<T>::contains_key(scene.job, segment));
        Ok(())
    }

    #[benchmark]
    fn redraw_auditors() -> Result<(), BenchmarkError> {
        let (scene, segment) = Scene::<T>::drawn(None, WIDE)?;
        let audit = Audits::<T>::get(scene.job, segment).ok_or("the audit goes on")?;
        HelperOf::<T>::set_block(audit.deadline.saturating_add(1));

        #[extrinsic_call]
        enforce_audit_deadline(RawOrigin::Signed(scene.trainer()), scene.job, segment);

        let audit = Audits::<T>::get(scene.job, segment).ok_or("the audit goes on")?;
        assert_eq!(audit.redraws, 1);
        assert_eq!(audit.waiting().count(), usize::from(WIDE.auditors));
        Ok(())
    }

    #[benchmark]
    fn remove_record() {
        let customer: T::AccountId = whitelisted_caller();
        let spec = spec::<T::AccountId>(LONG);
        let entry = AuditEntry { segment: 0, auditor: customer.clone(), verdict: Some(Verdict::Match) };
        let tranche = Tranche {
            provider: customer.clone(),
            first_milestone: 0,
            last_milestone: 0,
            paid: 0,
            started_at: 0,
        };
        let entries = core::iter::repeat_with(|| entry.clone())
            .take(usize::try_from(MAX_AUDIT_ENTRIES).unwrap_or(usize::MAX));
        let record = TrainingRecord {
            job: 0,
            customer: customer.clone(),
            provider: customer.clone(),
            tranches: BoundedVec::truncate_from(vec![
                tranche;
                usize::try_from(MAX_MILESTONES).unwrap_or_default()
            ]),
            requested_at: 0,
            started_at: 0,
            ended_at: 0,
            hardware: Hardware { model: Default::default(), accelerators: 0, memory_mib: 0 },
            price_per_gpu_hour: 0,
            price: 0,
            model: 0,
            method: spec.method,
            hyper: spec.hyper,
            mode: spec.mode,
            theme: spec.theme,
            spec_hash: H256::zero(),
            data_root: H256::zero(),
            steps: 0,
            tokens: 0,
            loss_before_micro: None,
            loss_after_micro: None,
            trace_root: H256::zero(),
            final_state_root: H256::zero(),
            adapter: H256::zero(),
            adapter_bytes: 0,
            audits: BoundedVec::truncate_from(entries.collect()),
            finalized_at: 0,
        };
        Records::<T>::insert(0, record);
        HelperOf::<T>::set_block(BlockNumber::MAX);

        #[extrinsic_call]
        _(RawOrigin::Signed(customer), 0);

        assert!(!Records::<T>::contains_key(0));
    }

    impl_benchmark_test_suite!(
        Pallet,
        crate::mock::ExtBuilder::default().without_job().build(),
        crate::mock::Test
    );
}
