//! Attention of all heads (SPEC.md, sections 5 and 6), some sequences at a time: tables of scores are as large as T² and
//! are made again in the backward pass rather than kept.
//!
//! `qkv` is `[n, stride]`: rotated queries and keys, and values, head by head, side by side.

use attune_exact::{attention::Heads, mantissa::Width};

use crate::{
    buffer::{Buffer, View, ViewMut},
    device::Device,
    error::Result,
    ops::{
        Causal, Check, ColumnsOut, Epilogue, Factor, Matrix as Columns, Operand, Pieces, Scales,
        ScoreGradient, Scores, Step, Strides, Tables, Target,
    },
};

/// The attention of a micro-batch of sequences of equal length.
pub(crate) struct Attention<'a> {
    pub(crate) device: &'a Device,
    pub(crate) heads: Heads,
    /// Where each token's document starts in its sequence, `[n]`.
    pub(crate) starts: &'a Buffer<u32>,
    pub(crate) length: usize,
    /// Scores held at a time at most, unless one sequence alone has more.
    pub(crate) chunk: usize,
    pub(crate) check: Check<'a>,
}

/// Rows of heads as mantissas `[n, heads, dim]` with scales `[heads, n]`.
struct HeadRows {
    q: Buffer<i16>,
    scales: Buffer<f32>,
    heads: usize,
}

/// Columns of heads as narrow mantissas `[sequences, heads, dim, T]` with scales `[sequences, heads, dim]`.
struct HeadColumns {
    q: Buffer<i16>,
    scales: Buffer<f32>,
    heads: usize,
}

/// P and ζ of some sequences.
struct Weights {
    p: Buffer<i16>,
    zeta: Buffer<f32>,
}

impl Attention<'_> {
    fn tokens(&self) -> usize {
        self.starts.len()
    }

    /// Width of a token's row of `qkv`.
    fn stride(&self) -> usize {
        (self.heads.heads + 2 * self.heads.kv_heads) * self.heads.head_dim
    }

    /// Query heads of a key and value head.
    fn share(&self) -> usize {
        self.heads.heads / self.heads.kv_heads
    }

    fn rows(&self, x: View<'_, f32>, stride: usize, heads: usize, width: Width) -> Result<HeadRows> {
        let (device, n, dim) = (self.device, self.tokens(), self.heads.head_dim);
        let (mut q, mut scales) = (device.zeros(n * heads * dim)?, device.zeros(n * heads)?);
        let pieces = Pieces { rows: n, groups: heads, columns: dim };
        let from = (x, Strides { row: stride, group: dim });
        let to = (q.all_mut(), Strides { row: heads * dim, group: dim });
        let to_scales = (scales.all_mut(), Strides { row: 1, group: n });
        device.quantise_rows(pieces, from, None, width, to, to_scales, self.check)?;
        Ok(HeadRows { q, scales, heads })
    }

    /// Of `count` sequences from the first that `x` holds on; `factor` is `[count, heads, T]` if it is given.
    fn columns(
        &self,
        (x, stride): (View<'_, f32>, usize),
        heads: usize,
        (first, count): (usize, usize),
        factor: Option<View<'_, f32>>,
    ) -> Result<HeadColumns> {
        let (device, length, dim) = (self.device, self.length, self.heads.head_dim);
        let mut q = device.zeros(count * heads * dim * length)?;
        let mut scales = device.zeros(count * heads * dim)?;
        let matrix = Columns {
            x: x.from(first * length * stride),
            rows: length,
            columns: dim,
            stride,
            factor: factor.map_or(Factor::None, Factor::Times),
            tables: Tables { outer: count, inner: heads },
            x_step: (length * stride, dim),
            factor_step: (heads * length, length),
        };
        let out = ColumnsOut {
            q: q.all_mut(),
            stride: length,
            transposed: true,
            step: (heads * dim * length, dim * length),
            scale: scales.all_mut(),
            scale_step: (heads * dim, dim),
        };
        device.quantise_columns(&matrix, Width::Narrow, out, self.check.skip(first))?;
        Ok(HeadColumns { q, scales, heads })
    }

    /// Rows of heads of the sequences from `first` on, as an operand and its scales; `share` heads of the batch have one in
    /// common.
    fn of_rows<'b>(&self, rows: &'b HeadRows, first: usize, share: usize) -> (Operand<'b>, Scales<'b>) {
        let (length, dim, n) = (self.length, self.heads.head_dim, self.tokens());
        let row = rows.heads * dim;
        let operand = Operand::mantissas(rows.q.all().from(first * length * row), length, dim, row);
        let scales = Scales::of(rows.scales.all().from(first * length));
        (
            operand.step(Step { outer: length * row, inner: dim, share }),
            scales.step(Step { outer: length, inner: n, share }),
        )
    }

    /// Columns of heads, as an operand and its scales.
    fn of_columns<'b>(&self, columns: &'b HeadColumns, share: usize) -> (Operand<'b>, Scales<'b>) {
        let (length, dim, heads) = (self.length, self.heads.head_dim, columns.heads);
        let operand = Operand::mantissas(columns.q.all(), dim, length, length);
        let scales = Scales::of(columns.scales.all());
        (
            operand.step(Step { outer: heads * dim * length, inner: dim * length, share }),
            scales.step(Step { outer: heads * dim, inner: dim, share }),
        )
    }

    /// A `[T, T]` table for each head, as an operand.
    fn table<'b>(&self, table: &'b Buffer<i16>) -> Operand<'b> {
        let square = self.length * self.length;
        let operand = Operand::mantissas(table.all(), self.length, self.length, self.length);
        operand.step(Step::each(self.heads.heads * square, square))
    }

    /// `[heads, T]` for each sequence, as scales.
    fn by_query<'b>(&self, values: &'b Buffer<f32>) -> Scales<'b> {
        Scales::of(values.all()).step(Step::each(self.heads.heads * self.length, self.length))
    }

    /// Sequences that are worked on at a time, as (first, count).
    fn chunks(&self) -> impl Iterator<Item = (usize, usize)> {
        let sequences = self.tokens() / self.length;
        let size = (self.chunk / (self.heads.heads * self.length * self.length)).max(1);
        (0..sequences).step_by(size).map(move |first| (first, size.min(sequences - first)))
    }

    fn scores(&self, (first, count): (usize, usize)) -> Scores<'_> {
        let tokens = first * self.length..(first + count) * self.length;
        Scores { starts: self.starts.all().range(tokens), length: self.length, heads: self.heads.heads }
    }

    /// A product of rows with rows, `[count, heads, T, T]`; what the mask hides may be anything.
    fn squares(
        &self,
        (left, rows): (Operand<'_>, Scales<'_>),
        (right, columns): (Operand<'_>, Scales<'_>),
        count: usize,
        constant: Option<f32>,
    ) -> Result<Buffer<f32>> {
        let (length, heads) = (self.length, self.heads.heads);
        let mut out = self.device.zeros(count * heads * length * length)?;
        let epilogue = Epilogue { constant, causal: Causal::Tiles, ..Epilogue::scaled(rows, columns) };
        let target = Target::rows(out.all_mut(), length).step(heads * length * length, length * length);
        self.device.product(&left, &right, &epilogue, target, Tables { outer: count, inner: heads })?;
        Ok(out)
    }

    fn weigh(&self, q: &HeadRows, k: &HeadRows, (first, count): (usize, usize)) -> Result<Weights> {
        let (left, right) = (self.of_rows(q, first, 1), self.of_rows(k, first, self.share()));
        let scores = self.squares(left, right, count, Some(self.heads.tau()))?;
        let mut p = self.device.zeros(scores.len())?;
        let mut zeta = self.device.zeros(count * self.heads.heads * self.length)?;
        let of = self.scores((first, count));
        self.device.softmax(&of, scores.all(), p.all_mut(), zeta.all_mut(), self.check.skip(first))?;
        Ok(Weights { p, zeta })
    }

    fn queries_and_keys(&self, qkv: &Buffer<f32>) -> Result<(HeadRows, HeadRows)> {
        let Heads { heads, kv_heads, head_dim } = self.heads;
        let q = self.rows(qkv.all(), self.stride(), heads, Width::Wide)?;
        let k = self.rows(qkv.all().from(heads * head_dim), self.stride(), kv_heads, Width::Narrow)?;
        Ok((q, k))
    }

    /// Where keys and values start in a row of `qkv`.
    fn offsets(&self) -> (usize, usize) {
        let Heads { heads, kv_heads, head_dim } = self.heads;
        (heads * head_dim, (heads + kv_heads) * head_dim)
    }

    /// O, `[n, heads * dim]`.
    pub(crate) fn forward(&self, qkv: &Buffer<f32>) -> Result<Buffer<f32>> {
        let Heads { heads, kv_heads, head_dim: dim } = self.heads;
        let (length, width) = (self.length, heads * dim);
        let (q, k) = self.queries_and_keys(qkv)?;
        let mut mixed = self.device.zeros(self.tokens() * width)?;
        for (first, count) in self.chunks() {
            let weights = self.weigh(&q, &k, (first, count))?;
            let values = (qkv.all().from(self.offsets().1), self.stride());
            let v = self.columns(values, kv_heads, (first, count), None)?;
            let (right, columns) = self.of_columns(&v, self.share());
            let scaled = Epilogue::scaled(self.by_query(&weights.zeta), columns);
            let epilogue = Epilogue { causal: Causal::DepthUpToRows, ..scaled };
            let target =
                Target::rows(mixed.all_mut().from(first * length * width), width).step(length * width, dim);
            let tables = Tables { outer: count, inner: heads };
            self.device.product(&self.table(&weights.p), &right, &epilogue, target, tables)?;
        }
        Ok(mixed)
    }

    /// The gradient of `qkv` from that of the output; `mixed` and `d_mixed` are `[n, heads * dim]`.
    pub(crate) fn backward(
        &self,
        qkv: &Buffer<f32>,
        mixed: &Buffer<f32>,
        d_mixed: &Buffer<f32>,
    ) -> Result<Buffer<f32>> {
        let Heads { heads, kv_heads, head_dim: dim } = self.heads;
        let (device, length, width, stride) = (self.device, self.length, heads * dim, self.stride());
        let (keys, values) = self.offsets();
        let (q, k) = self.queries_and_keys(qkv)?;
        let v = self.rows(qkv.all().from(values), stride, kv_heads, Width::Narrow)?;
        let d_out = self.rows(d_mixed.all(), width, heads, Width::Wide)?;
        let out = self.rows(mixed.all(), width, heads, Width::Wide)?;
        let mut d_qkv = device.zeros(self.tokens() * stride)?;
        for (first, count) in self.chunks() {
            let weights = self.weigh(&q, &k, (first, count))?;
            let dp = self.squares(
                self.of_rows(&d_out, first, 1),
                self.of_rows(&v, first, self.share()),
                count,
                None,
            )?;
            let mut ds = device.zeros::<i16>(dp.len())?;
            let mut t = device.zeros::<f32>(weights.zeta.len())?;
            let tokens = first * length;
            let from = ScoreGradient {
                p: weights.p.all(),
                zeta: weights.zeta.all(),
                dp: dp.all(),
                d_out: (d_out.q.all().from(tokens * width), d_out.scales.all().from(tokens)),
                out: (out.q.all().from(tokens * width), out.scales.all().from(tokens)),
                dim,
                row: width,
                head: self.tokens(),
                tau: self.heads.tau(),
            };
            let of = self.scores((first, count));
            device.score_gradient(&of, &from, ds.all_mut(), t.all_mut(), self.check.skip(first))?;
            let k_columns = self.columns((qkv.all().from(keys), stride), kv_heads, (first, count), None)?;
            let (right, columns) = self.of_columns(&k_columns, self.share());
            let scaled = Epilogue::scaled(self.by_query(&t), columns);
            let epilogue = Epilogue { causal: Causal::DepthUpToRows, ..scaled };
            let target =
                Target::rows(d_qkv.all_mut().from(tokens * stride), stride).step(length * stride, dim);
            let tables = Tables { outer: count, inner: heads };
            device.product(&self.table(&ds), &right, &epilogue, target, tables)?;
            let queries = self.columns((qkv.all(), stride), heads, (first, count), Some(t.all()))?;
            self.over_queries(&queries, &ds, count, d_qkv.all_mut().from(tokens * stride + keys))?;
            let gradients = (d_mixed.all(), width);
            let gradients = self.columns(gradients, heads, (first, count), Some(weights.zeta.all()))?;
            self.over_queries(&gradients, &weights.p, count, d_qkv.all_mut().from(tokens * stride + values))?;
        }
        Ok(d_qkv)
    }

    /// Σ over the queries of `columns` times a table, for each key; the query heads of a key head in their order.
    fn over_queries(
        &self,
        columns: &HeadColumns,
        table: &Buffer<i16>,
        count: usize,
        mut out: ViewMut<'_, f32>,
    ) -> Result<()> {
        let Heads { heads, kv_heads, head_dim: dim } = self.heads;
        let (length, share, square, stride) =
            (self.length, self.share(), self.length * self.length, self.stride());
        for member in 0..share {
            let left = Operand::mantissas(columns.q.all().from(member * dim * length), dim, length, length)
                .step(Step::each(heads * dim * length, share * dim * length));
            let right = Operand::mantissas(table.all().from(member * square), length, length, length)
                .transposed()
                .step(Step::each(heads * square, share * square));
            let scales = Scales::of(columns.scales.all().from(member * dim));
            let scales = scales.step(Step::each(heads * dim, share * dim));
            let scaled = Epilogue::scaled(scales, Scales::ONES);
            let epilogue = Epilogue { causal: Causal::DepthFromColumns, ..scaled };
            let target = Target::rows(out.again(), stride).transposed().step(length * stride, dim);
            let target = if member == 0 { target } else { target.accumulate() };
            let tables = Tables { outer: count, inner: kv_heads };
            self.device.product(&left, &right, &epilogue, target, tables)?;
        }
        Ok(())
    }
}
