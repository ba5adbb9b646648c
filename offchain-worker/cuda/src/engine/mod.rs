//! A whole optimizer step on a device: the operators of [`crate::ops`] strung together as the CPU engine of the trainer does.
//!
//! The one idea: the device never waits within a micro-batch. Checks that fail are noted in a word per sequence, and the
//! first of them is read at the end; what ran after it on garbage has a higher index, so it does not show.

pub(crate) mod attention;
mod frozen;
pub(crate) mod head;
mod pass;
pub(crate) mod projection;

use attune_exact::{
    fault::{Fault, Operator},
    model::{Lora, Shape, Target},
    optimizer::{clipping, Scalars, State},
    rotary,
    step::{loss_tokens, mean_loss, omega, Sequence, Settings},
};

use crate::{
    buffer::Buffer,
    device::Device,
    error::{Error, Result},
    ops::Faults,
};
pub use frozen::{Layer, Matrix, Weights};
use head::Targets;
use pass::{Pass, Table};
pub use projection::Place;

/// How much of the tables that are never held whole is held at a time; it moves no bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// Logits, in elements; 16 rows at least are held.
    pub logits: usize,
    /// Scores of the attention, in elements; those of one sequence at least are held.
    pub scores: usize,
}

impl Default for Chunks {
    /// 512 MiB of logits, 1 GiB of scores.
    fn default() -> Self {
        Self { logits: 1 << 27, scores: 1 << 28 }
    }
}

/// Model, adapter and optimizer of an exact training, on a device.
pub struct Engine {
    device: Device,
    weights: Weights,
    lora: Lora,
    places: Vec<[Place; 7]>,
    rotary: Table,
    adapter: Buffer<f32>,
    first: Buffer<f32>,
    second: Buffer<f32>,
    /// Sequences that go through a pass at once; it moves no bit.
    micro_batch: usize,
    chunks: Chunks,
}

/// What a step made besides the new state.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// The mean loss per loss-bearing token, in nats.
    pub loss: f32,
    /// Of the gradient, before clipping.
    pub norm: f64,
    /// Before clipping; flat, in the order of the adapter.
    pub gradient: Vec<f32>,
}

fn places(shape: &Shape, lora: &Lora) -> Vec<[Place; 7]> {
    let place = |layer, target| {
        let (a, b) = lora.place(shape, layer, target);
        Place { a, b }
    };
    (0..shape.layers).map(|layer| Target::ALL.map(|target| place(layer, target))).collect()
}

/// Each place must be as large as its matrix, and within the flat vectors.
fn check_places(shape: &Shape, lora: &Lora, places: &[[Place; 7]]) -> Result<()> {
    let equal = |what, expected: usize, found: usize| match expected == found {
        true => Ok(()),
        false => Err(Error::Shape { what, expected, found }),
    };
    equal("blocks with an adapter", shape.layers, places.len())?;
    let end = lora.len(shape);
    for (target, place) in places.iter().flat_map(|block| Target::ALL.iter().zip(block)) {
        let (inputs, outputs) = target.sizes(shape);
        for (range, width) in [(&place.a, inputs), (&place.b, outputs)] {
            equal("a matrix of the adapter", lora.rank * width, range.len())?;
            equal("the end of the adapter", end.max(range.end), end)?;
        }
    }
    Ok(())
}

fn starts(documents: &[u32]) -> impl Iterator<Item = u32> + '_ {
    let mut start = 0;
    documents.iter().enumerate().map(move |(at, document)| {
        if at > 0 && *document != documents[at - 1] {
            start = at as u32;
        }
        start
    })
}

impl Engine {
    /// An engine for sequences whose positions are below `positions`; matrices lie in the flat vectors as
    /// [`Lora::place`] says.
    ///
    /// # Errors
    /// The state is of another shape, or there is no memory.
    pub fn new(
        device: &Device,
        weights: Weights,
        lora: Lora,
        state: &State,
        sizes: (u32, usize),
    ) -> Result<Self> {
        let places = places(&weights.shape, &lora);
        Self::with_places(device, weights, (lora, places), state, sizes)
    }

    /// As [`Engine::new`], with flat vectors in an order of the caller's own: `places` has, for each block, where the
    /// matrices of q, k, v, o, gate, up and down lie, without overlap. The order moves no bit.
    ///
    /// # Errors
    /// State or places are of another shape, or there is no memory.
    pub fn with_places(
        device: &Device,
        weights: Weights,
        (lora, places): (Lora, Vec<[Place; 7]>),
        state: &State,
        (positions, micro_batch): (u32, usize),
    ) -> Result<Self> {
        let shape = &weights.shape;
        check_places(shape, &lora, &places)?;
        let expected = lora.len(shape);
        for found in [state.adapter.len(), state.first.len(), state.second.len()] {
            if found != expected {
                return Err(Error::Shape { what: "adapter and moments", expected, found });
            }
        }
        let all: Vec<u32> = (0..positions).collect();
        let table = rotary::table(shape.head_dim, shape.rope_theta, shape.rope_scaling.as_ref(), &all);
        Ok(Self {
            places,
            rotary: Table {
                cosine: device.upload(&table.cosine)?,
                sine: device.upload(&table.sine)?,
                pairs: table.pairs,
            },
            adapter: device.upload(&state.adapter)?,
            first: device.upload(&state.first)?,
            second: device.upload(&state.second)?,
            device: device.clone(),
            weights,
            lora,
            micro_batch: micro_batch.max(1),
            chunks: Chunks::default(),
        })
    }

    /// The same, with chunks of another size.
    #[must_use]
    pub fn with_chunks(self, chunks: Chunks) -> Self {
        Self { chunks, ..self }
    }

    /// Adapter and moments.
    ///
    /// # Errors
    /// The device failed.
    pub fn state(&self) -> Result<State> {
        let Self { adapter, first, second, .. } = self;
        Ok(State { adapter: adapter.download()?, first: first.download()?, second: second.download()? })
    }

    /// Step `step` (from 0) over `sequences`, of which each passes [`Sequence::check`] and has positions below those that
    /// the engine was made for.
    ///
    /// # Errors
    /// The device failed; or, inside, the first check that failed. The engine's state is of no use after either.
    pub fn step(
        &mut self,
        settings: &Settings,
        sequences: &[Sequence],
        step: u64,
    ) -> Result<Result<Made, Fault>> {
        let tokens = loss_tokens(sequences);
        let mut gradient = self.device.zeros::<f32>(self.adapter.len())?;
        let found = self.accumulate(sequences, Some((omega(tokens), &mut gradient)))?;
        let sum = match found {
            Ok(sum) => sum,
            Err((sequence, operator)) => {
                return Ok(Err(Fault { step, sequence: Some(sequence as u32), operator }));
            }
        };
        let fault = |operator| Ok(Err(Fault { step, sequence: None, operator }));
        let Some(norm) = self.device.gradient_norm(gradient.all())? else {
            return fault(Operator::GradientNorm);
        };
        let unclipped = gradient.download()?;
        if let Some(kappa) = clipping(norm, settings.max_norm) {
            self.device.scale(gradient.all_mut(), kappa)?;
        }
        let with = Scalars::new(&settings.adamw, settings.learning_rate, step + 1);
        let faults = Faults::new(&self.device, 1)?;
        let moments = (self.first.all_mut(), self.second.all_mut());
        self.device.adamw(self.adapter.all_mut(), gradient.all(), moments, &with, faults.check(0, 0))?;
        if faults.first()?.is_some() {
            return fault(Operator::Update);
        }
        Ok(Ok(Made { loss: mean_loss(sum, tokens), norm, gradient: unclipped }))
    }

    /// The mean loss of `sequences`, or the first operator with a check that failed.
    ///
    /// # Errors
    /// The device failed.
    pub fn loss(&self, sequences: &[Sequence]) -> Result<Result<f32, Operator>> {
        let found = self.loss_sum(sequences)?;
        Ok(found.map(|sum| mean_loss(sum, loss_tokens(sequences))))
    }

    /// Σ int(ℓ × 2^24) over the loss-bearing tokens of `sequences`, or the first operator with a check that failed. The
    /// sums of parts of a list add up to that of the list.
    ///
    /// # Errors
    /// The device failed.
    pub fn loss_sum(&self, sequences: &[Sequence]) -> Result<Result<i64, Operator>> {
        Ok(self.accumulate(sequences, None)?.map_err(|(_, operator)| operator))
    }

    /// Loss sum and gradient of all sequences; or the first that fails, with its operator.
    fn accumulate(
        &self,
        sequences: &[Sequence],
        mut gradient: Option<(f32, &mut Buffer<f32>)>,
    ) -> Result<Result<i64, (usize, Operator)>> {
        let bearing: Vec<(usize, &Sequence)> =
            sequences.iter().enumerate().filter(|(_, sequence)| !sequence.targets().0.is_empty()).collect();
        let faults = Faults::new(&self.device, bearing.len())?;
        let (mut sum, mut from) = (0i64, 0);
        while from < bearing.len() {
            let length = bearing[from].1.tokens.len();
            let same = bearing[from..].iter().take(self.micro_batch);
            let count = same.take_while(|(_, sequence)| sequence.tokens.len() == length).count();
            let pass = self.pass(&bearing[from..from + count], (&faults, from))?;
            let gradient = gradient.as_mut().map(|(omega, gradient)| (*omega, &mut **gradient));
            sum = sum.wrapping_add(pass.run(gradient)?);
            from += count;
        }
        Ok(match faults.first()? {
            None => Ok(sum),
            Some((at, code)) => {
                let operator = Operator::from_index(code, self.weights.layers.len() as u32);
                Err((bearing[at].0, operator.expect("only indices of operators are noted, qed")))
            }
        })
    }

    fn pass<'a>(&'a self, sequences: &[(usize, &Sequence)], faults: (&'a Faults, usize)) -> Result<Pass<'a>> {
        let gather = |of: fn(&Sequence) -> Vec<u32>| {
            let all: Vec<u32> = sequences.iter().flat_map(|(_, sequence)| of(sequence)).collect();
            self.device.upload(&all)
        };
        let length = sequences[0].1.tokens.len();
        let places = sequences.iter().enumerate().flat_map(|(index, (_, sequence))| {
            sequence.targets().0.into_iter().map(move |place| (index * length + place) as u32)
        });
        let targets = Targets {
            places: self.device.upload(&places.collect::<Vec<u32>>())?,
            targets: gather(|sequence| sequence.targets().1)?,
        };
        Ok(Pass {
            device: &self.device,
            weights: &self.weights,
            flat: &self.adapter,
            places: &self.places,
            lora: (self.lora.rank, self.lora.sigma()),
            rotary: &self.rotary,
            tokens: gather(|sequence| sequence.tokens.clone())?,
            positions: gather(|sequence| sequence.positions.clone())?,
            starts: gather(|sequence| starts(&sequence.documents).collect())?,
            targets,
            length,
            chunks: self.chunks,
            faults,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_other_sizes_or_outside_the_vectors_are_refused() {
        let shape = Shape {
            vocabulary: 5,
            hidden: 4,
            intermediate: 6,
            layers: 2,
            heads: 2,
            kv_heads: 1,
            head_dim: 2,
            norm_epsilon: 1e-5,
            rope_theta: 1e4,
            rope_scaling: None,
        };
        let lora = Lora { rank: 3, alpha: 1.0, rank_stabilised: false };
        let good = places(&shape, &lora);
        check_places(&shape, &lora, &good).unwrap();
        let refused = |change: &dyn Fn(&mut Vec<[Place; 7]>)| {
            let mut places = good.clone();
            change(&mut places);
            check_places(&shape, &lora, &places).unwrap_err().to_string()
        };
        let error = refused(&|places| places.truncate(1));
        assert!(error.starts_with("blocks with an adapter: expected 2, found 1"), "{error}");
        let error = refused(&|places| places[0][2].a.end += 1);
        assert!(error.starts_with("a matrix of the adapter: expected 12, found 13"), "{error}");
        let end = lora.len(&shape);
        let error = refused(&|places| places[1][6].b = end - 11..end + 1);
        assert!(
            error.starts_with(&format!("the end of the adapter: expected {}, found {end}", end + 1)),
            "{error}"
        );
    }
}
