//! What is refused, and in which words.

use attune_cuda::{
    ops::{Epilogue, Operand, Scales, Tables, Target},
    Device, Error,
};

#[test]
fn a_machine_without_a_gpu_is_told_so() {
    match Device::cuda(usize::MAX, None) {
        Err(error @ (Error::NoDriver | Error::NoDevice { .. })) => {
            assert!(error.to_string().starts_with("expected"), "{error}");
        }
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("there cannot be so many GPUs"),
    }
}

#[test]
fn a_product_of_operands_that_do_not_fit_is_refused() {
    let device = Device::host();
    let (left, right) = (device.zeros(6).unwrap(), device.zeros(8).unwrap());
    let mut out = device.zeros(4).unwrap();
    let epilogue = Epilogue::scaled(Scales::ONES, Scales::ONES);
    let mut run = |left: Operand<'_>, right: Operand<'_>, stride| {
        let target = Target::rows(out.all_mut(), stride);
        device.product(&left, &right, &epilogue, target, Tables::ONE)
    };
    let fits = run(Operand::mantissas(left.all(), 2, 3, 3), Operand::mantissas(right.all(), 2, 3, 3), 2);
    assert!(fits.is_ok());
    let depths = run(Operand::mantissas(left.all(), 2, 3, 3), Operand::mantissas(right.all(), 2, 4, 4), 2);
    assert!(matches!(depths, Err(Error::Shape { expected: 3, found: 4, .. })));
    let short = run(Operand::mantissas(left.all(), 3, 3, 3), Operand::mantissas(right.all(), 1, 3, 3), 1);
    assert!(matches!(short, Err(Error::Shape { expected: 9, found: 6, .. })));
    let room = run(Operand::mantissas(left.all(), 2, 3, 3), Operand::mantissas(right.all(), 2, 3, 3), 4);
    assert!(matches!(room, Err(Error::Shape { expected: 6, found: 4, .. })));
}

#[test]
fn a_left_operand_of_weights_is_refused() {
    let device = Device::host();
    let (weights, mut out) = (device.zeros(4).unwrap(), device.zeros(4).unwrap());
    let weights = Operand::w8(weights.all(), 2, 2);
    let epilogue = Epilogue::scaled(Scales::ONES, Scales::ONES);
    let made = device.product(&weights, &weights, &epilogue, Target::rows(out.all_mut(), 2), Tables::ONE);
    assert!(matches!(made, Err(Error::Shape { expected: 16, .. })));
}
