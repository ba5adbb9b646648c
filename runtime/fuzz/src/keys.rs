//! Counts the storage keys that code reads and writes, as the measurement of weights does.
//!
//! [`Counting`] stands between the runtime and its state. It counts while [`count`] runs something and else only passes on.
//! The rules are those of the SDK's state for benchmarks, which `scripts/weights` measures with: each key once; a read is
//! one that nothing written since the beginning could have answered, so what lies below is asked for it; what a storage
//! transaction wrote is forgotten when it is rolled back; a step of an iteration reads the key that it starts from.
//!
//! ## Limitations
//! Child tries are passed on uncounted: no pallet of the runtime has one.

use core::{
    any::{Any, TypeId},
    cell::RefCell,
};
use sp_core::storage::{ChildInfo, StateVersion, TrackedStorageKey};
use sp_externalities::{Error, Extension, ExtensionStore, Externalities, MultiRemovalResults};
use std::collections::BTreeSet;

/// A key of the storage.
type Key = Vec<u8>;

/// The keys that something has touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Keys whose value, or absence, it has asked for.
    pub reads: BTreeSet<Key>,
    /// Keys that it has written or removed, without those of storage transactions that were rolled back.
    pub writes: BTreeSet<Key>,
}

/// What is counted so far: the writes of each open storage transaction apart, those outside of any first.
#[derive(Default)]
struct Count {
    reads: BTreeSet<Key>,
    outside: BTreeSet<Key>,
    open: Vec<BTreeSet<Key>>,
}

impl Count {
    fn read(&mut self, key: &[u8]) {
        let is_written = self.outside.contains(key) || self.open.iter().any(|writes| writes.contains(key));
        if !is_written && !self.reads.contains(key) {
            self.reads.insert(key.to_vec());
        }
    }

    fn write(&mut self, key: &[u8]) {
        let writes = self.open.last_mut().unwrap_or(&mut self.outside);
        if !writes.contains(key) {
            writes.insert(key.to_vec());
        }
    }

    /// Ends the innermost storage transaction, if it was begun since the count was.
    fn end_transaction(&mut self, keeps: bool) {
        if let Some(writes) = self.open.pop().filter(|_| keeps) {
            self.open.last_mut().unwrap_or(&mut self.outside).extend(writes);
        }
    }
}

thread_local! {
    /// `None` while nothing is counted.
    static COUNT: RefCell<Option<Count>> = const { RefCell::new(None) };
}

/// Runs `with` and tells what it touched. It has to run on a state that is wrapped in [`Counting`], and no other count
/// within.
pub fn count<R>(with: impl FnOnce() -> R) -> (R, Touched) {
    COUNT.set(Some(Count::default()));
    let result = with();
    let Count { reads, outside, .. } = COUNT.take().unwrap_or_default();
    (result, Touched { reads, writes: outside })
}

/// Notes something if there is a count.
fn note(with: impl FnOnce(&mut Count)) {
    COUNT.with_borrow_mut(|count| {
        if let Some(count) = count {
            with(count);
        }
    });
}

/// A state whose keys are counted.
pub struct Counting<'a>(pub &'a mut dyn Externalities);

impl Counting<'_> {
    /// Notes what clearing `prefix` will touch: up to `limit` keys, and the one where it would go on.
    fn note_clearing(&mut self, prefix: &[u8], limit: Option<u32>) {
        if COUNT.with_borrow(Option::is_none) {
            return;
        }
        let (mut last, mut left) = (prefix.to_vec(), limit);
        while let Some(key) = self.0.next_storage_key(&last).filter(|key| key.starts_with(prefix)) {
            note(|count| count.read(&key));
            if left == Some(0) {
                return;
            }
            note(|count| count.write(&key));
            left = left.map(|left| left - 1);
            last = key;
        }
    }
}

impl Externalities for Counting<'_> {
    fn storage(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        note(|count| count.read(key));
        self.0.storage(key)
    }

    fn storage_hash(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        note(|count| count.read(key));
        self.0.storage_hash(key)
    }

    fn exists_storage(&mut self, key: &[u8]) -> bool {
        note(|count| count.read(key));
        self.0.exists_storage(key)
    }

    fn next_storage_key(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        // What lies below is asked for the next key in any case.
        note(|count| {
            count.reads.insert(key.to_vec());
        });
        self.0.next_storage_key(key)
    }

    fn place_storage(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        note(|count| count.write(&key));
        self.0.place_storage(key, value);
    }

    fn storage_append(&mut self, key: Vec<u8>, value: Vec<u8>) {
        note(|count| {
            count.read(&key);
            count.write(&key);
        });
        self.0.storage_append(key, value);
    }

    fn clear_prefix(
        &mut self,
        prefix: &[u8],
        maybe_limit: Option<u32>,
        maybe_cursor: Option<&[u8]>,
    ) -> MultiRemovalResults {
        self.note_clearing(prefix, maybe_limit);
        self.0.clear_prefix(prefix, maybe_limit, maybe_cursor)
    }

    fn storage_start_transaction(&mut self) {
        note(|count| count.open.push(BTreeSet::new()));
        self.0.storage_start_transaction();
    }

    fn storage_rollback_transaction(&mut self) -> Result<(), ()> {
        note(|count| count.end_transaction(false));
        self.0.storage_rollback_transaction()
    }

    fn storage_commit_transaction(&mut self) -> Result<(), ()> {
        note(|count| count.end_transaction(true));
        self.0.storage_commit_transaction()
    }

    fn set_offchain_storage(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.0.set_offchain_storage(key, value);
    }

    fn storage_root(&mut self, state_version: StateVersion) -> Vec<u8> {
        self.0.storage_root(state_version)
    }

    fn child_storage_hash(&mut self, child_info: &ChildInfo, key: &[u8]) -> Option<Vec<u8>> {
        self.0.child_storage_hash(child_info, key)
    }

    fn child_storage(&mut self, child_info: &ChildInfo, key: &[u8]) -> Option<Vec<u8>> {
        self.0.child_storage(child_info, key)
    }

    fn exists_child_storage(&mut self, child_info: &ChildInfo, key: &[u8]) -> bool {
        self.0.exists_child_storage(child_info, key)
    }

    fn next_child_storage_key(&mut self, child_info: &ChildInfo, key: &[u8]) -> Option<Vec<u8>> {
        self.0.next_child_storage_key(child_info, key)
    }

    fn kill_child_storage(
        &mut self,
        child_info: &ChildInfo,
        maybe_limit: Option<u32>,
        maybe_cursor: Option<&[u8]>,
    ) -> MultiRemovalResults {
        self.0.kill_child_storage(child_info, maybe_limit, maybe_cursor)
    }

    fn clear_child_prefix(
        &mut self,
        child_info: &ChildInfo,
        prefix: &[u8],
        maybe_limit: Option<u32>,
        maybe_cursor: Option<&[u8]>,
    ) -> MultiRemovalResults {
        self.0.clear_child_prefix(child_info, prefix, maybe_limit, maybe_cursor)
    }

    fn place_child_storage(&mut self, child_info: &ChildInfo, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.0.place_child_storage(child_info, key, value);
    }

    fn child_storage_root(&mut self, child_info: &ChildInfo, state_version: StateVersion) -> Vec<u8> {
        self.0.child_storage_root(child_info, state_version)
    }

    fn wipe(&mut self) {
        self.0.wipe();
    }

    fn commit(&mut self) {
        self.0.commit();
    }

    fn read_write_count(&self) -> (u32, u32, u32, u32) {
        self.0.read_write_count()
    }

    fn reset_read_write_count(&mut self) {
        self.0.reset_read_write_count();
    }

    fn get_whitelist(&self) -> Vec<TrackedStorageKey> {
        self.0.get_whitelist()
    }

    fn set_whitelist(&mut self, new: Vec<TrackedStorageKey>) {
        self.0.set_whitelist(new);
    }

    fn get_read_and_written_keys(&self) -> Vec<(Vec<u8>, u32, u32, bool)> {
        self.0.get_read_and_written_keys()
    }
}

impl ExtensionStore for Counting<'_> {
    fn extension_by_type_id(&mut self, type_id: TypeId) -> Option<&mut dyn Any> {
        self.0.extension_by_type_id(type_id)
    }

    fn register_extension_with_type_id(
        &mut self,
        type_id: TypeId,
        extension: Box<dyn Extension>,
    ) -> Result<(), Error> {
        self.0.register_extension_with_type_id(type_id, extension)
    }

    fn deregister_extension_by_type_id(&mut self, type_id: TypeId) -> Result<(), Error> {
        self.0.deregister_extension_by_type_id(type_id)
    }
}
