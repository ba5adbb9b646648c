//! A projection group (SPEC.md, sections 5 and 6): a frozen matrix whose parts each have a low-rank adapter.
//!
//! The frozen product and the adapters' second product leave the kernel as one; so a group costs one pass over its
//! output. Throughout, `n` is the number of tokens of the micro-batch, `p` the number of parts, `r` the rank.

use std::ops::Range;

use attune_kernels::{
    product,
    rows::{
        columns::{Factor, Matrix as Columns},
        parallel::{self, each},
        quantise, NotFinite,
    },
    Column, Epilogue, Isa, Layout, Left, Output, Residual, Right, Second, Threads, Width,
};

use super::frozen::Matrix;

/// Where kernels run.
pub(super) struct Machine {
    pub(super) isa: Isa,
    pub(super) threads: Threads,
    /// Logits held at a time, in elements, but at least those of [`super::head::LEAST_ROWS`] rows. It decides nothing but
    /// memory.
    pub(super) logits: usize,
}

/// Rows as mantissas: `[n, columns]`, one scale per row.
pub(super) struct Quantised {
    pub(super) q: Vec<i16>,
    /// `[n]`
    pub(super) scales: Vec<f32>,
}

impl Quantised {
    /// Room for `rows` rows of `columns`.
    pub(super) fn room(rows: usize, columns: usize) -> Self {
        Self { q: vec![0; rows * columns], scales: vec![0.0; rows] }
    }

    /// The rows of `x`, `[n, columns]`, wide.
    pub(super) fn wide(machine: &Machine, x: &[f32], columns: usize) -> Result<Self, NotFinite> {
        let mut made = Self::room(x.len() / columns, columns);
        let (q, scales) = (&mut made.q, &mut made.scales);
        parallel::quantise_rows(&machine.threads, machine.isa, x, columns, Width::Wide, q, scales)?;
        Ok(made)
    }

    fn left(&self, columns: usize) -> Left<'_> {
        Left::new(&self.q, self.scales.len(), columns, columns, Width::Wide)
    }
}

/// Where the two matrices of one part lie in the flat parameters.
#[derive(Clone)]
pub(super) struct Place {
    /// `[r, in]`
    pub(super) a: Range<usize>,
    /// `[part's outputs, r]`
    pub(super) b: Range<usize>,
}

/// The adapters of a group as mantissas; made anew for each pass over a block, which costs less than keeping them.
pub(super) struct Adapter<'a> {
    places: &'a [Place],
    rank: usize,
    /// What the low-rank values are multiplied by.
    sigma: f32,
    /// The outputs of each part.
    parts: Vec<Range<usize>>,
    /// All A, one above the other: `[p r, in]`, narrow rows.
    a: Vec<i16>,
    a_scales: Vec<f32>,
    /// All B, one above the other: `[outputs, r]`, narrow rows.
    b: Vec<i16>,
    b_scales: Vec<f32>,
}

/// What only the backward pass needs of a group's adapters.
struct Backward {
    /// All A again: `[p r, in]`, narrow columns.
    alpha: Vec<i16>,
    alpha_scales: Vec<f32>,
    /// B over the channels' scales, transposed, part by part: `[r, part's outputs]`, narrow, one scale per row.
    beta: Vec<i16>,
    beta_scales: Vec<f32>,
}

/// A frozen matrix with its adapters, if any.
pub(super) struct Group<'a> {
    frozen: &'a Matrix,
    bias: Option<&'a [f32]>,
    adapter: Option<Adapter<'a>>,
}

impl<'a> Adapter<'a> {
    fn new(
        machine: &Machine,
        (flat, places): (&[f32], &'a [Place]),
        (rank, sigma): (usize, f32),
        inputs: usize,
    ) -> Result<Self, NotFinite> {
        let mut parts = Vec::new();
        let mut outputs = 0;
        for place in places {
            let end = outputs + place.b.len() / rank;
            parts.push(outputs..end);
            outputs = end;
        }
        let stacked = places.len() * rank;
        let mut a = Quantised::room(stacked, inputs);
        let mut b = Quantised::room(outputs, rank);
        let (isa, threads) = (machine.isa, &machine.threads);
        for (index, (place, part)) in places.iter().zip(&parts).enumerate() {
            let rows = index * rank..(index + 1) * rank;
            let q = &mut a.q[rows.start * inputs..rows.end * inputs];
            let scales = &mut a.scales[rows];
            parallel::quantise_rows(threads, isa, &flat[place.a.clone()], inputs, Width::Narrow, q, scales)?;
            let q = &mut b.q[part.start * rank..part.end * rank];
            let scales = &mut b.scales[part.clone()];
            parallel::quantise_rows(threads, isa, &flat[place.b.clone()], rank, Width::Narrow, q, scales)?;
        }
        Ok(Self { places, rank, sigma, parts, a: a.q, a_scales: a.scales, b: b.q, b_scales: b.scales })
    }

    /// Width of all parts' low-rank values, side by side.
    fn width(&self) -> usize {
        self.parts.len() * self.rank
    }

    /// σ x Aᵀ of all parts side by side, `[n, p r]`.
    fn low(&self, machine: &Machine, x: &Quantised, inputs: usize) -> Vec<f32> {
        let width = self.width();
        let mut low = vec![0.0; x.scales.len() * width];
        let right = Right::int16(&self.a, width, inputs, inputs, Width::Narrow, Layout::NK);
        let epilogue = Epilogue { constant: Some(self.sigma), ..Epilogue::scaled(&x.scales, &self.a_scales) };
        let out = Output::rows(&mut low, width);
        product(machine.isa, &machine.threads, &x.left(inputs), &right, &epilogue, out);
        low
    }

    /// The low-rank values as narrow mantissas, each part's r values with a scale of their own: mantissas `[n, p r]`, and
    /// for each part scales `[n]`.
    fn quantised_low(&self, machine: &Machine, low: &[f32]) -> Result<(Vec<i16>, Vec<Vec<f32>>), NotFinite> {
        let (width, rank, isa) = (self.width(), self.rank, machine.isa);
        let n = low.len() / width;
        let mut q = vec![0; low.len()];
        let mut scales = vec![vec![0.0; n]; self.parts.len()];
        let rows = n.div_ceil(4 * machine.threads.count()).max(64);
        let mut by_part: Vec<_> = scales.iter_mut().map(|scales| scales.chunks_mut(rows)).collect();
        let chunks = low.chunks(rows * width).zip(q.chunks_mut(rows * width)).map(|(low, q)| {
            let scales: Vec<&mut [f32]> = by_part.iter_mut().filter_map(Iterator::next).collect();
            (low, q, scales)
        });
        let chunks: Vec<_> = chunks.collect();
        each(&machine.threads, chunks, |(low, q, mut scales)| {
            for (row, (low, q)) in low.chunks(width).zip(q.chunks_mut(width)).enumerate() {
                let parts = low.chunks(rank).zip(q.chunks_mut(rank)).zip(&mut scales);
                for ((low, q), scales) in parts {
                    scales[row] = quantise::row(isa, low, Width::Narrow, q)?;
                }
            }
            Ok(())
        })?;
        Ok((q, scales))
    }

    fn for_backward(&self, machine: &Machine, flat: &[f32], frozen: &Matrix) -> Result<Backward, NotFinite> {
        let (inputs, rank, width) = (frozen.inputs, self.rank, self.width());
        let (isa, threads) = (machine.isa, &machine.threads);
        let mut stacked = Vec::with_capacity(width * inputs);
        self.places.iter().for_each(|place| stacked.extend_from_slice(&flat[place.a.clone()]));
        let mut alpha = vec![0; width * inputs];
        let mut alpha_scales = vec![0.0; inputs];
        let columns = Columns::new(&stacked, width, inputs, inputs, Factor::None);
        parallel::columns_in_place(threads, isa, columns, Width::Narrow, &mut alpha, &mut alpha_scales)?;
        let mut beta = vec![0; frozen.outputs * rank];
        let mut beta_scales = vec![0.0; width];
        for (index, (place, part)) in self.places.iter().zip(&self.parts).enumerate() {
            let channels = Factor::Over(&frozen.scales[part.clone()]);
            let b = Columns::new(&flat[place.b.clone()], part.len(), rank, rank, channels);
            let q = &mut beta[part.start * rank..part.end * rank];
            let scales = &mut beta_scales[index * rank..(index + 1) * rank];
            parallel::columns_transposed(threads, isa, b, Width::Narrow, q, part.len(), scales)?;
        }
        Ok(Backward { alpha, alpha_scales, beta, beta_scales })
    }
}

impl<'a> Group<'a> {
    /// A group; `adapter` is (parameters, places of the parts, rank, σ).
    ///
    /// # Errors
    /// A parameter is infinite or NaN.
    pub(super) fn new(
        machine: &Machine,
        frozen: &'a Matrix,
        bias: Option<&'a [f32]>,
        adapter: Option<(&[f32], &'a [Place], usize, f32)>,
    ) -> Result<Self, NotFinite> {
        let adapter = adapter.map(|(flat, places, rank, sigma)| {
            Adapter::new(machine, (flat, places), (rank, sigma), frozen.inputs)
        });
        Ok(Self { frozen, bias, adapter: adapter.transpose()? })
    }

    /// y = x Wᵀ + bias + low-rank, and the residual on its left where there is one, into `out` `[n, outputs]`. Returns the
    /// low-rank values `[n, p r]`, empty without an adapter.
    ///
    /// # Errors
    /// A low-rank value is infinite or NaN.
    pub(super) fn forward(
        &self,
        machine: &Machine,
        x: &Quantised,
        residual: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<Vec<f32>, NotFinite> {
        let Matrix { outputs, inputs, ref scales, .. } = *self.frozen;
        let residual = residual.map(|data| Residual { data, stride: outputs });
        let plain = Epilogue { bias: self.bias, residual, ..Epilogue::scaled(&x.scales, scales) };
        let right = self.frozen.outputs();
        let out = Output::rows(out, outputs);
        let Some(adapter) = &self.adapter else {
            product(machine.isa, &machine.threads, &x.left(inputs), &right, &plain, out);
            return Ok(Vec::new());
        };
        let low = adapter.low(machine, x, inputs);
        let (q, low_scales) = adapter.quantised_low(machine, &low)?;
        let (width, rank) = (adapter.width(), adapter.rank);
        let left = Left::new(&q, x.scales.len(), width, width, Width::Narrow);
        let seconds: Vec<Second<'_>> = (adapter.parts.iter().zip(&low_scales).enumerate())
            .map(|(index, (part, row_scale))| Second {
                columns: part.clone(),
                left: left.columns(index * rank..(index + 1) * rank),
                right: Right::int16(
                    &adapter.b[part.start * rank..part.end * rank],
                    part.len(),
                    rank,
                    rank,
                    Width::Narrow,
                    Layout::NK,
                ),
                row_scale,
                column_scale: &adapter.b_scales[part.clone()],
            })
            .collect();
        let epilogue = Epilogue { second: &seconds, ..plain };
        product(machine.isa, &machine.threads, &x.left(inputs), &right, &epilogue, out);
        Ok(low)
    }

    /// The backward pass: `x` and `low` are those of the forward pass, `h` is dy × w as wide mantissas `[n, outputs]`.
    /// `length` tokens make a sequence. Adds to `gradient` (flat, as the parameters `flat`), sequence by sequence, and
    /// writes dx `[n, in]` if it is wanted.
    ///
    /// # Errors
    /// A value that becomes a mantissa is infinite or NaN.
    pub(super) fn backward(
        &self,
        machine: &Machine,
        flat: &[f32],
        (x, low, h): (&Quantised, &[f32], &Quantised),
        length: usize,
        gradient: &mut [f32],
        dx: Option<&mut [f32]>,
    ) -> Result<(), NotFinite> {
        let adapter = self.adapter.as_ref().expect("only what has an adapter is trained, qed");
        let Matrix { outputs, inputs, .. } = *self.frozen;
        let (isa, threads) = (machine.isa, &machine.threads);
        let (n, rank, width) = (h.scales.len(), adapter.rank, adapter.width());
        let backward = adapter.for_backward(machine, flat, self.frozen)?;
        let mut dlow = vec![0.0; n * width];
        for (index, part) in adapter.parts.iter().enumerate() {
            let beta = &backward.beta[part.start * rank..part.end * rank];
            let right = Right::int16(beta, rank, part.len(), part.len(), Width::Narrow, Layout::NK);
            let scales = &backward.beta_scales[index * rank..(index + 1) * rank];
            let epilogue = Epilogue { constant: Some(adapter.sigma), ..Epilogue::scaled(&h.scales, scales) };
            let left = h.left(outputs).columns(part.clone());
            let out = Output::rows(&mut dlow[index * rank..], width);
            product(isa, threads, &left, &right, &epilogue, out);
        }
        for start in (0..n).step_by(length) {
            self.parameter_gradients(machine, (x, low, h, &dlow), start..start + length, gradient)?;
        }
        let Some(dx) = dx else { return Ok(()) };
        let mut qd = Quantised::room(n, width);
        parallel::quantise_rows(threads, isa, &dlow, width, Width::Narrow, &mut qd.q, &mut qd.scales)?;
        let ones = vec![1.0; inputs];
        let second = Second {
            columns: 0..inputs,
            left: Left::new(&qd.q, n, width, width, Width::Narrow),
            right: Right::int16(&backward.alpha, inputs, width, inputs, Width::Narrow, Layout::KN),
            row_scale: &qd.scales,
            column_scale: &backward.alpha_scales,
        };
        let epilogue = Epilogue { second: &[second], ..Epilogue::scaled(&h.scales, &ones) };
        let right = self.frozen.inputs();
        product(isa, threads, &h.left(outputs), &right, &epilogue, Output::rows(dx, inputs));
        Ok(())
    }

    /// Adds dA and dB of one sequence, the tokens `tokens`.
    fn parameter_gradients(
        &self,
        machine: &Machine,
        (x, low, h, dlow): (&Quantised, &[f32], &Quantised, &[f32]),
        tokens: Range<usize>,
        gradient: &mut [f32],
    ) -> Result<(), NotFinite> {
        let adapter = self.adapter.as_ref().expect("only what has an adapter is trained, qed");
        let Matrix { outputs, inputs, .. } = *self.frozen;
        let (isa, threads) = (machine.isa, &machine.threads);
        let (rank, width, length) = (adapter.rank, adapter.width(), tokens.len());
        // λ and δ: columns over the sequence, the other operand's row scales folded in.
        let folded = |values: &[f32], factors: &[f32]| -> Result<(Vec<i16>, Vec<f32>), NotFinite> {
            let values = &values[tokens.start * width..tokens.end * width];
            let columns = Columns::new(values, length, width, width, Factor::Times(&factors[tokens.clone()]));
            let (mut q, mut scales) = (vec![0; width * length], vec![0.0; width]);
            parallel::columns_transposed(threads, isa, columns, Width::Narrow, &mut q, length, &mut scales)?;
            Ok((q, scales))
        };
        let (lambda, lambda_scales) = folded(low, &h.scales)?;
        for (index, (place, part)) in adapter.places.iter().zip(&adapter.parts).enumerate() {
            let rows = index * rank..(index + 1) * rank;
            let lambda = &lambda[rows.start * length..rows.end * length];
            let left = Left::new(lambda, rank, length, length, Width::Narrow);
            let h = &h.q[tokens.start * outputs + part.start..];
            let right = Right::int16(h, part.len(), length, outputs, Width::Wide, Layout::KN);
            let channels = Column::Divide(&self.frozen.scales[part.clone()]);
            let scales = &lambda_scales[rows];
            let epilogue = Epilogue { column: channels, ..Epilogue::scaled(scales, &[]) };
            let out = Output::transposed(&mut gradient[place.b.clone()], rank).accumulate();
            product(isa, threads, &left, &right, &epilogue, out);
        }
        let (delta, delta_scales) = folded(dlow, &x.scales)?;
        let ones = vec![1.0; inputs];
        let mut da = vec![0.0; width * inputs];
        let left = Left::new(&delta, width, length, length, Width::Narrow);
        let x = &x.q[tokens.start * inputs..tokens.end * inputs];
        let right = Right::int16(x, inputs, length, inputs, Width::Wide, Layout::KN);
        let epilogue = Epilogue::scaled(&delta_scales, &ones);
        product(isa, threads, &left, &right, &epilogue, Output::rows(&mut da, inputs));
        for (place, da) in adapter.places.iter().zip(da.chunks(rank * inputs)) {
            parallel::add(threads, isa, &mut gradient[place.a.clone()], da);
        }
        Ok(())
    }
}
