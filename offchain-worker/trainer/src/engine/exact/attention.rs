//! Attention of one head over one sequence (SPEC.md, sections 5 and 6), a block of queries at a time.
//!
//! A block of queries only meets the keys from its first document's start to its own end, so nothing is computed that a
//! causal mask would hide but for the corner of the block. The backward pass computes scores and P again rather than
//! keeping them. Heads of all sequences are independent tasks.

use std::{cell::RefCell, ops::Range};

use attune_kernels::{
    block,
    rows::{
        attention::{score_gradient, softmax, Query},
        columns::{self, Factor, Matrix as Columns},
        quantise, NotFinite,
    },
    Epilogue, Isa, Layout, Left, Output, Packed, Right, Width,
};

use super::sequences::Sequence;

/// Queries of a block.
const BLOCK: usize = 64;

/// The shape of attention, and how it is computed.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub(super) isa: Isa,
    /// Query heads.
    pub(super) heads: usize,
    /// Key and value heads.
    pub(super) kv_heads: usize,
    /// Width of a head.
    pub(super) dim: usize,
    /// 1/√dim.
    pub(super) tau: f32,
}

impl Heads {
    /// Width of a token's queries, keys and values side by side.
    pub(super) fn stride(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.dim
    }

    /// Where query head `head`, its keys and its values start in a token's row.
    fn offsets(&self, head: usize) -> [usize; 3] {
        let kv = head / (self.heads / self.kv_heads);
        [head, self.heads + kv, self.heads + self.kv_heads + kv].map(|head| head * self.dim)
    }
}

/// The gradients of one head, each `[T, dim]`; those of keys and values before they are summed over the query heads.
pub(super) struct HeadGradients<'a> {
    pub(super) dq: &'a mut [f32],
    pub(super) dk: &'a mut [f32],
    pub(super) dv: &'a mut [f32],
}

/// Rows of one head as mantissas `[T, dim]` with scales `[T]`.
#[derive(Default)]
struct HeadRows {
    q: Vec<i16>,
    scales: Vec<f32>,
}

impl HeadRows {
    /// Of rows that start `stride` elements apart in `x`, from element `offset` on.
    fn fill(
        &mut self,
        isa: Isa,
        (x, stride, offset): (&[f32], usize, usize),
        dim: usize,
        width: Width,
    ) -> Result<(), NotFinite> {
        let length = x.len() / stride;
        self.q.resize(length * dim, 0);
        self.scales.resize(length, 0.0);
        for ((row, q), scale) in x.chunks(stride).zip(self.q.chunks_mut(dim)).zip(&mut self.scales) {
            *scale = quantise::row(isa, &row[offset..offset + dim], width, q)?;
        }
        Ok(())
    }

    fn left(&self, rows: Range<usize>, dim: usize, width: Width) -> Left<'_> {
        Left::new(&self.q[rows.start * dim..rows.end * dim], rows.len(), dim, dim, width)
    }
}

/// Columns of one head as narrow mantissas `[dim, T]` with scales `[dim]`.
#[derive(Default)]
struct HeadColumns {
    q: Vec<i16>,
    scales: Vec<f32>,
}

impl HeadColumns {
    fn fill(
        &mut self,
        isa: Isa,
        (x, stride, offset): (&[f32], usize, usize),
        dim: usize,
        factor: Factor<'_>,
    ) -> Result<(), NotFinite> {
        let length = x.len() / stride;
        self.q.resize(length * dim, 0);
        self.scales.resize(dim, 0.0);
        let columns = Columns::new(&x[offset..], length, dim, stride, factor);
        columns::transposed(isa, columns, Width::Narrow, &mut self.q, length, &mut self.scales)
    }
}

/// Memory of one thread, kept from task to task.
struct Scratch {
    isa: Isa,
    queries: HeadRows,
    keys: HeadRows,
    values: HeadColumns,
    d_out: HeadRows,
    out: HeadRows,
    value_rows: HeadRows,
    columns: HeadColumns,
    packed_keys: Packed,
    packed_values: Packed,
    packed: Packed,
    /// Scores of a block of queries, and dP.
    scores: Vec<f32>,
    dp: Vec<f32>,
    /// P and dS of all queries as mantissas, `[T, T]`.
    p: Vec<i16>,
    ds: Vec<i16>,
    zeta: Vec<f32>,
    t: Vec<f32>,
    ones: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

fn with_scratch<T>(isa: Isa, run: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.as_ref().is_none_or(|scratch| scratch.isa != isa) {
            *scratch = Some(Scratch::new(isa));
        }
        run(scratch.as_mut().expect("it was made above, qed"))
    })
}

impl Scratch {
    fn new(isa: Isa) -> Self {
        Self {
            isa,
            queries: HeadRows::default(),
            keys: HeadRows::default(),
            values: HeadColumns::default(),
            d_out: HeadRows::default(),
            out: HeadRows::default(),
            value_rows: HeadRows::default(),
            columns: HeadColumns::default(),
            packed_keys: Packed::new(isa),
            packed_values: Packed::new(isa),
            packed: Packed::new(isa),
            scores: Vec::new(),
            dp: Vec::new(),
            p: Vec::new(),
            ds: Vec::new(),
            zeta: Vec::new(),
            t: Vec::new(),
            ones: Vec::new(),
        }
    }

    /// Mantissas of queries and keys, and the keys packed.
    fn take_queries_and_keys(&mut self, heads: &Heads, qkv: &[f32], head: usize) -> Result<(), NotFinite> {
        let ([query, key, _], stride, dim) = (heads.offsets(head), heads.stride(), heads.dim);
        let length = qkv.len() / stride;
        self.queries.fill(self.isa, (qkv, stride, query), dim, Width::Wide)?;
        self.keys.fill(self.isa, (qkv, stride, key), dim, Width::Narrow)?;
        let keys = Right::int16(&self.keys.q, length, dim, dim, Width::Narrow, Layout::NK);
        self.packed_keys.pack(&keys, 0..length, 0..dim);
        Ok(())
    }

    /// P of the queries `rows` against the keys `keys`, into `p[row][keys]` of rows `stride` apart (row 0 is `rows.start`,
    /// column 0 is key `first`), and their ζ.
    fn softmax_block(
        &mut self,
        heads: &Heads,
        sequence: &Sequence<'_>,
        (rows, keys): (Range<usize>, Range<usize>),
        (first, stride, row): (usize, usize, usize),
    ) -> Result<(), NotFinite> {
        let count = keys.len();
        self.scores.resize((rows.len() * count).max(self.scores.len()), 0.0);
        let scaled = Epilogue::scaled(&self.queries.scales[rows.clone()], &self.keys.scales[keys.clone()]);
        let left = self.queries.left(rows.clone(), heads.dim, Width::Wide);
        let epilogue = Epilogue { constant: Some(heads.tau), ..scaled };
        let out = Output::rows(&mut self.scores[..rows.len() * count], count);
        block(&left, &self.packed_keys, keys.clone(), 0..heads.dim, &epilogue, out);
        for (at, scores) in rows.clone().zip(self.scores.chunks(count)) {
            let visible = sequence.starts[at] - keys.start..at + 1 - keys.start;
            let p = &mut self.p[(at - row) * stride + keys.start - first..][..count];
            self.zeta[at] = softmax(heads.isa, scores, visible, p)?.zeta;
        }
        Ok(())
    }
}

/// The blocks of queries of a sequence, each with the keys that it meets.
fn blocks<'a>(sequence: &'a Sequence<'_>) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + 'a {
    let length = sequence.tokens.len();
    (0..length).step_by(BLOCK).map(move |start| {
        let end = length.min(start + BLOCK);
        (start..end, sequence.starts[start]..end)
    })
}

/// O of query head `head`, `[T, dim]`, from rotated queries, keys and values `[T, stride]`.
///
/// # Errors
/// A value that becomes a mantissa, or a score, is infinite or NaN.
pub(super) fn forward(
    heads: &Heads,
    qkv: &[f32],
    sequence: &Sequence<'_>,
    head: usize,
    out: &mut [f32],
) -> Result<(), NotFinite> {
    with_scratch(heads.isa, |scratch| {
        let ([_, _, value], stride, dim) = (heads.offsets(head), heads.stride(), heads.dim);
        let length = sequence.tokens.len();
        scratch.take_queries_and_keys(heads, qkv, head)?;
        scratch.values.fill(heads.isa, (qkv, stride, value), dim, Factor::None)?;
        let values = Right::int16(&scratch.values.q, dim, length, length, Width::Narrow, Layout::NK);
        scratch.packed_values.pack(&values, 0..dim, 0..length);
        scratch.p.resize((BLOCK * length).max(scratch.p.len()), 0);
        scratch.zeta.resize(length, 0.0);
        for (rows, keys) in blocks(sequence) {
            let count = keys.len();
            scratch.softmax_block(
                heads,
                sequence,
                (rows.clone(), keys.clone()),
                (keys.start, count, rows.start),
            )?;
            let left = Left::new(&scratch.p[..rows.len() * count], rows.len(), count, count, Width::Wide);
            let epilogue = Epilogue::scaled(&scratch.zeta[rows.clone()], &scratch.values.scales);
            let out = Output::rows(&mut out[rows.start * dim..rows.end * dim], dim);
            block(&left, &scratch.packed_values, 0..dim, keys, &epilogue, out);
        }
        Ok(())
    })
}

/// The gradients of one query head's queries, and its share of those of keys and values (all after rotation), from
/// those of its output: `out` and `d_out` are `[T, heads * dim]`.
///
/// # Errors
/// A value that becomes a mantissa is infinite or NaN.
pub(super) fn backward(
    heads: &Heads,
    (qkv, out, d_out): (&[f32], &[f32], &[f32]),
    sequence: &Sequence<'_>,
    head: usize,
    gradients: HeadGradients<'_>,
) -> Result<(), NotFinite> {
    with_scratch(heads.isa, |scratch| {
        let ([query, key, value], stride, dim) = (heads.offsets(head), heads.stride(), heads.dim);
        let (isa, length) = (heads.isa, sequence.tokens.len());
        let (own, out_stride) = (head * dim, heads.heads * dim);
        scratch.take_queries_and_keys(heads, qkv, head)?;
        scratch.value_rows.fill(isa, (qkv, stride, value), dim, Width::Narrow)?;
        scratch.d_out.fill(isa, (d_out, out_stride, own), dim, Width::Wide)?;
        scratch.out.fill(isa, (out, out_stride, own), dim, Width::Wide)?;
        let values = Right::int16(&scratch.value_rows.q, length, dim, dim, Width::Narrow, Layout::NK);
        scratch.packed_values.pack(&values, 0..length, 0..dim);
        scratch.columns.fill(isa, (qkv, stride, key), dim, Factor::None)?;
        let keys = Right::int16(&scratch.columns.q, dim, length, length, Width::Narrow, Layout::NK);
        scratch.packed.pack(&keys, 0..dim, 0..length);
        for table in [&mut scratch.p, &mut scratch.ds] {
            table.clear();
            table.resize(length * length, 0);
        }
        scratch.zeta.resize(length, 0.0);
        scratch.t.resize(length, 0.0);
        for (rows, keys) in blocks(sequence) {
            scratch.softmax_block(heads, sequence, (rows.clone(), keys.clone()), (0, length, 0))?;
            scratch.score_gradients(heads, sequence, &rows, &keys)?;
            let count = keys.len();
            let ds = &scratch.ds[rows.start * length + keys.start..];
            let left = Left::new(ds, rows.len(), count, length, Width::Wide);
            let epilogue = Epilogue::scaled(&scratch.t[rows.clone()], &scratch.columns.scales);
            let out = Output::rows(&mut gradients.dq[rows.start * dim..rows.end * dim], dim);
            block(&left, &scratch.packed, 0..dim, keys, &epilogue, out);
        }
        scratch.columns.fill(isa, (qkv, stride, query), dim, Factor::Times(&scratch.t))?;
        scratch.over_queries(sequence, dim, Table::Scores, gradients.dk);
        scratch.columns.fill(isa, (d_out, out_stride, own), dim, Factor::Times(&scratch.zeta))?;
        scratch.over_queries(sequence, dim, Table::Probabilities, gradients.dv);
        Ok(())
    })
}

/// Which of the `[T, T]` tables a sum over the queries takes.
#[derive(Clone, Copy)]
enum Table {
    Probabilities,
    Scores,
}

impl Scratch {
    /// dS of the queries `rows` as mantissas into `ds`, and their scales into `t`.
    fn score_gradients(
        &mut self,
        heads: &Heads,
        sequence: &Sequence<'_>,
        rows: &Range<usize>,
        keys: &Range<usize>,
    ) -> Result<(), NotFinite> {
        let (count, dim, length) = (keys.len(), heads.dim, sequence.tokens.len());
        self.dp.resize((rows.len() * count).max(self.dp.len()), 0.0);
        let left = self.d_out.left(rows.clone(), dim, Width::Wide);
        let epilogue =
            Epilogue::scaled(&self.d_out.scales[rows.clone()], &self.value_rows.scales[keys.clone()]);
        let out = Output::rows(&mut self.dp[..rows.len() * count], count);
        block(&left, &self.packed_values, keys.clone(), 0..dim, &epilogue, out);
        for (at, dp) in rows.clone().zip(self.dp.chunks_mut(count)) {
            let own = at * dim..(at + 1) * dim;
            let sum = quantise::dot(heads.isa, &self.d_out.q[own.clone()], &self.out.q[own]);
            let d = sum as f32 * (self.d_out.scales[at] * self.out.scales[at]);
            let visible = sequence.starts[at] - keys.start..at + 1 - keys.start;
            let row = at * length + keys.start..at * length + keys.end;
            let (p, ds) = (&self.p[row.clone()], &mut self.ds[row]);
            let query = Query { zeta: self.zeta[at], d, tau: heads.tau };
            self.t[at] = score_gradient(heads.isa, p, dp, visible, query, ds)?;
        }
        Ok(())
    }

    /// Σ over the queries of `columns` times a table, for each key: `[T, dim]`.
    fn over_queries(&mut self, sequence: &Sequence<'_>, dim: usize, table: Table, out: &mut [f32]) {
        let length = sequence.tokens.len();
        let table = match table {
            Table::Probabilities => &self.p,
            Table::Scores => &self.ds,
        };
        self.ones.resize(BLOCK, 1.0);
        let right = Right::int16(table, length, length, length, Width::Wide, Layout::KN);
        for start in (0..length).step_by(BLOCK) {
            let keys = start..length.min(start + BLOCK);
            // Only the queries after a key and within its document saw it.
            let queries = start..sequence.ends[keys.end - 1];
            self.packed.pack(&right, keys.clone(), queries.clone());
            let left =
                Left::new(&self.columns.q, dim, length, length, Width::Narrow).columns(queries.clone());
            let epilogue = Epilogue::scaled(&self.columns.scales, &self.ones[..keys.len()]);
            let out = Output::transposed(&mut out[keys.start * dim..keys.end * dim], dim);
            block(&left, &self.packed, 0..keys.len(), 0..queries.len(), &epilogue, out);
        }
    }
}
