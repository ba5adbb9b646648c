//! Code that subxt generates from the runtime's metadata, `metadata/attune.scale`.
//!
//! `cargo run -p attune-runtime --example metadata -- chain-client/metadata/attune.scale` writes that file again after a
//! change of the runtime's interface. The types of `attune_primitives` are used as they are, so that a specification
//! has one form and one hash on both sides.
#![allow(missing_docs, unreachable_pub, clippy::all)]

// The macro reads the file behind Cargo's back; with this, a change of it compiles the crate again.
const _: &[u8] = include_bytes!("../metadata/attune.scale");

#[subxt::subxt(
    runtime_metadata_path = "metadata/attune.scale",
    derive_for_all_types = "Clone",
    substitute_type(
        path = "attune_primitives::job::JobSpec<A>",
        with = "::subxt::utils::Static<crate::types::Spec>"
    ),
    substitute_type(
        path = "attune_primitives::machine::JobState",
        with = "::subxt::utils::Static<::attune_primitives::machine::JobState>"
    ),
    substitute_type(
        path = "attune_primitives::machine::Failure",
        with = "::subxt::utils::Static<::attune_primitives::machine::Failure>"
    ),
    substitute_type(
        path = "attune_primitives::proof::SegmentCommitment",
        with = "::subxt::utils::Static<::attune_primitives::proof::SegmentCommitment>"
    ),
    substitute_type(
        path = "attune_primitives::proof::SegmentMetrics",
        with = "::subxt::utils::Static<::attune_primitives::proof::SegmentMetrics>"
    ),
    substitute_type(
        path = "attune_primitives::proof::Verdict",
        with = "::subxt::utils::Static<::attune_primitives::proof::Verdict>"
    ),
    substitute_type(
        path = "attune_primitives::proof::Tranche<A>",
        with = "::subxt::utils::Static<crate::types::PaidTranche>"
    ),
    substitute_type(
        path = "attune_primitives::proof::AuditEntry<A>",
        with = "::subxt::utils::Static<crate::types::RecordedAudit>"
    ),
    substitute_type(
        path = "attune_primitives::proof::TrainingRecord<A>",
        with = "::subxt::utils::Static<crate::types::Record>"
    ),
    substitute_type(
        path = "attune_primitives::provider::Hardware",
        with = "::subxt::utils::Static<::attune_primitives::provider::Hardware>"
    ),
    substitute_type(
        path = "attune_primitives::provider::ProviderProfile",
        with = "::subxt::utils::Static<::attune_primitives::provider::ProviderProfile>"
    )
)]
mod generated {}

pub use generated::*;
