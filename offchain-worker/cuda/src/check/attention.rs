//! Attention against the reference: documents, grouped heads, more queries than a tile has rows, inputs that are hard row by
//! row and column by column, sequences in chunks.

use attune_exact::{
    attention::{self, Heads},
    pass::{columns, side_by_side},
};

use super::{data::turned, equal, same, Compared, Source};
use crate::{
    buffer::Buffer,
    device::Device,
    engine::attention::Attention,
    error::Result,
    ops::{Check, Faults},
};

const SEQUENCES: usize = 3;
/// The one with an input that is not finite, or too large: neither the first nor the last, in a chunk of its own or second
/// in one.
const BAD: usize = 1;

/// Heads and tokens.
const SHAPES: [(usize, usize, usize, usize); 3] = [(1, 1, 4, 1), (4, 2, 16, 40), (2, 1, 10, 150)];

/// The largest inputs: their scores, and the gradients of those, stay finite.
const LARGEST: f32 = 1e12;

/// What the inputs are.
#[derive(Clone, Copy, Debug)]
enum Inputs {
    /// Alike but for some, so that some scores lie far apart; those of the first token are all the same.
    Plain,
    /// Each head's row of a token is hard on its mantissas.
    Rows,
    /// Each column of a head is, over the tokens.
    Columns,
}

const INPUTS: [Inputs; 3] = [Inputs::Plain, Inputs::Rows, Inputs::Columns];

#[derive(Clone)]
struct Case {
    heads: Heads,
    length: usize,
    /// Of each sequence, `[T]`.
    documents: Vec<Vec<u32>>,
    qkv: Vec<f32>,
    d_out: Vec<f32>,
}

/// `[SEQUENCES * length, width]`, in pieces of `dim`.
fn hard(
    source: &mut Source,
    inputs: Inputs,
    (length, width, dim): (usize, usize, usize),
    limit: f32,
) -> Vec<f32> {
    match inputs {
        Inputs::Plain => source.reals(SEQUENCES * length * width, 2.0),
        Inputs::Rows => source.mixed_rows(SEQUENCES * length * width / dim, dim, limit),
        Inputs::Columns => {
            let one = |_| turned(&source.mixed_rows(width, length, limit), length);
            (0..SEQUENCES).flat_map(one).collect()
        }
    }
}

impl Case {
    fn new(
        source: &mut Source,
        (heads, kv_heads, head_dim, length): (usize, usize, usize, usize),
        inputs: Inputs,
    ) -> Self {
        let heads = Heads { heads, kv_heads, head_dim };
        let mut document = 0;
        let mut next = |at: usize| {
            document += u32::from(at > 0 && source.below(20) == 0);
            document
        };
        let documents = (0..SEQUENCES).map(|_| (0..length).map(&mut next).collect()).collect();
        let (width, stride) = (heads.heads * head_dim, (heads.heads + 2 * heads.kv_heads) * head_dim);
        let mut qkv = hard(source, inputs, (length, stride, head_dim), LARGEST);
        let mut d_out = hard(source, inputs, (length, width, head_dim), 1e6);
        if matches!(inputs, Inputs::Plain) {
            qkv.iter_mut().step_by(37).for_each(|x| *x *= 30.0);
            qkv[..stride].fill(0.0);
            d_out.iter_mut().for_each(|x| *x *= 1e-3);
        }
        Self { heads, length, documents, qkv, d_out }
    }

    fn width(&self) -> usize {
        self.heads.heads * self.heads.head_dim
    }

    fn stride(&self) -> usize {
        (self.heads.heads + 2 * self.heads.kv_heads) * self.heads.head_dim
    }

    /// Queries, keys and values of a sequence.
    fn parts(&self, sequence: usize) -> [Vec<f32>; 3] {
        let (stride, dim) = (self.stride(), self.heads.head_dim);
        let own = &self.qkv[sequence * self.length * stride..][..self.length * stride];
        let (query, kv) = (self.heads.heads * dim, self.heads.kv_heads * dim);
        [(0, query), (query, kv), (query + kv, kv)].map(|(first, width)| columns(own, stride, first, width))
    }

    /// Fills the last token of the bad sequence, from element `from` of its row on.
    fn spoil(&mut self, from: usize, count: usize, value: f32) {
        let row = (BAD + 1) * self.length - 1;
        let at = row * self.stride() + from;
        self.qkv[at..at + count].fill(value);
    }

    fn starts(&self) -> Vec<u32> {
        let of = |documents: &Vec<u32>| -> Vec<u32> {
            documents
                .iter()
                .map(|own| documents.iter().position(|other| other == own).unwrap_or(0) as u32)
                .collect()
        };
        self.documents.iter().flat_map(of).collect()
    }

    /// Chunks of all sequences at once, of one each, and of two, which leaves one.
    fn chunks(&self) -> [usize; 3] {
        let one = self.heads.heads * self.length * self.length;
        [usize::MAX, 1, 2 * one]
    }

    fn there<'a>(
        &self,
        device: &'a Device,
        starts: &'a Buffer<u32>,
        chunk: usize,
        check: Check<'a>,
    ) -> Attention<'a> {
        Attention { device, heads: self.heads, starts, length: self.length, chunk, check }
    }

    /// The outputs, and which sequence failed.
    fn forward(&self, device: &Device, chunk: usize) -> Result<(Vec<f32>, Option<(usize, u32)>)> {
        let (qkv, starts) = (device.upload(&self.qkv)?, device.upload(&self.starts())?);
        let faults = Faults::new(device, SEQUENCES)?;
        let attention = self.there(device, &starts, chunk, faults.check(2, self.length));
        Ok((attention.forward(&qkv)?.download()?, faults.first()?))
    }

    /// The gradients of an output that is healthy, and which sequence failed.
    fn backward(&self, device: &Device, chunk: usize) -> Result<(Vec<f32>, Option<(usize, u32)>)> {
        let (qkv, starts) = (device.upload(&self.qkv)?, device.upload(&self.starts())?);
        let (forward, faults) = (Faults::new(device, SEQUENCES)?, Faults::new(device, SEQUENCES)?);
        let mixed = self.there(device, &starts, chunk, forward.check(1, self.length)).forward(&qkv)?;
        let attention = self.there(device, &starts, chunk, faults.check(2, self.length));
        let made = attention.backward(&qkv, &mixed, &device.upload(&self.d_out)?)?.download()?;
        Ok((made, forward.first()?.or(faults.first()?)))
    }

    /// The reference's output of a sequence; none if a check fails.
    fn output(&self, sequence: usize) -> Option<attention::Forward> {
        let [q, k, v] = self.parts(sequence);
        attention::forward(&self.heads, &q, &k, &v, &self.documents[sequence]).ok()
    }

    /// The reference's gradients of a sequence, side by side.
    fn gradients(&self, sequence: usize) -> Option<Vec<f32>> {
        let ([q, k, v], documents) = (self.parts(sequence), &self.documents[sequence]);
        let saved = self.output(sequence).expect("only the backward pass fails, qed");
        let (width, kv) = (self.width(), self.heads.kv_heads * self.heads.head_dim);
        let own = &self.d_out[sequence * self.length * width..][..self.length * width];
        let made = attention::backward(&self.heads, (&q, &k, &v), documents, &saved, own).ok()?;
        Some(side_by_side(&[(&made.dq, width), (&made.dk, kv), (&made.dv, kv)]))
    }
}

/// Compares all sequences that are healthy; the bad one has failed if one has.
fn compare(
    what: &str,
    (found, fault): &(Vec<f32>, Option<(usize, u32)>),
    expected: &[Option<Vec<f32>>],
) -> Compared {
    let failed = expected.iter().position(Option::is_none).map(|sequence| (sequence, 2));
    let mut count = equal(&format!("{what}: fault"), &failed, fault)?;
    for (expected, found) in expected.iter().zip(found.chunks(found.len() / SEQUENCES)) {
        count += expected.as_ref().map_or(Ok(0), |expected| same(what, expected, found))?;
    }
    Ok(count)
}

pub(super) fn forward(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for (shape, inputs) in SHAPES.iter().flat_map(|shape| INPUTS.map(|inputs| (*shape, inputs))) {
        let healthy = Case::new(source, shape, inputs);
        let (width, kv) = (healthy.width(), healthy.heads.kv_heads * healthy.heads.head_dim);
        // Nothing; a query, a key, a value; a score of finite ones.
        for bad in 0..5 {
            let mut case = healthy.clone();
            match bad {
                0 => {}
                1 => case.spoil(width - 1, 1, f32::NEG_INFINITY),
                2 => case.spoil(width + kv - 1, 1, f32::NAN),
                3 => case.spoil(width + 2 * kv - 1, 1, f32::INFINITY),
                _ => case.spoil(0, width + kv, 1e20),
            }
            let expected: Vec<_> =
                (0..SEQUENCES).map(|own| case.output(own).map(|made| made.output)).collect();
            count += equal("bad", &(bad == 0), &expected[BAD].is_some())?;
            for chunk in case.chunks() {
                let what = format!("output, {inputs:?}, bad {bad}, chunk {chunk}");
                count += compare(&what, &case.forward(device, chunk)?, &expected)?;
            }
        }
    }
    Ok(count)
}

pub(super) fn backward(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for (shape, inputs) in SHAPES.iter().flat_map(|shape| INPUTS.map(|inputs| (*shape, inputs))) {
        let healthy = Case::new(source, shape, inputs);
        let (width, kv) = (healthy.width(), healthy.heads.kv_heads * healthy.heads.head_dim);
        let last = ((BAD + 1) * healthy.length - 1) * width;
        // Nothing; a gradient; that of a score, of finite ones.
        for bad in 0..3 {
            let mut case = healthy.clone();
            match bad {
                0 => {}
                1 => case.d_out[last] = f32::NAN,
                _ => {
                    case.spoil(width + kv, kv, 1e30);
                    case.d_out[last..last + width].fill(1e30);
                }
            }
            let expected: Vec<_> = (0..SEQUENCES).map(|own| case.gradients(own)).collect();
            count += equal("bad", &(bad == 0), &expected[BAD].is_some())?;
            for chunk in case.chunks() {
                let what = format!("gradient, {inputs:?}, bad {bad}, chunk {chunk}");
                count += compare(&what, &case.backward(device, chunk)?, &expected)?;
            }
        }
    }
    Ok(count)
}
