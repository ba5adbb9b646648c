//! Many rows, on the threads of a pool.
//!
//! The one idea: outputs are cut into parts before any thread starts, so every part has one owner and nothing is shared.
//! Who works on a part has no influence on what is written.

use std::sync::{Mutex, PoisonError};

use attune_exact::optimizer::Scalars;
use attune_exact::rotary::Rotary;

use super::columns::{self, Matrix};
use super::norm::Normed;
use super::optimizer::Exponent;
use super::{activation, norm, optimizer, quantise, rotary, Failed, NotFinite};
use crate::{Isa, Threads, Width};

/// As many elements as are worth handing to another thread.
const WORTH: usize = 1 << 14;

/// What can go wrong with a row.
pub trait Fault: Copy + Send {
    /// The one of two that the specification reports.
    fn earlier(self, other: Self) -> Self;
}

impl Fault for NotFinite {
    fn earlier(self, _: Self) -> Self {
        self
    }
}

impl Fault for Failed {
    fn earlier(self, other: Self) -> Self {
        self.min(other)
    }
}

/// Calls `run` once with each part, on whichever thread is free.
///
/// # Errors
/// The earliest of all parts' errors; parts run whether others fail or not.
pub fn each<T: Send, E: Fault>(
    threads: &Threads,
    parts: impl IntoIterator<Item = T>,
    run: impl Fn(T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let parts: Vec<_> = parts.into_iter().map(|part| Mutex::new(Some(part))).collect();
    let failed = Mutex::new(None);
    threads.for_each(parts.len(), |index| {
        let part = parts[index].lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = part.map(&run) {
            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
            *failed = Some(failed.take().map_or(error, |other: E| other.earlier(error)));
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// How many of `rows` rows of `columns` elements make a part: four parts for each thread, but none too small.
fn share(threads: &Threads, rows: usize, columns: usize) -> usize {
    let parts = if threads.count() == 1 { 1 } else { 4 * threads.count() };
    rows.div_ceil(parts).max(WORTH.div_ceil(columns.max(1))).max(1)
}

/// [`quantise::row`] on each row: `x` and `q` are `[rows, columns]`, `scales` `[rows]`.
///
/// # Errors
/// An element is infinite or NaN.
pub fn quantise_rows(
    threads: &Threads,
    isa: Isa,
    x: &[f32],
    columns: usize,
    width: Width,
    q: &mut [i16],
    scales: &mut [f32],
) -> Result<(), NotFinite> {
    assert!(x.len() == scales.len() * columns && x.len() == q.len(), "mantissas of rows");
    let rows = share(threads, scales.len(), columns);
    let size = (rows * columns).max(1);
    let parts = x.chunks(size).zip(q.chunks_mut(size)).zip(scales.chunks_mut(rows));
    each(threads, parts, |((x, q), scales)| {
        for ((x, q), scale) in x.chunks(columns).zip(q.chunks_mut(columns)).zip(scales) {
            *scale = quantise::row(isa, x, width, q)?;
        }
        Ok(())
    })
}

/// [`quantise::wide_times`] on each row: `x` and `q` are `[rows, columns]`, `w` `[columns]`, `scales` `[rows]`.
///
/// # Errors
/// A product is infinite or NaN.
pub fn wide_times_rows(
    threads: &Threads,
    isa: Isa,
    x: &[f32],
    w: &[f32],
    q: &mut [i16],
    scales: &mut [f32],
) -> Result<(), NotFinite> {
    let columns = w.len();
    assert!(x.len() == scales.len() * columns && x.len() == q.len(), "mantissas of rows times weights");
    let rows = share(threads, scales.len(), columns);
    let size = (rows * columns).max(1);
    let parts = x.chunks(size).zip(q.chunks_mut(size)).zip(scales.chunks_mut(rows));
    each(threads, parts, |((x, q), scales)| {
        for ((x, q), scale) in x.chunks(columns).zip(q.chunks_mut(columns)).zip(scales) {
            *scale = quantise::wide_times(isa, x, w, q)?;
        }
        Ok(())
    })
}

/// [`norm::forward`] on each row: `x` and `q` are `[rows, columns]`, `w` `[columns]`, `normed` `[rows]`.
///
/// # Errors
/// An element of x of any row is infinite or NaN, or else one of y.
pub fn norm_rows(
    threads: &Threads,
    isa: Isa,
    x: &[f32],
    w: &[f32],
    eps: f32,
    q: &mut [i16],
    normed: &mut [Normed],
) -> Result<(), Failed> {
    let columns = w.len();
    assert!(x.len() == normed.len() * columns && x.len() == q.len(), "norm of rows");
    let rows = share(threads, normed.len(), columns);
    let size = (rows * columns).max(1);
    let parts = x.chunks(size).zip(q.chunks_mut(size)).zip(normed.chunks_mut(rows));
    each(threads, parts, |((x, q), normed)| {
        let mut failed = None;
        for ((x, q), normed) in x.chunks(columns).zip(q.chunks_mut(columns)).zip(normed) {
            match norm::forward(isa, x, w, eps, q) {
                Ok(new) => *normed = new,
                // A later row may still fail the earlier check.
                Err(Failed::Second) => failed = Some(Failed::Second),
                Err(Failed::First) => return Err(Failed::First),
            }
        }
        failed.map_or(Ok(()), Err)
    })
}

/// [`norm::backward_residual`] on each row: `dy`, `x` and `dx` are `[rows, columns]`, `w` `[columns]`, `rho` `[rows]`.
///
/// # Errors
/// An element of x or of dy × w is infinite or NaN.
pub fn norm_backward_rows(
    threads: &Threads,
    isa: Isa,
    dy: &[f32],
    x: &[f32],
    w: &[f32],
    rho: &[f32],
    dx: &mut [f32],
) -> Result<(), NotFinite> {
    let columns = w.len();
    let elements = rho.len() * columns;
    assert!(dy.len() == elements && x.len() == elements && dx.len() == elements, "gradient of norms");
    let rows = share(threads, rho.len(), columns);
    let size = (rows * columns).max(1);
    let parts = dx.chunks_mut(size).zip(dy.chunks(size)).zip(x.chunks(size)).zip(rho.chunks(rows));
    each(threads, parts, |(((dx, dy), x), rho)| {
        let rows = dx.chunks_mut(columns).zip(dy.chunks(columns)).zip(x.chunks(columns)).zip(rho);
        for (((dx, dy), x), rho) in rows {
            norm::backward_residual(isa, dy, x, w, *rho, dx)?;
        }
        Ok(())
    })
}

/// Which way heads are turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// [`rotary::forward`].
    Forward,
    /// [`rotary::backward`].
    Backward,
}

/// Rotates the first `width` elements of each row, whole heads, in place: `x` is `[rows, stride]`, with one row of the
/// table each. With queries, keys and values side by side, `width` covers queries and keys.
pub fn rotate_rows(
    threads: &Threads,
    isa: Isa,
    x: &mut [f32],
    stride: usize,
    width: usize,
    table: &Rotary,
    turn: Turn,
) {
    let (count, half) = (x.len() / stride.max(1), table.pairs);
    let (cos, sin) = (&table.cosine, &table.sine);
    assert!(x.len() == count * stride && width <= stride, "rotation of rows");
    assert!(cos.len() == count * half && sin.len() == count * half, "one row of the table for each token");
    let rows = share(threads, count, width);
    let parts = x.chunks_mut((rows * stride).max(1)).zip(cos.chunks((rows * half).max(1)));
    let parts = parts.zip(sin.chunks((rows * half).max(1)));
    let done = each(threads, parts, |((x, cos), sin)| {
        for ((x, cos), sin) in x.chunks_mut(stride).zip(cos.chunks(half)).zip(sin.chunks(half)) {
            match turn {
                Turn::Forward => rotary::forward(isa, &mut x[..width], cos, sin),
                Turn::Backward => rotary::backward(isa, &mut x[..width], cos, sin),
            }
        }
        Ok::<(), NotFinite>(())
    });
    done.expect("a rotation checks nothing; qed");
}

/// [`activation::forward`] on each row: `gate_up` is `[rows, 2 * inner]`, gate before up; `q` is `[rows, inner]`, `scales`
/// `[rows]`.
///
/// # Errors
/// An element of the activation is infinite or NaN.
pub fn activation_rows(
    threads: &Threads,
    isa: Isa,
    gate_up: &[f32],
    inner: usize,
    q: &mut [i16],
    scales: &mut [f32],
) -> Result<(), NotFinite> {
    let count = scales.len();
    assert!(gate_up.len() == 2 * inner * count && q.len() == inner * count, "activation of rows");
    let rows = share(threads, count, inner);
    let size = (rows * inner).max(1);
    let parts = gate_up.chunks(2 * size).zip(q.chunks_mut(size)).zip(scales.chunks_mut(rows));
    each(threads, parts, |((gate_up, q), scales)| {
        let mut act = vec![0.0; inner];
        for ((row, q), scale) in gate_up.chunks(2 * inner).zip(q.chunks_mut(inner)).zip(scales) {
            let (gate, up) = row.split_at(inner);
            *scale = activation::forward(isa, gate, up, &mut act, q)?;
        }
        Ok(())
    })
}

/// [`activation::backward`] on each row, and then h = dy × w of the gate-up projection as wide mantissas: `gate_up` and `q`
/// are `[rows, 2 * inner]`, `da` `[rows, inner]`, `w` `[2 * inner]`, `scales` `[rows]`.
///
/// # Errors
/// An element of h is infinite or NaN.
pub fn activation_backward_rows(
    threads: &Threads,
    isa: Isa,
    gate_up: &[f32],
    da: &[f32],
    w: &[f32],
    q: &mut [i16],
    scales: &mut [f32],
) -> Result<(), NotFinite> {
    let (count, inner) = (scales.len(), w.len() / 2);
    assert!(w.len() == 2 * inner && da.len() == inner * count, "gradient of activations");
    assert!(gate_up.len() == 2 * inner * count && q.len() == gate_up.len(), "gradient of activations");
    let rows = share(threads, count, 2 * inner);
    let size = (rows * inner).max(1);
    let parts = gate_up.chunks(2 * size).zip(da.chunks(size)).zip(q.chunks_mut(2 * size));
    each(threads, parts.zip(scales.chunks_mut(rows)), |(((gate_up, da), q), scales)| {
        let mut dy = vec![0.0; 2 * inner];
        let rows = gate_up.chunks(2 * inner).zip(da.chunks(inner)).zip(q.chunks_mut(2 * inner)).zip(scales);
        for (((row, da), q), scale) in rows {
            let ((gate, up), (dgate, dup)) = (row.split_at(inner), dy.split_at_mut(inner));
            activation::backward(isa, gate, up, da, dgate, dup);
            *scale = quantise::wide_times(isa, &dy, w, q)?;
        }
        Ok(())
    })
}

/// [`columns::transposed`], the columns cut among the threads.
///
/// # Errors
/// An element, with its factor, is infinite or NaN.
pub fn columns_transposed(
    threads: &Threads,
    isa: Isa,
    matrix: Matrix,
    width: Width,
    q: &mut [i16],
    q_stride: usize,
    scales: &mut [f32],
) -> Result<(), NotFinite> {
    assert!(
        q.len() == matrix.columns() * q_stride && scales.len() == matrix.columns(),
        "columns, transposed"
    );
    let step = share(threads, matrix.columns(), matrix.rows()).next_multiple_of(columns::STRIPE);
    let parts = q.chunks_mut((step * q_stride).max(1)).zip(scales.chunks_mut(step)).enumerate();
    each(threads, parts, |(index, (q, scales))| {
        let part = matrix.column_range(index * step, index * step + scales.len());
        columns::transposed(isa, part, width, q, q_stride, scales)
    })
}

/// [`columns::in_place`], the rows cut among the threads.
///
/// # Errors
/// An element, with its factor, is infinite or NaN.
pub fn columns_in_place(
    threads: &Threads,
    isa: Isa,
    matrix: Matrix,
    width: Width,
    q: &mut [i16],
    scales: &mut [f32],
) -> Result<(), NotFinite> {
    let (rows, columns) = (matrix.rows(), matrix.columns());
    assert!(q.len() == rows * columns && scales.len() == columns, "columns");
    let step = share(threads, rows, columns);
    let ranges = || (0..rows).step_by(step).map(|start| (start, rows.min(start + step)));
    let largest = Mutex::new(vec![0i32; columns]);
    each(threads, ranges(), |(start, end)| {
        let mut own = vec![0; columns];
        columns::raise_largest(isa, matrix.row_range(start, end), &mut own);
        let mut largest = largest.lock().unwrap_or_else(PoisonError::into_inner);
        largest.iter_mut().zip(own).for_each(|(largest, own)| *largest = (*largest).max(own));
        Ok(())
    })?;
    let largest = largest.into_inner().unwrap_or_else(PoisonError::into_inner);
    // All parts find the same scales; those of no row at all are the caller's.
    columns::fill(isa, matrix.row_range(0, 0), &largest, width, &mut [], scales)?;
    each(threads, ranges().zip(q.chunks_mut((step * columns).max(1))), |((start, end), q)| {
        let mut same = vec![0.0; columns];
        columns::fill(isa, matrix.row_range(start, end), &largest, width, q, &mut same)
    })
}

/// [`quantise::add`] of two long vectors.
pub fn add(threads: &Threads, isa: Isa, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "sum of two vectors");
    let size = share(threads, x.len(), 1);
    let done = each(threads, x.chunks_mut(size).zip(y.chunks(size)), |(x, y)| {
        quantise::add(isa, x, y);
        Ok::<(), NotFinite>(())
    });
    done.expect("an addition checks nothing; qed");
}

/// [`optimizer::norm`] of a long gradient.
///
/// # Errors
/// An element is infinite or NaN.
pub fn gradient_norm(threads: &Threads, isa: Isa, g: &[f32]) -> Result<f64, NotFinite> {
    assert!(g.len() <= optimizer::LONGEST, "a gradient of {} elements is too long", g.len());
    let size = share(threads, g.len(), 1);
    let largest = Mutex::new(0i32);
    each(threads, g.chunks(size), |g| {
        let own = optimizer::largest(isa, g);
        let mut largest = largest.lock().unwrap_or_else(PoisonError::into_inner);
        *largest = (*largest).max(own);
        Ok(())
    })?;
    let exponent = Exponent::of(largest.into_inner().unwrap_or_else(PoisonError::into_inner))?;
    let sum = Mutex::new(0u64);
    each(threads, g.chunks(size), |g| {
        let own = optimizer::square_sum(isa, g, exponent);
        *sum.lock().unwrap_or_else(PoisonError::into_inner) += own;
        Ok(())
    })?;
    Ok(exponent.norm(sum.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// [`optimizer::scale`] of a long gradient.
pub fn scale(threads: &Threads, isa: Isa, g: &mut [f32], kappa: f32) {
    let size = share(threads, g.len(), 1);
    let done = each(threads, g.chunks_mut(size), |g| {
        optimizer::scale(isa, g, kappa);
        Ok::<(), NotFinite>(())
    });
    done.expect("a multiplication checks nothing; qed");
}

/// [`optimizer::adamw`] on all parameters.
///
/// # Errors
/// A parameter became infinite or NaN.
pub fn adamw(
    threads: &Threads,
    isa: Isa,
    theta: &mut [f32],
    g: &[f32],
    m: &mut [f32],
    v: &mut [f32],
    with: Scalars,
) -> Result<(), NotFinite> {
    let n = theta.len();
    assert!(n == g.len() && n == m.len() && n == v.len(), "parameters, gradient and moments");
    let size = share(threads, n, 1);
    let parts = theta.chunks_mut(size).zip(g.chunks(size)).zip(m.chunks_mut(size)).zip(v.chunks_mut(size));
    each(threads, parts, |(((theta, g), m), v)| optimizer::adamw(isa, theta, g, m, v, with))
}
