//! What a customer orders. A [`JobSpec`] fixes everything that shapes the result before anyone is assigned: the
//! provider chooses nothing.
//!
//! Real-valued hyper-parameters are integers in a stated unit, because a specification is hashed, compared and shown:
//! two specifications are the same job exactly when their bytes are equal.

use bounded_collections::{BoundedVec, ConstU32};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_arithmetic::{helpers_128bit::multiply_by_rational_with_rounding, Permill, Rounding};

use crate::{hashing::blake2_256, proof::MAX_AUDIT_ENTRIES, Balance, BlockNumber, ModelId, H256};

/// Most milestones of a job.
pub const MAX_MILESTONES: u32 = 16;
/// Most segments of a job.
pub const MAX_SEGMENTS: u32 = 128;
/// Most segments that one milestone's audit can draw.
pub const MAX_SAMPLES: u8 = 8;
/// Most auditors that re-execute one drawn segment in the first round.
pub const MAX_AUDITORS: u8 = 4;
/// Longest sequence, in tokens.
pub const MAX_SEQUENCE_LENGTH: u32 = 131_072;
/// Largest LoRA rank.
pub const MAX_RANK: u16 = 1_024;

/// Theme of a training, as the customer words it (UTF-8, at most 64 bytes).
pub type Theme = BoundedVec<u8, ConstU32<64>>;
/// Name of an execution class, such as `cpu-torch2.11.0-avx2-t2-f32` (ASCII, at most 64 bytes).
pub type ExecutionClass = BoundedVec<u8, ConstU32<64>>;

/// The packed data set of a job.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct DataSpec {
    /// Content address (BLAKE3 of the manifest) of the packed data set.
    pub root: H256,
    /// Size of the packed data set, in bytes.
    pub bytes: u64,
    /// Tokens of one pass over the training part.
    pub tokens: u64,
    /// Packed rows of the training part.
    pub rows: u32,
    /// Packed rows of the held-out part; 0 if there is none.
    pub held_out_rows: u32,
    /// Tokens of a packed row.
    pub sequence_length: u32,
}

/// How the model is tuned.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Method {
    /// Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) on all linear layers of the blocks.
    Lora {
        /// Rank of the adapters.
        rank: u16,
        /// Scale numerator: the adapter's output is multiplied by alpha / rank.
        alpha: u16,
        /// Rank-stabilised scale (Kalajdzievski 2023, arXiv:2312.03732): alpha / sqrt(rank) instead.
        rank_stabilised: bool,
    },
}

/// How the learning rate moves after the warm-up.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Schedule {
    /// Stays at its peak.
    Constant,
    /// Falls in a straight line to zero at the last step.
    Linear,
    /// Falls along half a cosine to zero at the last step.
    Cosine,
}

/// Hyper-parameters of the optimizer (AdamW; Loshchilov and Hutter 2017, arXiv:1711.05101) and of the batch.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct HyperParameters {
    /// Peak learning rate, in units of 1e-9.
    pub learning_rate_nano: u64,
    /// How the learning rate moves after the warm-up.
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    pub warmup_steps: u32,
    /// Packed rows of one forward pass.
    pub micro_batch_rows: u16,
    /// Forward passes whose gradients add up to one optimizer step.
    pub gradient_accumulation: u16,
    /// Largest global norm of the gradient, in units of 1e-6; 0 for no clipping.
    pub max_gradient_norm_micro: u32,
    /// Decoupled weight decay, in units of 1e-6.
    pub weight_decay_micro: u32,
    /// Decay of the first moment, in units of 1e-6.
    pub beta1_micro: u32,
    /// Decay of the second moment, in units of 1e-6.
    pub beta2_micro: u32,
    /// Term added to the denominator, in units of 1e-12.
    pub epsilon_pico: u32,
}

/// Which arithmetic the training runs in, and so who can check it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum ArithmeticMode {
    /// libtorch's binary32, bit-equal among machines of one execution class. Only providers of the class can train
    /// or audit, and a dispute ends in a vote of a committee of that class.
    ClassExact {
        /// The execution class.
        class: ExecutionClass,
    },
    /// Exact arithmetic (`exact/SPEC.md`): the same bits on every machine, so that any provider who computes this
    /// version can train and audit. In this form a dispute still ends in a vote, of a committee of all those.
    Exact {
        /// Version of the specification, from 1.
        version: u16,
        /// How the frozen weights are held.
        base: BaseFormat,
    },
}

/// How exact arithmetic holds the frozen weights of the base model.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum BaseFormat {
    /// Eight bits, one scale per output channel.
    W8,
    /// Four bits in groups of 32, one multiplier per group and one scale per output channel.
    W4,
}

/// A part of the work that is paid for by itself once it is verified.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Milestone {
    /// Segments of this milestone; they follow those of the milestone before.
    pub segments: u32,
    /// Share of the price that is paid when the milestone is verified.
    pub share: Permill,
}

/// How much is audited.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Assurance {
    /// Segments drawn from each milestone.
    pub samples: u8,
    /// Auditors that re-execute each drawn segment.
    pub auditors: u8,
}

/// How long each waiting state may last, in blocks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct JobTiming {
    /// How long providers bid before the lowest bid wins; 0 for none: the first quote at or under the maximum wins.
    pub bidding_blocks: BlockNumber,
    /// How long the job waits for a provider, each time that it is open.
    pub open_blocks: BlockNumber,
    /// How long the assigned provider may take to fetch the inputs and start.
    pub start_blocks: BlockNumber,
    /// How long the provider may take for each milestone.
    pub milestone_blocks: BlockNumber,
}

/// A fine-tuning job as the customer specifies it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct JobSpec<AccountId> {
    /// Base model, from the registry.
    pub model: ModelId,
    /// Packed data set.
    pub data: DataSpec,
    /// How the model is tuned.
    pub method: Method,
    /// Optimizer and batch.
    pub hyper: HyperParameters,
    /// Arithmetic, and so who can check it.
    pub mode: ArithmeticMode,
    /// Version of the trainer's numerical behaviour; workers refuse a version that they don't implement.
    pub engine_version: u32,
    /// Seed of the adapter's initial values and, through the specification's hash, of the data order.
    pub seed: u64,
    /// Optimizer steps of one segment.
    pub steps_per_segment: u32,
    /// Milestones in order; their shares add up to the whole price.
    pub milestones: BoundedVec<Milestone, ConstU32<MAX_MILESTONES>>,
    /// How much is audited.
    pub assurance: Assurance,
    /// What the training is about.
    pub theme: Theme,
    /// The most that the customer pays for training, in planck. What it adds later is not in here, and neither is what
    /// was paid before a handover: the maximum at any time is the job's escrow while it waits for a provider.
    pub max_price: Balance,
    /// What the customer pays for one auditor's re-execution of one segment, in planck.
    pub audit_fee: Balance,
    /// How long each waiting state may last.
    pub timing: JobTiming,
    /// The only provider that may accept; anyone if `None`.
    pub provider: Option<AccountId>,
}

/// Why a specification is refused.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum SpecError {
    /// No milestone, or one without segments, or more than [`MAX_SEGMENTS`] segments in all.
    Segments,
    /// The milestones' shares don't add up to the whole price.
    Shares,
    /// No sample or no auditor, or more than [`MAX_SAMPLES`] / [`MAX_AUDITORS`], or more audits in all than a record
    /// lists ([`MAX_AUDIT_ENTRIES`]).
    Assurance,
    /// A milestone has fewer segments than samples are drawn from it.
    SamplesAboveSegments,
    /// The data set is empty, or its sequence length is 0 or above [`MAX_SEQUENCE_LENGTH`].
    Data,
    /// Rank or alpha is 0, or the rank is above [`MAX_RANK`].
    Method,
    /// A hyper-parameter is outside its range: learning rate 0, batch 0, beta not below 1, epsilon 0, steps 0.
    HyperParameters,
    /// A time span other than the bidding window is 0, or there is a bidding window for a chosen provider.
    Timing,
    /// The maximum price is 0.
    Price,
    /// The execution class is empty, or the version of exact arithmetic is 0.
    Arithmetic,
}

impl<AccountId: Encode> JobSpec<AccountId> {
    /// BLAKE2b-256 of the SCALE encoding: names the job's content, and keys the data order.
    pub fn hash(&self) -> H256 {
        blake2_256(&self.encode())
    }
}

impl<AccountId> JobSpec<AccountId> {
    /// Segments of the whole job. Saturates; [`JobSpec::validate`] bounds it.
    pub fn segments(&self) -> u32 {
        self.milestones.iter().fold(0u32, |sum, m| sum.saturating_add(m.segments))
    }

    /// Index range `[first, end)` of the segments of milestone `index`; `None` if there is no such milestone.
    pub fn milestone_segments(&self, index: u32) -> Option<(u32, u32)> {
        let milestone = self.milestones.get(index as usize)?;
        let first =
            self.milestones.iter().take(index as usize).fold(0u32, |sum, m| sum.saturating_add(m.segments));
        Some((first, first.saturating_add(milestone.segments)))
    }

    /// The milestone that segment `segment` belongs to; `None` if there is no such segment.
    pub fn milestone_of(&self, segment: u32) -> Option<u32> {
        let mut end = 0u32;
        for (index, milestone) in self.milestones.iter().enumerate() {
            end = end.saturating_add(milestone.segments);
            if segment < end {
                return u32::try_from(index).ok();
            }
        }
        None
    }

    /// First-round audits of the whole job: samples times auditors times milestones.
    pub fn audits(&self) -> u32 {
        self.audits_from(0)
    }

    /// First-round audits of milestone `first` and those after it.
    pub fn audits_from(&self, first: u32) -> u32 {
        let per_milestone =
            u32::from(self.assurance.samples).saturating_mul(u32::from(self.assurance.auditors));
        let milestones = u32::try_from(self.milestones.len()).unwrap_or(u32::MAX).saturating_sub(first);
        per_milestone.saturating_mul(milestones)
    }

    /// What milestone `index` pays of `price`, in planck, where `price` is for milestone `first` and those after it:
    /// their shares are scaled among themselves, and the amount is rounded down. The last one is to be paid all that is
    /// left instead. `None` if `index` is not among them.
    pub fn pay_of(&self, index: u32, first: u32, price: Balance) -> Option<Balance> {
        let remaining = self.milestones.iter().skip(usize::try_from(first).ok()?);
        let whole = remaining.fold(0u32, |sum, m| sum.saturating_add(m.share.deconstruct()));
        let milestone = self.milestones.get(usize::try_from(index).ok()?).filter(|_| index >= first)?;
        let share = Balance::from(milestone.share.deconstruct());
        multiply_by_rational_with_rounding(price, share, Balance::from(whole), Rounding::Down)
    }

    /// Checks the specification by itself, without the chain's state.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), SpecError> {
        let segments = self.segments();
        if self.milestones.iter().any(|m| m.segments == 0) || segments == 0 || segments > MAX_SEGMENTS {
            return Err(SpecError::Segments);
        }
        let shares = self.milestones.iter().map(|m| u64::from(m.share.deconstruct())).sum::<u64>();
        if shares != u64::from(Permill::one().deconstruct())
            || self.milestones.iter().any(|m| m.share.is_zero())
        {
            return Err(SpecError::Shares);
        }
        let Assurance { samples, auditors } = self.assurance;
        if samples == 0 || auditors == 0 || samples > MAX_SAMPLES || auditors > MAX_AUDITORS {
            return Err(SpecError::Assurance);
        }
        if self.audits() > MAX_AUDIT_ENTRIES {
            return Err(SpecError::Assurance);
        }
        if self.milestones.iter().any(|m| m.segments < u32::from(samples)) {
            return Err(SpecError::SamplesAboveSegments);
        }
        let data = &self.data;
        if data.rows == 0
            || data.tokens == 0
            || data.bytes == 0
            || !(1..=MAX_SEQUENCE_LENGTH).contains(&data.sequence_length)
        {
            return Err(SpecError::Data);
        }
        let Method::Lora { rank, alpha, .. } = self.method;
        if rank == 0 || alpha == 0 || rank > MAX_RANK {
            return Err(SpecError::Method);
        }
        let h = &self.hyper;
        let whole = 1_000_000;
        if h.learning_rate_nano == 0
            || h.micro_batch_rows == 0
            || h.gradient_accumulation == 0
            || h.beta1_micro >= whole
            || h.beta2_micro >= whole
            || h.epsilon_pico == 0
            || self.steps_per_segment == 0
        {
            return Err(SpecError::HyperParameters);
        }
        let JobTiming { bidding_blocks, open_blocks, start_blocks, milestone_blocks } = self.timing;
        let has_empty_span = open_blocks == 0 || start_blocks == 0 || milestone_blocks == 0;
        if has_empty_span || (bidding_blocks > 0 && self.provider.is_some()) {
            return Err(SpecError::Timing);
        }
        if self.max_price == 0 {
            return Err(SpecError::Price);
        }
        let named = match &self.mode {
            ArithmeticMode::ClassExact { class } => !class.is_empty(),
            ArithmeticMode::Exact { version, .. } => *version > 0,
        };
        if !named {
            return Err(SpecError::Arithmetic);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use alloc::{vec, vec::Vec};

    fn milestones(parts: &[(u32, u32)]) -> BoundedVec<Milestone, ConstU32<MAX_MILESTONES>> {
        let list: Vec<_> =
            parts.iter().map(|(segments, parts)| (*segments, Permill::from_parts(*parts))).collect();
        BoundedVec::truncate_from(
            list.into_iter().map(|(segments, share)| Milestone { segments, share }).collect(),
        )
    }

    fn spec() -> JobSpec<u64> {
        JobSpec {
            assurance: Assurance { samples: 2, auditors: 2 },
            ..testing::job_spec(milestones(&[(2, 400_000), (3, 600_000)]))
        }
    }

    #[test]
    fn each_rule_refuses_what_breaks_it() {
        type Breaking = fn(&mut JobSpec<u64>);
        assert_eq!(spec().validate(), Ok(()));
        let cases: Vec<(SpecError, Breaking)> = vec![
            (SpecError::Segments, |s| s.milestones = milestones(&[])),
            (SpecError::Segments, |s| s.milestones = milestones(&[(0, 400_000), (3, 600_000)])),
            (SpecError::Segments, |s| s.milestones = milestones(&[(MAX_SEGMENTS + 1, 1_000_000)])),
            (SpecError::Shares, |s| s.milestones = milestones(&[(2, 400_000), (3, 599_999)])),
            (SpecError::Shares, |s| s.milestones = milestones(&[(2, 0), (3, 1_000_000)])),
            (SpecError::Assurance, |s| s.assurance.samples = 0),
            (SpecError::Assurance, |s| s.assurance.auditors = 0),
            (SpecError::Assurance, |s| s.assurance.samples = MAX_SAMPLES + 1),
            (SpecError::Assurance, |s| s.assurance.auditors = MAX_AUDITORS + 1),
            (SpecError::Assurance, |s| {
                s.milestones = milestones(&[(8, 100_000); 10]);
                s.assurance = Assurance { samples: MAX_SAMPLES, auditors: MAX_AUDITORS };
            }),
            (SpecError::SamplesAboveSegments, |s| s.assurance.samples = 3),
            (SpecError::Data, |s| s.data.rows = 0),
            (SpecError::Data, |s| s.data.sequence_length = MAX_SEQUENCE_LENGTH + 1),
            (SpecError::Method, |s| {
                s.method = Method::Lora { rank: MAX_RANK + 1, alpha: 1, rank_stabilised: false }
            }),
            (SpecError::HyperParameters, |s| s.hyper.learning_rate_nano = 0),
            (SpecError::HyperParameters, |s| s.hyper.beta2_micro = 1_000_000),
            (SpecError::HyperParameters, |s| s.steps_per_segment = 0),
            (SpecError::Timing, |s| s.timing.start_blocks = 0),
            (SpecError::Timing, |s| {
                s.timing.bidding_blocks = 1;
                s.provider = Some(7);
            }),
            (SpecError::Price, |s| s.max_price = 0),
            (SpecError::Arithmetic, |s| s.mode = ArithmeticMode::ClassExact { class: BoundedVec::default() }),
            (SpecError::Arithmetic, |s| s.mode = ArithmeticMode::Exact { version: 0, base: BaseFormat::W8 }),
        ];
        for (place, (error, breaking)) in cases.into_iter().enumerate() {
            let mut broken = spec();
            breaking(&mut broken);
            assert_eq!(broken.validate(), Err(error), "case {place}");
        }
    }

    #[test]
    fn segments_belong_to_the_milestones_in_order() {
        let spec = spec();
        assert_eq!(spec.segments(), 5);
        assert_eq!(spec.milestone_segments(0), Some((0, 2)));
        assert_eq!(spec.milestone_segments(1), Some((2, 5)));
        assert_eq!(spec.milestone_segments(2), None);
        let owners: Vec<_> = (0..6).map(|segment| spec.milestone_of(segment)).collect();
        assert_eq!(owners, vec![Some(0), Some(0), Some(1), Some(1), Some(1), None]);
        assert_eq!((spec.audits(), spec.audits_from(1), spec.audits_from(2)), (8, 4, 0));
    }

    #[test]
    fn the_remaining_milestones_share_a_price_as_they_shared_the_first_one() {
        let mut spec = spec();
        spec.milestones = milestones(&[(2, 500_000), (2, 300_000), (2, 200_000)]);
        let pays = |first| -> Vec<_> { (0..4).map(|index| spec.pay_of(index, first, 1_001)).collect() };
        assert_eq!(pays(0), vec![Some(500), Some(300), Some(200), None]);
        assert_eq!(pays(1), vec![None, Some(600), Some(400), None]);
        assert_eq!(pays(2), vec![None, None, Some(1_001), None]);
        assert_eq!(pays(3), vec![None; 4]);
        assert_eq!(spec.pay_of(0, 0, Balance::MAX), Some(Balance::MAX / 2));
    }
}
