//! A projection group: a frozen matrix whose parts each have a low-rank adapter (SPEC.md, sections 5 and 6).
//!
//! `n` is the number of tokens of the micro-batch, `p` the number of parts, `r` the rank, `width` is p r.

use std::ops::Range;

use attune_exact::mantissa::Width;

use super::frozen::Matrix;
use crate::{
    buffer::{Buffer, View, ViewMut},
    device::Device,
    error::Result,
    ops::{
        Check, ColumnsOut, Epilogue, Factor, Matrix as Columns, Operand, Pieces, Scales, Second, Strides,
        Tables, Target,
    },
};

/// Rows as mantissas: `[n, columns]`, one scale per row.
pub(crate) struct Quantised {
    pub(crate) q: Buffer<i16>,
    /// `[n]`
    pub(crate) scales: Buffer<f32>,
}

impl Quantised {
    pub(crate) fn room(device: &Device, rows: usize, columns: usize) -> Result<Self> {
        Ok(Self { q: device.zeros(rows * columns)?, scales: device.zeros(rows)? })
    }

    /// The rows of `x`, times `times` if that is given.
    pub(crate) fn of(
        device: &Device,
        x: View<'_, f32>,
        (rows, columns): (usize, usize),
        times: Option<View<'_, f32>>,
        width: Width,
        check: Check<'_>,
    ) -> Result<Self> {
        let mut made = Self::room(device, rows, columns)?;
        let pieces = Pieces { rows, groups: 1, columns };
        let whole = Strides::rows(columns);
        let (q, scale) = ((made.q.all_mut(), whole), (made.scales.all_mut(), Strides::rows(1)));
        device.quantise_rows(pieces, (x, whole), times, width, q, scale, check)?;
        Ok(made)
    }

    fn left(&self, columns: usize) -> Operand<'_> {
        Operand::mantissas(self.q.all(), self.scales.len(), columns, columns)
    }
}

/// Where the two matrices of one part lie in the flat parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `[r, in]`
    pub a: Range<usize>,
    /// `[part's outputs, r]`
    pub b: Range<usize>,
}

/// A frozen matrix and where its adapters lie.
pub(super) struct Group<'a> {
    pub(super) device: &'a Device,
    pub(super) frozen: &'a Matrix,
    pub(super) bias: Option<&'a Buffer<f32>>,
    /// The flat parameters.
    pub(super) flat: &'a Buffer<f32>,
    pub(super) places: &'a [Place],
    pub(super) rank: usize,
    pub(super) sigma: f32,
    /// Of the operator, over the rows of the micro-batch, and over what all sequences share.
    pub(super) check: Check<'a>,
    pub(super) shared: Check<'a>,
}

/// What the forward pass left.
pub(super) struct Saved<'a> {
    pub(super) x: &'a Quantised,
    pub(super) low: &'a Buffer<f32>,
    /// dy × w as wide mantissas, `[n, outputs]`.
    pub(super) h: &'a Quantised,
}

impl Group<'_> {
    fn width(&self) -> usize {
        self.places.len() * self.rank
    }

    /// The outputs of each part.
    fn parts(&self) -> Vec<Range<usize>> {
        let mut end = 0;
        let part = |place: &Place| {
            let start = end;
            end += place.b.len() / self.rank;
            start..end
        };
        self.places.iter().map(part).collect()
    }

    /// Narrow rows of A (all parts) and B.
    fn quantised(&self) -> Result<(Quantised, Quantised)> {
        let (device, inputs, rank) = (self.device, self.frozen.inputs, self.rank);
        let mut a = Quantised::room(device, self.width(), inputs)?;
        let mut b = Quantised::room(device, self.frozen.outputs, rank)?;
        for ((index, place), part) in self.places.iter().enumerate().zip(self.parts()) {
            let rows = index * rank..(index + 1) * rank;
            self.narrow_rows(&place.a, inputs, &mut a, rows)?;
            self.narrow_rows(&place.b, rank, &mut b, part)?;
        }
        Ok((a, b))
    }

    fn narrow_rows(
        &self,
        from: &Range<usize>,
        columns: usize,
        to: &mut Quantised,
        rows: Range<usize>,
    ) -> Result<()> {
        let pieces = Pieces { rows: rows.len(), groups: 1, columns };
        let whole = Strides::rows(columns);
        let q = to.q.all_mut().range(rows.start * columns..rows.end * columns);
        let scales = to.scales.all_mut().range(rows);
        let x = self.flat.all().range(from.clone());
        let scales = (scales, Strides::rows(1));
        self.device.quantise_rows(pieces, (x, whole), None, Width::Narrow, (q, whole), scales, self.shared)
    }

    /// y = x Wᵀ + bias + low-rank, and the residual on its left where there is one, into `out` `[n, outputs]`. Returns the
    /// low-rank values `[n, width]`.
    pub(super) fn forward(
        &self,
        x: &Quantised,
        residual: Option<&Buffer<f32>>,
        out: ViewMut<'_, f32>,
    ) -> Result<Buffer<f32>> {
        let Matrix { outputs, inputs, ref scales, .. } = *self.frozen;
        let (device, n, rank, width) = (self.device, x.scales.len(), self.rank, self.width());
        let (a, b) = self.quantised()?;
        let mut low = device.zeros::<f32>(n * width)?;
        let rows = Scales::of(x.scales.all());
        let epilogue =
            Epilogue { constant: Some(self.sigma), ..Epilogue::scaled(rows, Scales::of(a.scales.all())) };
        device.product(
            &x.left(inputs),
            &a.left(inputs),
            &epilogue,
            Target::rows(low.all_mut(), width),
            Tables::ONE,
        )?;
        // Each part's low-rank values have a scale of their own: `[parts, n]`.
        let (mut q, mut q_scales) =
            (device.zeros::<i16>(n * width)?, device.zeros::<f32>(n * self.places.len())?);
        let pieces = Pieces { rows: n, groups: self.places.len(), columns: rank };
        let at = Strides { row: width, group: rank };
        let to = (q_scales.all_mut(), Strides { row: 1, group: n });
        device.quantise_rows(
            pieces,
            (low.all(), at),
            None,
            Width::Narrow,
            (q.all_mut(), at),
            to,
            self.check,
        )?;
        let second = |(index, part): (usize, Range<usize>)| Second {
            left: Operand::mantissas(q.all().from(index * rank), n, rank, width),
            right: Operand::mantissas(b.q.all().from(part.start * rank), part.len(), rank, rank),
            row_scale: Scales::of(q_scales.all().range(index * n..(index + 1) * n)),
            column_scale: Scales::of(b.scales.all().range(part.clone())),
            columns: part,
        };
        let seconds: Vec<Second<'_>> = self.parts().into_iter().enumerate().map(second).collect();
        let epilogue = Epilogue {
            bias: self.bias.map(Buffer::all),
            second: &seconds,
            residual: residual.map(|residual| (residual.all(), outputs)),
            ..Epilogue::scaled(rows, Scales::of(scales.all()))
        };
        device.product(
            &x.left(inputs),
            &self.frozen.outputs(),
            &epilogue,
            Target::rows(out, outputs),
            Tables::ONE,
        )?;
        Ok(low)
    }

    /// Adds the gradients of A and B to `gradient` (flat), sequence by sequence of `length` tokens, and writes dx `[n, in]`
    /// if it is wanted.
    pub(super) fn backward(
        &self,
        saved: &Saved<'_>,
        length: usize,
        gradient: &mut Buffer<f32>,
        dx: Option<ViewMut<'_, f32>>,
    ) -> Result<()> {
        let dlow = self.low_gradient(saved)?;
        self.parameter_gradients(saved, &dlow, length, gradient)?;
        let Some(dx) = dx else { return Ok(()) };
        let Matrix { outputs, inputs, .. } = *self.frozen;
        let (device, width) = (self.device, self.width());
        let n = saved.h.scales.len();
        // All A, one above the other, as narrow columns.
        let mut stacked = device.zeros::<f32>(width * inputs)?;
        for (index, place) in self.places.iter().enumerate() {
            let rows = index * self.rank * inputs..(index + 1) * self.rank * inputs;
            device.add(stacked.all_mut().range(rows), self.flat.all().range(place.a.clone()))?;
        }
        let (mut alpha, mut alpha_scales) =
            (device.zeros::<i16>(width * inputs)?, device.zeros::<f32>(inputs)?);
        let columns = Columns::new(stacked.all(), width, inputs, Factor::None);
        let out = ColumnsOut {
            q: alpha.all_mut(),
            stride: inputs,
            transposed: false,
            step: (0, 0),
            scale: alpha_scales.all_mut(),
            scale_step: (0, 0),
        };
        device.quantise_columns(&columns, Width::Narrow, out, self.shared)?;
        let d = Quantised::of(device, dlow.all(), (n, width), None, Width::Narrow, self.check)?;
        let second = Second {
            columns: 0..inputs,
            left: d.left(width),
            right: Operand::mantissas(alpha.all(), width, inputs, inputs).transposed(),
            row_scale: Scales::of(d.scales.all()),
            column_scale: Scales::of(alpha_scales.all()),
        };
        let plain = Epilogue::scaled(Scales::of(saved.h.scales.all()), Scales::ONES);
        let epilogue = Epilogue { second: &[second], ..plain };
        let h = saved.h.left(outputs);
        device.product(&h, &self.frozen.inputs(), &epilogue, Target::rows(dx, inputs), Tables::ONE)
    }

    /// dlow, `[n, width]`.
    fn low_gradient(&self, saved: &Saved<'_>) -> Result<Buffer<f32>> {
        let Matrix { outputs, ref scales, .. } = *self.frozen;
        let (device, n, rank, width) = (self.device, saved.h.scales.len(), self.rank, self.width());
        let mut dlow = device.zeros::<f32>(n * width)?;
        for ((index, place), part) in self.places.iter().enumerate().zip(self.parts()) {
            let mut beta = device.zeros::<i16>(part.len() * rank)?;
            let mut beta_scales = device.zeros::<f32>(rank)?;
            let channels = Factor::Over(scales.all().range(part.clone()));
            let columns = Columns::new(self.flat.all().range(place.b.clone()), part.len(), rank, channels);
            let out = ColumnsOut {
                q: beta.all_mut(),
                stride: part.len(),
                transposed: true,
                step: (0, 0),
                scale: beta_scales.all_mut(),
                scale_step: (0, 0),
            };
            device.quantise_columns(&columns, Width::Narrow, out, self.shared)?;
            let left = Operand::mantissas(saved.h.q.all().from(part.start), n, part.len(), outputs);
            let right = Operand::mantissas(beta.all(), rank, part.len(), part.len());
            let scaled = Epilogue::scaled(Scales::of(saved.h.scales.all()), Scales::of(beta_scales.all()));
            let epilogue = Epilogue { constant: Some(self.sigma), ..scaled };
            let out = Target::rows(dlow.all_mut().from(index * rank), width);
            device.product(&left, &right, &epilogue, out, Tables::ONE)?;
        }
        Ok(dlow)
    }

    /// Columns of `values` `[n, width]` over each sequence, row t times factors[t]: `[sequences, width, length]`.
    fn folded(
        &self,
        values: View<'_, f32>,
        factors: View<'_, f32>,
        (sequences, length): (usize, usize),
    ) -> Result<(Buffer<i16>, Buffer<f32>)> {
        let (device, width) = (self.device, self.width());
        let mut q = device.zeros::<i16>(sequences * length * width)?;
        let mut scales = device.zeros::<f32>(sequences * width)?;
        let columns = Columns {
            tables: Tables { outer: sequences, inner: 1 },
            x_step: (length * width, 0),
            factor_step: (length, 0),
            ..Columns::new(values, length, width, Factor::Times(factors))
        };
        let out = ColumnsOut {
            q: q.all_mut(),
            stride: length,
            transposed: true,
            step: (length * width, 0),
            scale: scales.all_mut(),
            scale_step: (width, 0),
        };
        device.quantise_columns(&columns, Width::Narrow, out, self.check)?;
        Ok((q, scales))
    }

    fn parameter_gradients(
        &self,
        saved: &Saved<'_>,
        dlow: &Buffer<f32>,
        length: usize,
        gradient: &mut Buffer<f32>,
    ) -> Result<()> {
        let Matrix { outputs, inputs, ref scales, .. } = *self.frozen;
        let (device, rank, width) = (self.device, self.rank, self.width());
        let sequences = saved.h.scales.len() / length;
        let batch = (sequences, length);
        let (lambda, lambda_scales) = self.folded(saved.low.all(), saved.h.scales.all(), batch)?;
        let (delta, delta_scales) = self.folded(dlow.all(), saved.x.scales.all(), batch)?;
        let mut da = device.zeros::<f32>(width * inputs)?;
        for sequence in 0..sequences {
            for ((index, place), part) in self.places.iter().enumerate().zip(self.parts()) {
                let first = sequence * width + index * rank;
                let left = Operand::mantissas(lambda.all().from(first * length), rank, length, length);
                let h = saved.h.q.all().from(sequence * length * outputs + part.start);
                let right = Operand::mantissas(h, length, part.len(), outputs).transposed();
                let rows = Scales::of(lambda_scales.all().range(first..first + rank));
                let channels = Scales::of(scales.all().range(part));
                let epilogue = Epilogue { divide: true, ..Epilogue::scaled(rows, channels) };
                let out =
                    Target::rows(gradient.all_mut().range(place.b.clone()), rank).transposed().accumulate();
                device.product(&left, &right, &epilogue, out, Tables::ONE)?;
            }
            let first = sequence * width;
            let left = Operand::mantissas(delta.all().from(first * length), width, length, length);
            let x = saved.x.q.all().from(sequence * length * inputs);
            let right = Operand::mantissas(x, length, inputs, inputs).transposed();
            let rows = Scales::of(delta_scales.all().range(first..first + width));
            let out = Target::rows(da.all_mut(), inputs);
            device.product(&left, &right, &Epilogue::scaled(rows, Scales::ONES), out, Tables::ONE)?;
            for (index, place) in self.places.iter().enumerate() {
                let own = index * rank * inputs..(index + 1) * rank * inputs;
                device.add(gradient.all_mut().range(place.a.clone()), da.all().range(own))?;
            }
        }
        Ok(())
    }
}
