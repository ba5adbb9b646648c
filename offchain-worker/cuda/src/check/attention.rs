//! Attention against the reference: documents, grouped heads, more queries than a tile has rows.

use attune_exact::{
    attention::{self, Heads},
    pass::{columns, side_by_side},
};

use super::{equal, same, Compared, Source};
use crate::{device::Device, engine::attention::Attention, ops::Faults};

const SEQUENCES: usize = 2;

/// Heads and tokens.
const SHAPES: [(usize, usize, usize, usize); 3] = [(1, 1, 4, 1), (4, 2, 16, 40), (2, 1, 10, 150)];

struct Case {
    heads: Heads,
    length: usize,
    /// Of each sequence, `[T]`.
    documents: Vec<Vec<u32>>,
    qkv: Vec<f32>,
}

impl Case {
    fn new(source: &mut Source, (heads, kv_heads, head_dim, length): (usize, usize, usize, usize)) -> Self {
        let heads = Heads { heads, kv_heads, head_dim };
        let mut document = 0;
        let mut next = |at: usize| {
            document += u32::from(at > 0 && source.below(20) == 0);
            document
        };
        let documents = (0..SEQUENCES).map(|_| (0..length).map(&mut next).collect()).collect();
        let stride = (heads.heads + 2 * heads.kv_heads) * head_dim;
        let mut qkv = source.reals(SEQUENCES * length * stride, 2.0);
        // Some scores far apart, some all the same.
        qkv.iter_mut().step_by(37).for_each(|x| *x *= 30.0);
        qkv[..stride].fill(0.0);
        Self { heads, length, documents, qkv }
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

    fn starts(&self) -> Vec<u32> {
        let of = |documents: &Vec<u32>| -> Vec<u32> {
            documents
                .iter()
                .map(|own| documents.iter().position(|other| other == own).unwrap_or(0) as u32)
                .collect()
        };
        self.documents.iter().flat_map(of).collect()
    }
}

pub(super) fn forward(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for shape in SHAPES {
        let mut case = Case::new(source, shape);
        for bad in [false, true] {
            if bad {
                // A value of the second sequence.
                let at = case.qkv.len() - 1;
                case.qkv[at] = f32::INFINITY;
            }
            let (qkv, starts) = (device.upload(&case.qkv)?, device.upload(&case.starts())?);
            let faults = Faults::new(device, SEQUENCES)?;
            let check = faults.check(2, case.length);
            let attention =
                Attention { device, heads: case.heads, starts: &starts, length: case.length, check };
            let found = attention.forward(&qkv)?.download()?;
            count += equal("fault", &bad.then_some((1, 2)), &faults.first()?)?;
            let part = case.length * case.heads.heads * case.heads.head_dim;
            for sequence in 0..SEQUENCES - usize::from(bad) {
                let [q, k, v] = case.parts(sequence);
                let expected = attention::forward(&case.heads, &q, &k, &v, &case.documents[sequence]);
                let expected = expected.expect("all is finite, qed");
                count += same("output", &expected.output, &found[sequence * part..(sequence + 1) * part])?;
            }
        }
    }
    Ok(count)
}

pub(super) fn backward(device: &Device, source: &mut Source) -> Compared {
    let mut count = 0;
    for shape in SHAPES {
        let case = Case::new(source, shape);
        let width = case.heads.heads * case.heads.head_dim;
        let part = case.length * width;
        let d_out = source.reals(SEQUENCES * part, 1e-3);
        let (qkv, starts) = (device.upload(&case.qkv)?, device.upload(&case.starts())?);
        let faults = Faults::new(device, SEQUENCES)?;
        let check = faults.check(2, case.length);
        let attention = Attention { device, heads: case.heads, starts: &starts, length: case.length, check };
        let mixed = attention.forward(&qkv)?;
        let found = attention.backward(&qkv, &mixed, &device.upload(&d_out)?)?.download()?;
        count += equal("fault", &None, &faults.first()?)?;
        for sequence in 0..SEQUENCES {
            let ([q, k, v], documents) = (case.parts(sequence), &case.documents[sequence]);
            let saved = attention::forward(&case.heads, &q, &k, &v, documents).expect("all is finite, qed");
            let own = &d_out[sequence * part..(sequence + 1) * part];
            let made = attention::backward(&case.heads, (&q, &k, &v), documents, &saved, own);
            let made = made.expect("all is finite, qed");
            let kv = case.heads.kv_heads * case.heads.head_dim;
            let expected = side_by_side(&[(&made.dq, width), (&made.dk, kv), (&made.dv, kv)]);
            let size = case.length * case.stride();
            count += same("gradient", &expected, &found[sequence * size..(sequence + 1) * size])?;
        }
    }
    Ok(count)
}
