//! Output projection and cross-entropy, some tokens at a time: the full table of logits never exists.

use attune_kernels::{
    product,
    rows::{loss, parallel::each, Failed, NotFinite},
    Epilogue, Left, Output, Width,
};

use super::{
    frozen::Matrix,
    projection::{Machine, Quantised},
};

/// Logits held at a time, in elements: 32 MiB.
pub(super) const LOGITS: usize = 8 << 20;
/// Fewer rows at a time would leave the kernels little to share.
pub(super) const LEAST_ROWS: usize = 16;

/// A real loss in units of 2^−24; the product is exact, and rounded to an integer, ties to even.
fn fixed(loss: f32) -> i64 {
    (f64::from(loss) * f64::from(1u32 << 24)).round_ties_even() as i64
}

/// Logits of the rows `from..from + count` of `x`, `[count, vocab]`.
fn logits(machine: &Machine, head: &Matrix, x: &Quantised, (from, count): (usize, usize)) -> Vec<f32> {
    let mut z = vec![0.0; count * head.outputs];
    let rows = &x.q[from * head.inputs..(from + count) * head.inputs];
    let left = Left::new(rows, count, head.inputs, head.inputs, Width::Wide);
    let epilogue = Epilogue::scaled(&x.scales[from..from + count], &head.scales);
    let out = Output::rows(&mut z, head.outputs);
    product(machine.isa, &machine.threads, &left, &head.outputs(), &epilogue, out);
    z
}

fn chunks(machine: &Machine, head: &Matrix, rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let size = (machine.logits / head.outputs).max(LEAST_ROWS);
    (0..rows).step_by(size).map(move |from| (from, size.min(rows - from)))
}

/// Σ int(ℓ × 2^24) over the rows of `x`, the last norm's output, and their targets.
///
/// # Errors
/// A logit is infinite or NaN.
pub(super) fn loss(
    machine: &Machine,
    head: &Matrix,
    x: &Quantised,
    targets: &[usize],
) -> Result<i64, NotFinite> {
    let mut sum = 0;
    for (from, count) in chunks(machine, head, targets.len()) {
        let z = logits(machine, head, x, (from, count));
        let mut losses = vec![0; count];
        let rows = z.chunks(head.outputs).zip(&targets[from..]).zip(&mut losses);
        each(&machine.threads, rows, |((z, target), loss)| {
            *loss = fixed(loss::only(machine.isa, z, *target)?.loss);
            Ok(())
        })?;
        sum += losses.iter().sum::<i64>();
    }
    Ok(sum)
}

/// As [`loss`], and the gradient of ω times the mean loss with respect to the rows, into `dn` `[rows, hidden]`.
///
/// # Errors
/// A logit is infinite or NaN (the forward check), or the gradient's mantissas would be (the backward one).
pub(super) fn with_gradient(
    machine: &Machine,
    head: &Matrix,
    x: &Quantised,
    targets: &[usize],
    omega: f32,
    dn: &mut [f32],
) -> Result<i64, Failed> {
    let (vocab, hidden, isa) = (head.outputs, head.inputs, machine.isa);
    let ones = vec![1.0; hidden];
    let mut sum = 0;
    for (from, count) in chunks(machine, head, targets.len()) {
        let mut z = logits(machine, head, x, (from, count));
        let mut u = Quantised::room(count, vocab);
        let mut tokens = vec![(0, 0.0); count];
        let rows = z.chunks_mut(vocab).zip(u.q.chunks_mut(vocab)).zip(&mut u.scales);
        each(&machine.threads, rows.zip(&targets[from..]).zip(&mut tokens), |row| {
            let ((((z, q), scale), target), token) = row;
            let made = loss::with_gradient(isa, z, &head.scales, *target, q)?;
            (*scale, *token) = (made.scale, (fixed(made.loss), made.zeta));
            Ok(())
        })?;
        drop(z);
        sum += tokens.iter().map(|(loss, _)| loss).sum::<i64>();
        let dn = &mut dn[from * hidden..(from + count) * hidden];
        let left = Left::new(&u.q, count, vocab, vocab, Width::Wide);
        let epilogue = Epilogue::scaled(&u.scales, &ones);
        product(isa, &machine.threads, &left, &head.inputs(), &epilogue, Output::rows(dn, hidden));
        for ((dn, target), (_, zeta)) in dn.chunks_mut(hidden).zip(&targets[from..]).zip(&tokens) {
            loss::input_gradient(isa, dn, *zeta, head.row(*target), head.scales[*target], omega);
        }
    }
    Ok(sum)
}
