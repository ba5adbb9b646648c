//! Keys are counted as the measurement of weights counts them: both counters look at the same code.

use attune_runtime_fuzz::keys::{count, Counting};
use frame_support::storage::unhashed;
use sc_client_db::bench::BenchmarkingState;
use sp_core::storage::Storage;
use sp_externalities::{set_and_run_with_externalities, Externalities};
use sp_io::storage;
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::{backend::Backend, Ext};

/// A state with three keys of one prefix and another one.
fn state() -> BenchmarkingState<BlakeTwo256> {
    let value = |key: &[u8]| (key.to_vec(), vec![1]);
    let content = Storage {
        top: [value(b"map a"), value(b"map b"), value(b"map c"), value(b"other")].into(),
        ..Default::default()
    };
    BenchmarkingState::new(content, None, false, true).expect("it is in memory")
}

/// Reads and writes as weights are measured.
fn measured(with: impl FnOnce()) -> (usize, usize) {
    let (state, mut overlay) = (state(), Default::default());
    let mut externalities = Ext::new(&mut overlay, &state, None);
    set_and_run_with_externalities(&mut externalities, with);
    externalities.commit();
    let (reads, _, writes, _) = state.read_write_count();
    let size = |number: u32| usize::try_from(number).expect("it is small");
    (size(reads), size(writes))
}

/// Reads and writes as the fuzzer counts them.
fn counted(with: impl FnOnce()) -> (usize, usize) {
    let (state, mut overlay) = (state(), Default::default());
    let mut externalities = Ext::new(&mut overlay, &state, None);
    let (_, touched) = set_and_run_with_externalities(&mut Counting(&mut externalities), || count(with));
    (touched.reads.len(), touched.writes.len())
}

/// Both count the code alike, and like this.
fn are(reads: usize, writes: usize, with: impl Fn()) {
    assert_eq!([measured(&with), counted(&with)], [(reads, writes); 2]);
}

#[test]
fn a_key_counts_once_and_what_is_not_there_counts() {
    are(2, 0, || {
        for _ in 0..3 {
            storage::get(b"other");
            storage::exists(b"none");
        }
    });
}

#[test]
fn what_was_written_before_is_not_read() {
    are(1, 2, || {
        storage::set(b"new", &[2]);
        storage::get(b"new");
        storage::get(b"other");
        storage::set(b"other", &[2]);
    });
}

#[test]
fn appending_reads_and_writes() {
    are(1, 1, || storage::append(b"list", vec![1]));
}

#[test]
fn a_removal_is_a_write() {
    are(0, 2, || {
        storage::clear(b"other");
        storage::clear(b"none");
    });
}

#[test]
fn what_is_rolled_back_was_read_and_not_written() {
    are(2, 1, || {
        storage::start_transaction();
        storage::set(b"map a", &[2]);
        storage::start_transaction();
        unhashed::take::<u8>(b"other");
        storage::commit_transaction();
        storage::rollback_transaction();
        // It is asked for only now, as what was written is gone.
        storage::get(b"map a");
        storage::start_transaction();
        storage::set(b"map b", &[2]);
        storage::commit_transaction();
    });
}

#[test]
fn an_iteration_reads_where_it_starts_and_what_it_finds() {
    are(4, 0, || {
        let mut key = b"map ".to_vec();
        while let Some(next) = storage::next_key(&key).filter(|next| next.starts_with(b"map ")) {
            storage::get(&next);
            key = next;
        }
    });
}

#[test]
fn clearing_a_prefix_reads_and_writes_its_keys() {
    are(3, 3, || {
        let _ = unhashed::clear_prefix(b"map ", None, None);
    });
}

#[test]
fn clearing_up_to_a_limit_reads_where_it_would_go_on() {
    are(3, 2, || {
        let _ = unhashed::clear_prefix(b"map ", Some(2), None);
    });
}
