//! Types and pure rules that the chain and its workers share.
//!
//! Nothing here knows a chain, a clock, a disk or a network: the job state machine, the audit odds, the data order, the
//! Merkle trees and the trace hash chain are plain functions, so that the pallet that enforces a rule, the worker that
//! predicts it and the test that enumerates it run the same text.
//!
//! Map:
//! * [`job`] - what a customer orders: [`job::JobSpec`] and its validation.
//! * [`machine`] - the life of a job as one pure function, [`machine::next`].
//! * [`provider`] - what a provider advertises.
//! * [`proof`] - commitments, verdicts, and the training record that outlives a job.
//! * [`heartbeat`] - who is asked for a heartbeat when, and what is signed.
//! * [`odds`] - how likely a cheat is caught, and the bond that makes cheating not pay.
//! * [`hashing`], [`merkle`], [`trace`], [`permutation`] - the hashes that the chain checks, and the data order.
//! * [`traits`] - how the pallets reach each other.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod hashing;
pub mod heartbeat;
pub mod job;
pub mod machine;
pub mod merkle;
pub mod odds;
pub mod permutation;
pub mod proof;
pub mod provider;
pub mod trace;
#[cfg(feature = "pallet-traits")]
pub mod traits;

pub use primitive_types::H256;

/// A balance in planck, the smallest unit of the token.
pub type Balance = u128;
/// A block number, and a span of time in blocks.
pub type BlockNumber = u32;
/// Identifies a job; handed out in order, never reused.
pub type JobId = u64;
/// Identifies a base model in the registry.
pub type ModelId = u32;
/// Identifies a training record; equal to the id of the job that made it.
pub type RecordId = JobId;
