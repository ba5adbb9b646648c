//! Whole optimizer steps against the reference: the training run of a small model, and its faults.

use attune_exact::{
    fault::Fault,
    model::{Block, Lora, Model, Shape},
    optimizer::{AdamW, State},
    rotary::Llama3,
    step::{self, Sequence, Settings, IGNORE},
    weights::{Frozen, Packed4},
};

use super::{equal, same, Compared, Source};
use crate::{
    device::Device,
    engine::{Chunks, Engine, Layer, Matrix, Weights},
    error::Result,
};

fn shape(grouped: bool) -> Shape {
    let (heads, kv_heads, head_dim) = if grouped { (4, 2, 6) } else { (2, 2, 8) };
    Shape {
        vocabulary: 61,
        hidden: 20,
        intermediate: 36,
        layers: 2,
        heads,
        kv_heads,
        head_dim,
        norm_epsilon: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
    }
}

fn model(
    source: &mut Source,
    grouped: bool,
    tied: bool,
    mut freeze: impl FnMut(&mut Source, usize, usize) -> Frozen,
) -> Model {
    let shape = shape(grouped);
    let ones = |source: &mut Source| -> Vec<f32> { source.reals(20, 0.2).iter().map(|w| w + 1.0).collect() };
    let qkv = shape.query_width() + 2 * shape.kv_width();
    let blocks = (0..shape.layers).map(|_| Block {
        input_norm: ones(source),
        qkv: freeze(source, qkv, 20),
        qkv_bias: grouped.then(|| source.reals(qkv, 0.5)),
        output: freeze(source, 20, shape.query_width()),
        post_norm: ones(source),
        gate_up: freeze(source, 2 * shape.intermediate, 20),
        down: freeze(source, 20, shape.intermediate),
    });
    let blocks = blocks.collect();
    let embedding = source.w8(shape.vocabulary, 20);
    let final_norm = ones(source);
    let head = (!tied).then(|| source.w8(shape.vocabulary, 20));
    Model { shape, embedding, blocks, final_norm, head }
}

fn sequences(source: &mut Source, shape: &Shape, lengths: &[usize]) -> Vec<Sequence> {
    let one = |length: &usize| {
        let tokens = (0..*length).map(|_| source.below(shape.vocabulary) as u32).collect();
        let bearing = source.below(4) > 0 || *length > 9;
        let mut label = |_| match bearing && source.below(3) > 0 {
            true => source.below(shape.vocabulary) as i32,
            false => IGNORE,
        };
        let labels = (0..*length).map(&mut label).collect();
        let mut position = 0;
        let mut next = |at| {
            position = if at == 0 || source.below(7) == 0 { 0 } else { position + 1 };
            position
        };
        let positions = (0..*length).map(&mut next).collect();
        Sequence::packed(tokens, labels, positions)
    };
    lengths.iter().map(one).collect()
}

fn settings(lora: Lora) -> Settings {
    let adamw = AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };
    Settings { lora, adamw, learning_rate: 1e-2, max_norm: 0.5 }
}

fn state(source: &mut Source, length: usize) -> State {
    State { adapter: source.reals(length, 0.3), first: vec![0.0; length], second: vec![0.0; length] }
}

/// How the work is cut: sequences of a micro-batch, and chunks of it.
type Cut = (usize, Chunks);

/// No table is cut.
const WHOLE: Chunks = Chunks { logits: usize::MAX, scores: usize::MAX };

/// Cuts that need not divide anything: so many rows of logits (16 at least) and sequences of scores at a time.
fn chunks(shape: &Shape, rows: usize, sequences: usize) -> Chunks {
    Chunks { logits: rows * shape.vocabulary, scores: sequences * shape.heads * 17 * 17 }
}

/// Three steps; among six sequences three of a length, so that some micro-batches are short.
fn train(
    device: &Device,
    source: &mut Source,
    (model, weights): (&Model, Weights),
    lora: Lora,
    (micro_batch, chunks): Cut,
) -> Compared {
    let mut expected = state(source, lora.len(&model.shape));
    let engine = Engine::new(device, weights, lora, &expected, (64, micro_batch))?;
    let mut engine = engine.with_chunks(chunks);
    let settings = settings(lora);
    let mut count = 0;
    for at in 0..3 {
        let sequences = sequences(source, &model.shape, &[17, 17, 17, 9, 30, 30]);
        let made = step::step(model, &settings, &expected, &sequences, at).expect("all is finite, qed");
        let found = engine.step(&settings, &sequences, at)?;
        let found = match found {
            Ok(found) => found,
            Err(fault) => return equal("a step", &None, &Some(fault)),
        };
        count += same("loss", &[made.loss], &[found.loss])?;
        count += equal("norm of the gradient", &made.norm.to_bits(), &found.norm.to_bits())?;
        let after = engine.state()?;
        count += same("parameters", &made.state.adapter, &after.adapter)?;
        count += same("first moments", &made.state.first, &after.first)?;
        count += same("second moments", &made.state.second, &after.second)?;
        expected = made.state;
    }
    Ok(count)
}

fn w8(source: &mut Source, outputs: usize, inputs: usize) -> Frozen {
    let mut frozen = source.w8(outputs, inputs);
    // Larger than random initial weights, so that attention and gates leave their middle.
    frozen.scales.iter_mut().for_each(|scale| *scale *= 4.0);
    frozen
}

pub(super) fn steps(device: &Device, source: &mut Source) -> Compared {
    let lora = Lora { rank: 3, alpha: 6.0, rank_stabilised: false };
    let model = model(source, false, true, w8);
    let mut count = 0;
    for micro_batch in [1, 4] {
        count += train(device, source, (&model, Weights::of(device, &model)?), lora, (micro_batch, WHOLE))?;
    }
    Ok(count)
}

/// Logits and scores in chunks: the smallest, one that holds two of three sequences, one that divides no number of rows;
/// and the size that a real model has, which must be the same again.
pub(super) fn cut(device: &Device, source: &mut Source) -> Compared {
    let lora = Lora { rank: 3, alpha: 6.0, rank_stabilised: false };
    let model = model(source, false, true, w8);
    let mut count = 0;
    for chunks in [
        chunks(&model.shape, 0, 0),
        chunks(&model.shape, 19, 2),
        chunks(&model.shape, 23, 1),
        Chunks::default(),
    ] {
        count += train(device, source, (&model, Weights::of(device, &model)?), lora, (4, chunks))?;
    }
    Ok(count)
}

/// A rank whose three parts side by side are deeper than any tile, and than sums of 32 bits would hold.
pub(super) fn deep(device: &Device, source: &mut Source) -> Compared {
    let lora = Lora { rank: 180, alpha: 360.0, rank_stabilised: true };
    let model = model(source, true, false, w8);
    train(device, source, (&model, Weights::of(device, &model)?), lora, (3, WHOLE))
}

pub(super) fn grouped(device: &Device, source: &mut Source) -> Compared {
    let lora = Lora { rank: 4, alpha: 8.0, rank_stabilised: true };
    let mut model = model(source, true, false, w8);
    // Of the pairs of a head, one is stretched in part and one in full; the first is kept.
    model.shape.rope_scaling = Some(Llama3 {
        factor: 8.0,
        low_frequency_factor: 1.0,
        high_frequency_factor: 4.0,
        original_context: 256.0,
    });
    train(device, source, (&model, Weights::of(device, &model)?), lora, (2, WHOLE))
}

/// The blocks' matrices in 4 bits; the reference gets them unfolded.
pub(super) fn packed(device: &Device, source: &mut Source) -> Compared {
    let lora = Lora { rank: 2, alpha: 4.0, rank_stabilised: false };
    let mut packed: Vec<Packed4> = Vec::new();
    let freeze = |source: &mut Source, outputs: usize, inputs: usize| {
        let mut matrix = source.w4(outputs, inputs);
        matrix.scales.iter_mut().for_each(|scale| *scale *= 4.0);
        packed.push(matrix);
        packed[packed.len() - 1].unfold()
    };
    let model = model(source, false, false, freeze);
    let layer = |(block, matrices): (&Block, &[Packed4])| -> Result<Layer> {
        Ok(Layer {
            input_norm: device.upload(&block.input_norm)?,
            qkv: Matrix::of4(device, &matrices[0])?,
            qkv_bias: None,
            output: Matrix::of4(device, &matrices[1])?,
            post_norm: device.upload(&block.post_norm)?,
            gate_up: Matrix::of4(device, &matrices[2])?,
            down: Matrix::of4(device, &matrices[3])?,
        })
    };
    let layers = model.blocks.iter().zip(packed.chunks(4)).map(layer).collect::<Result<_>>()?;
    let weights = Weights { layers, ..Weights::of(device, &model)? };
    train(device, source, (&model, weights), lora, (2, WHOLE))
}

/// Parameters, weights and rates at which checks fail: the reference's fault is found, whatever the micro-batch.
pub(super) fn faults(device: &Device, source: &mut Source) -> Compared {
    let lora = Lora { rank: 2, alpha: 4.0, rank_stabilised: false };
    let healthy = model(source, false, false, w8);
    let length = lora.len(&healthy.shape);
    let mut count = 0;
    for case in 0..14 {
        let (mut broken, mut from, mut settings) = (healthy.clone(), state(source, length), settings(lora));
        let block = &mut broken.blocks[case % 2];
        match case {
            0 | 1 => from.adapter[length / 2 * case + 5] = f32::NAN,
            2 | 3 => block.input_norm[3] = f32::INFINITY,
            4 | 5 => block.post_norm[3] = 1e38,
            6 => broken.final_norm[1] = f32::NAN,
            7 => block.gate_up.scales.iter_mut().for_each(|scale| *scale = 1e30),
            8 | 9 => block.down.scales[2] = 3e38,
            10 => broken.embedding.scales[7] = f32::INFINITY,
            11 => block.output.scales[5] = 1e37,
            12 => settings.learning_rate = 1e39,
            _ => from.first[9] = f32::INFINITY,
        }
        let sequences = sequences(source, &healthy.shape, &[12, 12, 12, 12]);
        let expected: Option<Fault> = step::step(&broken, &settings, &from, &sequences, 4).err();
        for (micro_batch, chunks) in [(1, WHOLE), (3, WHOLE), (4, chunks(&healthy.shape, 0, 0))] {
            let weights = Weights::of(device, &broken)?;
            let engine = Engine::new(device, weights, lora, &from, (64, micro_batch))?;
            let found = engine.with_chunks(chunks).step(&settings, &sequences, 4)?.err();
            count += equal(&format!("fault {case}"), &expected, &found)?;
        }
    }
    Ok(count)
}
