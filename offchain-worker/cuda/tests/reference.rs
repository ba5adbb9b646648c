//! Every kernel, compiled for the host, against the reference; blocks of several sizes, both inner loops of the products.

use attune_cuda::{
    check::{Source, ALL},
    Device,
};

fn all_agree(device: &Device, seed: u64) {
    let mut failed = Vec::new();
    for comparison in ALL {
        match (comparison.run)(device, &mut Source::new(seed)) {
            Ok(count) => assert!(count > 0, "{} compared nothing", comparison.name),
            Err(error) => failed.push(format!("{}: {error}", comparison.name)),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn kernels_equal_the_reference() {
    all_agree(&Device::host(), 1);
}

#[test]
fn kernels_equal_the_reference_in_small_blocks_and_without_tensor_cores() {
    all_agree(&Device::host_with(32, true), 2);
}

#[test]
fn kernels_equal_the_reference_in_large_blocks() {
    all_agree(&Device::host_with(256, false), 3);
}
