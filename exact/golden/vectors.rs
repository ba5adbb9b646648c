//! Golden vectors of AX-1: what the operators and a tiny model make of pinned pseudo-random inputs.
//!
//! Another implementation makes the same inputs from the generator below and compares its own results with
//! `golden/ax1.txt`. A line of that file is `name count hash first-values`: the number of elements, FNV-1a (64 bits) over
//! their little-endian bytes, and the bits of up to four of them, all in hexadecimal. `cargo run -p attune-exact --example
//! golden` writes the file anew; that is a new version of the specification.

use attune_exact::{
    activation,
    attention::{self, Heads},
    loss, mantissa,
    mantissa::Width,
    model::{Block, Lora, Model, Shape, Storage},
    norm,
    optimizer::{self, AdamW, Scalars, State},
    projection::{self, Group, LowRank},
    real, real64,
    rotary::{self, Llama3},
    schedule::Schedule,
    step::{self, Sequence, Settings, IGNORE},
    weights,
};

/// Pseudo-random numbers: a 64-bit linear congruential generator (Knuth's MMIX constants) whose upper 24 bits are used.
pub(crate) struct Generator(u64);

impl Generator {
    /// A generator that starts at `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 24 bits.
    pub(crate) fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as u32
    }

    /// Uniform in [−bound, bound): `(bits ÷ 2^23 − 1) × bound`.
    pub(crate) fn reals(&mut self, count: usize, bound: f32) -> Vec<f32> {
        (0..count).map(|_| (self.bits() as f32 / 8_388_608.0 - 1.0) * bound).collect()
    }

    /// As [`Self::reals`], each element then multiplied by 2^e with e in −12..=3, so that magnitudes differ widely.
    pub(crate) fn spread(&mut self, count: usize, bound: f32) -> Vec<f32> {
        let plain = self.reals(count, bound);
        plain.into_iter().map(|x| x * real::pow2((self.bits() % 16) as i32 - 12)).collect()
    }

    /// Below `limit`.
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        self.bits() % limit
    }
}

/// Variants of the tiny model: 2 blocks, hidden 32, 4 query and 2 key heads of 8, intermediate 48, vocabulary 64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Variant {
    /// 8 bits, a head of its own.
    Llama,
    /// 8 bits, biases, tied head.
    Qwen,
    /// 4 bits, scaled rotary positions, tied head.
    Llama4,
}

/// All of them.
pub(crate) const VARIANTS: [Variant; 3] = [Variant::Llama, Variant::Qwen, Variant::Llama4];

/// The tiny model, its weights drawn in the order of the fields.
pub(crate) fn tiny_model(variant: Variant) -> Model {
    let scaling = Llama3 {
        factor: 8.0,
        low_frequency_factor: 1.0,
        high_frequency_factor: 4.0,
        original_context: 1024.0,
    };
    let shape = Shape {
        vocabulary: 64,
        hidden: 32,
        intermediate: 48,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        norm_epsilon: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: (variant == Variant::Llama4).then_some(scaling),
    };
    let storage = if variant == Variant::Llama4 { Storage::W4 } else { Storage::W8 };
    let mut random = Generator::new(1);
    let freeze = |weights: Vec<f32>, inputs: usize, storage: Storage| {
        storage.freeze(&weights, inputs).expect("the weights are finite, qed")
    };
    let around_one = |random: &mut Generator| -> Vec<f32> {
        random.reals(32, 0.25).into_iter().map(|x| 1.0 + x).collect()
    };
    let embedding = freeze(random.reals(64 * 32, 1.0), 32, Storage::W8);
    let mut blocks = vec![];
    for _ in 0..shape.layers {
        blocks.push(Block {
            input_norm: around_one(&mut random),
            qkv: freeze(random.reals(64 * 32, 0.5), 32, storage),
            qkv_bias: (variant == Variant::Qwen).then(|| random.reals(64, 0.5)),
            output: freeze(random.reals(32 * 32, 0.4), 32, storage),
            post_norm: around_one(&mut random),
            gate_up: freeze(random.reals(96 * 32, 0.4), 32, storage),
            down: freeze(random.reals(32 * 48, 0.4), 48, storage),
        });
    }
    let final_norm = around_one(&mut random);
    let head = (variant == Variant::Llama).then(|| freeze(random.reals(64 * 32, 0.5), 32, Storage::W8));
    Model { shape, embedding, blocks, final_norm, head }
}

/// Rank 4, alpha 8.
pub(crate) const LORA: Lora = Lora { rank: 4, alpha: 8.0, rank_stabilised: false };

/// Settings of the tiny runs; the norm is clipped.
pub(crate) fn tiny_settings() -> Settings {
    Settings {
        lora: LORA,
        adamw: AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 },
        learning_rate: 0.01,
        max_norm: 0.5,
    }
}

/// An adapter that is not zero anywhere, with zero moments.
pub(crate) fn tiny_state(model: &Model) -> State {
    let count = LORA.len(&model.shape);
    let adapter = Generator::new(2).reals(count, 0.1);
    State { adapter, first: vec![0.0; count], second: vec![0.0; count] }
}

/// Sequences of 16 tokens: two documents and padding of documents of one token; tokens repeat, so there is something to
/// learn. The first tokens of a document bear no loss.
pub(crate) fn tiny_sequences(count: u64) -> Vec<Sequence> {
    let one = |index: u64| {
        let mut random = Generator::new(100 + index);
        let pattern: Vec<u32> = (0..3).map(|_| random.below(64)).collect();
        let positions: Vec<u32> = (0..7).chain(0..7).chain([0, 0]).collect();
        let tokens: Vec<u32> = positions.iter().map(|p| pattern[*p as usize % 3]).collect();
        let mut labels = vec![IGNORE; 16];
        for t in 0..15 {
            if positions[t] > 0 && positions[t + 1] > 0 {
                labels[t] = tokens[t + 1] as i32;
            }
        }
        Sequence::packed(tokens, labels, positions)
    };
    (0..count).map(one).collect()
}

/// FNV-1a of 64 bits.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The lines of the file.
struct Lines(String);

impl Lines {
    fn push<const N: usize>(&mut self, name: &str, values: impl Iterator<Item = [u8; N]>) {
        let values: Vec<[u8; N]> = values.collect();
        let hash = fnv(values.iter().flatten().copied());
        self.0 += &format!("{name} {} {hash:016x}", values.len());
        for value in values.iter().take(4) {
            let digits: Vec<String> = value.iter().rev().map(|byte| format!("{byte:02x}")).collect();
            self.0 += &format!(" {}", digits.concat());
        }
        self.0 += "\n";
    }

    fn f32(&mut self, name: &str, values: &[f32]) {
        self.push(name, values.iter().map(|x| x.to_bits().to_le_bytes()));
    }

    fn f64(&mut self, name: &str, values: &[f64]) {
        self.push(name, values.iter().map(|x| x.to_bits().to_le_bytes()));
    }

    fn table(&mut self, name: &str, table: &mantissa::Table) {
        self.push(&format!("{name}.values"), table.values.iter().map(|q| q.to_le_bytes()));
        self.f32(&format!("{name}.scales"), &table.scales);
    }
}

/// The whole file.
pub(crate) fn text() -> String {
    let mut lines = Lines(String::new());
    functions(&mut lines);
    quantisation(&mut lines);
    operators(&mut lines).expect("the inputs are finite, qed");
    attention_lines(&mut lines).expect("the inputs are finite, qed");
    for variant in VARIANTS {
        run(&mut lines, variant);
    }
    lines.0
}

fn functions(lines: &mut Lines) {
    let x: Vec<f32> = Generator::new(10).reals(1000, 90.0);
    let map = |of: fn(f32) -> f32| x.iter().map(|x| of(*x)).collect::<Vec<f32>>();
    lines.f32("inputs", &x);
    lines.f32("exp_neg(-|x|)", &map(|x| real::exp_neg(-x.abs())));
    lines.f32("sigmoid(x)", &map(real::sigmoid));
    lines.f32("ln(1+|x|)", &map(|x| real::ln(1.0 + x.abs())));
    lines.f32("sqrt(|x|)", &map(|x| real::sqrt(x.abs())));
    let map = |of: fn(f64) -> f64| x.iter().map(|x| of(f64::from(*x))).collect::<Vec<f64>>();
    lines.f64("exp64(x)", &map(real64::exp64));
    lines.f64("ln64(1+|x|)", &map(|x| real64::ln64(1.0 + x.abs())));
    lines.f64("sin64(x)", &map(real64::sin64));
    lines.f64("cos64(x)", &map(real64::cos64));
    lines.f64("sqrt64(|x|)", &map(|x| real64::sqrt64(x.abs())));
    lines.f64("power(0.999,t)", &(0..100).map(|t| real64::power(0.999, t * t)).collect::<Vec<_>>());
    let cosine = |n| Schedule::Cosine.factor(n, 10, 100);
    lines.f64("schedule.cosine(n,10,100)", &(0..100).map(cosine).collect::<Vec<_>>());
}

fn quantisation(lines: &mut Lines) {
    let x = Generator::new(11).spread(24 * 40, 3.0);
    let good = "the inputs are finite, qed";
    lines.f32("spread", &x);
    lines.table("wide_rows", &mantissa::rows(&x, 40, Width::Wide).expect(good));
    lines.table("narrow_rows", &mantissa::rows(&x, 40, Width::Narrow).expect(good));
    lines.table("narrow_columns", &mantissa::narrow_columns(&x, 40).expect(good));
    let w8 = weights::quantise8(&x, 40).expect(good);
    lines.push("w8.values", w8.values.iter().map(|q| q.to_le_bytes()));
    lines.f32("w8.scales", &w8.scales);
    let w4 = weights::quantise4(&x, 40).expect(good);
    lines.push("w4.nibbles", w4.nibbles.iter().map(|q| [*q]));
    lines.push("w4.multipliers", w4.multipliers.iter().map(|q| [*q]));
    lines.f32("w4.scales", &w4.scales);
    lines.push("w4.unfolded", w4.unfold().values.iter().map(|q| q.to_le_bytes()));
}

fn operators(lines: &mut Lines) -> Result<(), mantissa::NotFinite> {
    let mut random = Generator::new(12);
    let (x, w, dy) = (random.spread(10 * 40, 2.0), random.reals(40, 1.5), random.spread(10 * 40, 1e-3));
    let made = norm::forward(&x, &w, 1e-5)?;
    lines.f32("norm.y", &made.y);
    lines.f32("norm.rho", &made.rho);
    lines.f32("norm.dx", &norm::backward(&dy, &x, &w, &made)?);
    let (weight, bias) = (weights::quantise8(&random.reals(24 * 40, 0.3), 40)?, random.reals(24, 0.2));
    let (a, b) = (random.reals(2 * 4 * 40, 0.2), random.reals(24 * 4, 0.1));
    let parts = [LowRank { a: &a[..160], b: &b[..64] }, LowRank { a: &a[160..], b: &b[64..] }];
    let group = Group { weight: &weight, bias: Some(&bias), parts: &parts, rank: 4, sigma: 2.0 };
    let made = projection::forward(&group, &x)?;
    lines.f32("projection.y", &made.y);
    lines.f32("projection.low", &made.low);
    let dy = random.spread(10 * 24, 1e-2);
    let back = projection::backward(&group, &made.x, &made.low, &dy, true)?;
    lines.f32("projection.dx", &back.dx.expect("it was asked for, qed"));
    lines.f32("projection.dlow", &back.dlow);
    lines.f32("projection.da", &back.da.concat());
    lines.f32("projection.db", &back.db.concat());
    let (gate_up, da) = (random.spread(10 * 24, 9.0), random.spread(10 * 12, 1e-2));
    lines.f32("swiglu.act", &activation::forward(&gate_up, 12));
    lines.f32("swiglu.dgate_up", &activation::backward(&gate_up, &da, 12));
    let targets: Vec<u32> = (0..10).map(|_| random.below(24)).collect();
    let made = loss::forward(&x, &weight, &targets)?;
    lines.f32("loss.losses", &made.losses);
    lines.push("loss.sum", [made.sum.to_le_bytes()].into_iter());
    lines.f32("loss.dn", &loss::backward(&made, &weight, &targets, 0.1)?);
    let scalars = Scalars::new(&tiny_settings().adamw, 1e-3, 7);
    let [adapter, first] = [random.reals(100, 0.1), random.reals(100, 0.01)];
    let second = random.reals(100, 1e-4).into_iter().map(f32::abs).collect();
    let gradient = random.spread(100, 0.1);
    let state = optimizer::update(&State { adapter, first, second }, &gradient, &scalars)?;
    lines.f64("gradient_norm", &[optimizer::gradient_norm(&gradient)?]);
    lines.f32("adamw.adapter", &state.adapter);
    lines.f32("adamw.first", &state.first);
    lines.f32("adamw.second", &state.second);
    Ok(())
}

fn attention_lines(lines: &mut Lines) -> Result<(), mantissa::NotFinite> {
    let mut random = Generator::new(13);
    let shape = Heads { heads: 4, kv_heads: 2, head_dim: 8 };
    let documents: Vec<u32> = (0..20).map(|t| u32::from(t > 6) + u32::from(t > 17)).collect();
    let (q, k, v) = (random.reals(640, 2.0), random.reals(320, 2.0), random.reals(320, 1.0));
    let table = rotary::table(8, 10_000.0, None, &(0..20).collect::<Vec<_>>());
    lines.f32("rotary.cosine", &table.cosine);
    lines.f32("rotary.sine", &table.sine);
    lines.f32("rotary.rotated", &table.rotate(&q));
    lines.f32("rotary.rotated_back", &table.rotate_back(&q));
    let made = attention::forward(&shape, &q, &k, &v, &documents)?;
    lines.f32("attention.output", &made.output);
    lines.push("attention.weights", made.weights.iter().map(|p| p.to_le_bytes()));
    lines.f32("attention.zeta", &made.zeta);
    let d_output = random.spread(640, 1e-2);
    let back = attention::backward(&shape, (&q, &k, &v), &documents, &made, &d_output)?;
    lines.f32("attention.dq", &back.dq);
    lines.f32("attention.dk", &back.dk);
    lines.f32("attention.dv", &back.dv);
    Ok(())
}

/// Five steps of two sequences.
fn run(lines: &mut Lines, variant: Variant) {
    let model = tiny_model(variant);
    let (settings, sequences) = (tiny_settings(), tiny_sequences(2));
    let mut state = tiny_state(&model);
    for at in 0..5 {
        let made = step::step(&model, &settings, &state, &sequences, at).expect("no check fails, qed");
        let name = |what: &str| format!("{variant:?}.step{at}.{what}");
        lines.f32(&name("loss"), &[made.loss]);
        lines.f64(&name("norm"), &[made.norm]);
        lines.f32(&name("gradient"), &made.gradient);
        lines.f32(&name("adapter"), &made.state.adapter);
        lines.f32(&name("first"), &made.state.first);
        lines.f32(&name("second"), &made.state.second);
        state = made.state;
    }
}
