//! The forward pass of a decoder of the Llama family, with the numbers of `transformers`.
//!
//! Rows are packed: several examples share a row, positions start again with each, and attention stays within an
//! example. So the same code serves training, evaluation and generation; they differ in where the mask, the positions
//! and the key-value cache come from ([`Attention`]).
//!
//! Projections that read the same input are kept concatenated (query, key, value; gate, up), so that each block does
//! four large products where the Hugging Face form does seven.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::{
    lora::{Adapter, LayerAdapter, LowRank, Target},
    spec::ModelSpec,
    weights::Weights,
    Error, Result,
};

/// Everything here is binary32 on the CPU.
pub(crate) const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

/// One block. All tensors are binary32.
pub struct Layer {
    /// `[hidden]`
    pub input_norm: Tensor,
    /// Query, key and value projections, one above the other: `[query + 2 * kv, hidden]`.
    pub qkv: Tensor,
    /// `[query + 2 * kv]`, for shapes that have it.
    pub qkv_bias: Option<Tensor>,
    /// `[hidden, query]`
    pub output: Tensor,
    /// `[hidden]`
    pub post_norm: Tensor,
    /// Gate and up projections, one above the other: `[2 * intermediate, hidden]`.
    pub gate_up: Tensor,
    /// `[hidden, intermediate]`
    pub down: Tensor,
}

/// A model in memory.
pub struct Model {
    /// Its shape.
    pub spec: ModelSpec,
    /// `[vocab, hidden]`
    pub embedding: Tensor,
    /// The blocks, in order.
    pub layers: Vec<Layer>,
    /// `[hidden]`
    pub norm: Tensor,
    /// Output projection `[vocab, hidden]`; the embedding itself where the shape ties them.
    pub head: Tensor,
}

/// Which earlier positions each position sees.
pub enum Attention<'a> {
    /// Packed rows: an additive mask `[rows, 1, length, length]` of 0 and minus infinity.
    Packed(&'a Tensor),
    /// One row that goes on from what the cache holds; the cache takes in the new keys and values.
    Cached(&'a mut Cache),
}

/// Keys and values of the tokens seen so far, of one row.
#[derive(Default)]
pub struct Cache {
    /// Per block: keys and values, each `[1, kv_heads, seen, head_dim]`.
    layers: Vec<(Tensor, Tensor)>,
}

impl Cache {
    /// Tokens seen so far.
    pub fn seen(&self) -> i64 {
        self.layers.first().map_or(0, |(keys, _)| keys.size()[2])
    }
}

/// Cosines and sines of the rotary embedding, of consecutive positions or of the positions of a batch. Each is
/// `[positions, 1, head_dim]`, the second half of the last dimension repeating the first.
pub struct Rotary {
    /// Cosines.
    pub cos: Tensor,
    /// Sines.
    pub sin: Tensor,
}

impl Rotary {
    /// The table for `positions` (int64, one dimension). Computed by the same binary32 operations as `transformers`.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn new(spec: &ModelSpec, positions: &Tensor) -> Result<Self> {
        let exponents =
            Tensor::f_arange_start_step(0, spec.head_dim, 2, FLOAT)?.f_div_scalar(spec.head_dim as f64)?;
        let mut inverse = Tensor::f_pow_scalar(spec.rope_theta, &exponents)?.f_reciprocal()?;
        if let Some(scaling) = &spec.rope_scaling {
            let two_pi = 2.0 * std::f64::consts::PI;
            let wavelength = inverse.f_reciprocal()?.f_mul_scalar(two_pi)?;
            let context = scaling.original_context as f64;
            let low = context / scaling.low_frequency_factor;
            let high = context / scaling.high_frequency_factor;
            let stretched = inverse.f_div_scalar(scaling.factor)?;
            let span = scaling.high_frequency_factor - scaling.low_frequency_factor;
            let smooth = wavelength
                .f_reciprocal()?
                .f_mul_scalar(context)?
                .f_sub_scalar(scaling.low_frequency_factor)?
                .f_div_scalar(span)?;
            let rest = smooth.f_neg()?.f_add_scalar(1.0)?;
            let blended = rest.f_mul(&stretched)?.f_add(&smooth.f_mul(&inverse)?)?;
            let long = wavelength.f_gt(low)?;
            let short = wavelength.f_lt(high)?;
            inverse = stretched.f_where_self(&long, &inverse.f_where_self(&short, &blended)?)?;
        }
        let angles = positions.f_to_kind(Kind::Float)?.f_outer(&inverse)?;
        let angles = Tensor::f_cat(&[&angles, &angles], 1)?.f_unsqueeze(1)?;
        Ok(Self { cos: angles.f_cos()?, sin: angles.f_sin()? })
    }

    /// Turns `x`, `[positions, heads, head_dim]`.
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let half = x.size()[2] / 2;
        let (first, second) = (x.f_narrow(2, 0, half)?, x.f_narrow(2, half, half)?);
        let turned = Tensor::f_cat(&[&second.f_neg()?, &first], 2)?;
        Ok(x.f_mul(&self.cos)?.f_add(&turned.f_mul(&self.sin)?)?)
    }
}

/// RMSNorm over the last dimension: `x / sqrt(mean(x²) + eps) * weight`.
pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let mean = x.f_square()?.f_mean_dim(-1, true, None)?;
    Ok(x.f_mul(&mean.f_add_scalar(eps)?.f_rsqrt()?)?.f_mul(weight)?)
}

/// A projection, its adapters added: `x Wᵀ + bias + scale · (x Aᵢᵀ) Bᵢᵀ` for each part of its rows.
fn project(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    adapters: Option<(f64, &[&LowRank])>,
) -> Result<Vec<Tensor>> {
    let base = x.f_linear(weight, bias)?;
    let Some((scale, parts)) = adapters else { return Ok(vec![base]) };
    let stacked = Tensor::f_cat(&parts.iter().map(|part| &part.a).collect::<Vec<_>>(), 0)?;
    let rank = parts[0].a.size()[0];
    let low = x.f_linear(&stacked, None::<&Tensor>)?.f_mul_scalar(scale)?.f_split(rank, 1)?;
    let sizes: Vec<i64> = parts.iter().map(|part| part.b.size()[0]).collect();
    let bases = base.f_split_with_sizes(&sizes[..], 1)?;
    let sum = |((base, low), part): ((&Tensor, &Tensor), &&LowRank)| base.f_addmm(low, &part.b.f_tr()?);
    bases.iter().zip(&low).zip(parts).map(|item| Ok(sum(item)?)).collect()
}

impl Model {
    /// Loads a Hugging Face directory.
    ///
    /// # Errors
    /// A shape that is not supported, or weights that are damaged, incomplete or of another shape.
    pub fn load(model_dir: &Path) -> Result<Self> {
        Self::load_as(ModelSpec::read(model_dir)?, model_dir)
    }

    /// Loads the weights of a Hugging Face directory whose shape has been read.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub(crate) fn load_as(spec: ModelSpec, model_dir: &Path) -> Result<Self> {
        let weights = open_weights(&spec, model_dir)?;
        let _no_grad = tch::no_grad_guard();
        Self::from_parts(spec.clone(), |name| {
            let shape = parameter_shape(&spec, name).expect("the name is one of the model's own, qed");
            weights.tensor(name, &shape)
        })
    }

    /// Builds a model from its parameters by their Hugging Face names.
    ///
    /// # Errors
    /// Whatever `parameter` returns, and failures of libtorch.
    pub fn from_parts(spec: ModelSpec, parameter: impl Fn(&str) -> Result<Tensor>) -> Result<Self> {
        let stack = |names: &[String]| -> Result<Tensor> {
            let parts = names.iter().map(|name| parameter(name)).collect::<Result<Vec<_>>>()?;
            Ok(Tensor::f_cat(&parts, 0)?)
        };
        let mut layers = Vec::new();
        for index in 0..spec.layers {
            let name = |part: &str| format!("model.layers.{index}.{part}");
            let qkv = ["q", "k", "v"].map(|part| name(&format!("self_attn.{part}_proj.weight")));
            let bias = ["q", "k", "v"].map(|part| name(&format!("self_attn.{part}_proj.bias")));
            layers.push(Layer {
                input_norm: parameter(&name("input_layernorm.weight"))?,
                qkv: stack(&qkv)?,
                qkv_bias: spec.qkv_bias.then(|| stack(&bias)).transpose()?,
                output: parameter(&name("self_attn.o_proj.weight"))?,
                post_norm: parameter(&name("post_attention_layernorm.weight"))?,
                gate_up: stack(&["gate", "up"].map(|part| name(&format!("mlp.{part}_proj.weight"))))?,
                down: parameter(&name("mlp.down_proj.weight"))?,
            });
        }
        let embedding = parameter("model.embed_tokens.weight")?;
        let head = match spec.tie_word_embeddings {
            true => embedding.shallow_clone(),
            false => parameter("lm_head.weight")?,
        };
        Ok(Self { layers, norm: parameter("model.norm.weight")?, embedding, head, spec })
    }

    /// The parameters by their Hugging Face names, in no order; concatenated ones as views of their rows.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn parameters(&self) -> Result<Vec<(String, Tensor)>> {
        let spec = &self.spec;
        let mut all = vec![
            ("model.embed_tokens.weight".to_string(), self.embedding.shallow_clone()),
            ("model.norm.weight".to_string(), self.norm.shallow_clone()),
        ];
        if !spec.tie_word_embeddings {
            all.push(("lm_head.weight".to_string(), self.head.shallow_clone()));
        }
        for (index, layer) in self.layers.iter().enumerate() {
            let name = |part: &str| format!("model.layers.{index}.{part}");
            let qkv_sizes = [spec.query_size(), spec.kv_size(), spec.kv_size()];
            let qkv = layer.qkv.f_split_with_sizes(&qkv_sizes[..], 0)?;
            for (part, tensor) in ["q", "k", "v"].iter().zip(qkv) {
                all.push((name(&format!("self_attn.{part}_proj.weight")), tensor));
            }
            if let Some(bias) = &layer.qkv_bias {
                for (part, tensor) in ["q", "k", "v"].iter().zip(bias.f_split_with_sizes(&qkv_sizes[..], 0)?)
                {
                    all.push((name(&format!("self_attn.{part}_proj.bias")), tensor));
                }
            }
            for (part, tensor) in ["gate", "up"].iter().zip(layer.gate_up.f_split(spec.intermediate_size, 0)?)
            {
                all.push((name(&format!("mlp.{part}_proj.weight")), tensor));
            }
            all.push((name("self_attn.o_proj.weight"), layer.output.shallow_clone()));
            all.push((name("mlp.down_proj.weight"), layer.down.shallow_clone()));
            all.push((name("input_layernorm.weight"), layer.input_norm.shallow_clone()));
            all.push((name("post_attention_layernorm.weight"), layer.post_norm.shallow_clone()));
        }
        Ok(all)
    }

    /// The tensors as they are stored, under names of their own; the head only if it is not the embedding.
    pub(crate) fn fused_mut(&mut self) -> Vec<(String, &mut Tensor)> {
        let mut all =
            vec![("embedding".to_string(), &mut self.embedding), ("norm".to_string(), &mut self.norm)];
        if !self.spec.tie_word_embeddings {
            all.push(("head".to_string(), &mut self.head));
        }
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let name = |part: &str| format!("layers.{index}.{part}");
            all.push((name("input_norm"), &mut layer.input_norm));
            all.push((name("qkv"), &mut layer.qkv));
            if let Some(bias) = &mut layer.qkv_bias {
                all.push((name("qkv_bias"), bias));
            }
            all.push((name("output"), &mut layer.output));
            all.push((name("post_norm"), &mut layer.post_norm));
            all.push((name("gate_up"), &mut layer.gate_up));
            all.push((name("down"), &mut layer.down));
        }
        all
    }

    /// The hidden states after the last norm, `[rows * length, hidden]`, of token ids `[rows, length]` (int64).
    /// `rotary` holds one position per token, row by row.
    ///
    /// # Errors
    /// A token outside the vocabulary, or an adapter of another shape.
    pub fn hidden(
        &self,
        tokens: &Tensor,
        rotary: &Rotary,
        mut attention: Attention<'_>,
        adapter: Option<&Adapter>,
    ) -> Result<Tensor> {
        let (rows, length) = tokens.size2()?;
        let flat = tokens.f_reshape([rows * length])?;
        let mut x = Tensor::f_embedding(&self.embedding, &flat, -1, false, false)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let lora = adapter.map(|adapter| (adapter.scale(), adapter.layer(index)));
            let normed = rms_norm(&x, &layer.input_norm, self.spec.rms_norm_eps)?;
            let mixed = self.attend(index, &normed, (rows, length), rotary, &mut attention, lora)?;
            x = x.f_add(&mixed)?;
            let normed = rms_norm(&x, &layer.post_norm, self.spec.rms_norm_eps)?;
            x = x.f_add(&self.feed_forward(layer, &normed, lora)?)?;
        }
        rms_norm(&x, &self.norm, self.spec.rms_norm_eps)
    }

    fn attend(
        &self,
        index: usize,
        x: &Tensor,
        (rows, length): (i64, i64),
        rotary: &Rotary,
        attention: &mut Attention<'_>,
        lora: Option<(f64, &LayerAdapter)>,
    ) -> Result<Tensor> {
        let (spec, layer) = (&self.spec, &self.layers[index]);
        let parts = lora.map(|(scale, a)| (scale, [a.get(Target::Q), a.get(Target::K), a.get(Target::V)]));
        let parts = parts.as_ref().map(|(scale, parts)| (*scale, &parts[..]));
        let mut qkv = project(x, &layer.qkv, layer.qkv_bias.as_ref(), parts)?;
        if let [joint] = qkv.as_slice() {
            let sizes = [spec.query_size(), spec.kv_size(), spec.kv_size()];
            qkv = joint.f_split_with_sizes(&sizes[..], 1)?;
        }
        let heads = |x: &Tensor, heads: i64| x.f_reshape([rows * length, heads, spec.head_dim]);
        let by_row =
            |x: Tensor, heads: i64| x.f_reshape([rows, length, heads, spec.head_dim])?.f_transpose(1, 2);
        let query = by_row(rotary.apply(&heads(&qkv[0], spec.heads)?)?, spec.heads)?;
        let key = by_row(rotary.apply(&heads(&qkv[1], spec.kv_heads)?)?, spec.kv_heads)?;
        let value = by_row(heads(&qkv[2], spec.kv_heads)?, spec.kv_heads)?;
        let repeat = |x: &Tensor| match spec.heads / spec.kv_heads {
            1 => Ok(x.shallow_clone()),
            times => x.f_repeat_interleave_self_int(times, 1, None),
        };
        let mixed = match attention {
            Attention::Packed(mask) => {
                let (key, value) = (repeat(&key)?, repeat(&value)?);
                Tensor::f_scaled_dot_product_attention(
                    &query,
                    &key,
                    &value,
                    Some(*mask),
                    0.0,
                    false,
                    None,
                    false,
                )?
            }
            Attention::Cached(cache) => {
                let (key, value) = cache.extend(index, key, value)?;
                // A query of one token sees all that the cache holds; a longer one comes first, with an empty cache.
                let causal = length > 1;
                let (key, value) = (repeat(&key)?, repeat(&value)?);
                let none = None::<&Tensor>;
                Tensor::f_scaled_dot_product_attention(&query, &key, &value, none, 0.0, causal, None, false)?
            }
        };
        let mixed = mixed.f_transpose(1, 2)?.f_reshape([rows * length, spec.query_size()])?;
        let parts = lora.map(|(scale, a)| (scale, [a.get(Target::O)]));
        let parts = parts.as_ref().map(|(scale, parts)| (*scale, &parts[..]));
        Ok(project(&mixed, &layer.output, None, parts)?.remove(0))
    }

    fn feed_forward(&self, layer: &Layer, x: &Tensor, lora: Option<(f64, &LayerAdapter)>) -> Result<Tensor> {
        let parts = lora.map(|(scale, a)| (scale, [a.get(Target::Gate), a.get(Target::Up)]));
        let parts = parts.as_ref().map(|(scale, parts)| (*scale, &parts[..]));
        let mut gate_up = project(x, &layer.gate_up, None, parts)?;
        if let [joint] = gate_up.as_slice() {
            gate_up = joint.f_split(self.spec.intermediate_size, 1)?;
        }
        let active = gate_up[0].f_silu()?.f_mul(&gate_up[1])?;
        let parts = lora.map(|(scale, a)| (scale, [a.get(Target::Down)]));
        let parts = parts.as_ref().map(|(scale, parts)| (*scale, &parts[..]));
        Ok(project(&active, &layer.down, None, parts)?.remove(0))
    }

    /// Logits `[rows, vocab]` of hidden states `[rows, hidden]`.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        Ok(hidden.f_linear(&self.head, None::<&Tensor>)?)
    }

    /// Logits `[length, vocab]` of one example, all positions.
    ///
    /// # Errors
    /// No token, or a token outside the vocabulary.
    pub fn token_logits(&self, tokens: &[i64], adapter: Option<&Adapter>) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        self.check_tokens(tokens)?;
        let positions = Tensor::f_arange(tokens.len() as i64, (Kind::Int64, Device::Cpu))?;
        let rotary = Rotary::new(&self.spec, &positions)?;
        let ids = Tensor::f_from_slice(tokens)?.f_unsqueeze(0)?;
        let hidden = self.hidden(&ids, &rotary, Attention::Cached(&mut Cache::default()), adapter)?;
        self.logits(&hidden)
    }

    /// Refuses an empty list and tokens outside the vocabulary.
    pub(crate) fn check_tokens(&self, tokens: &[i64]) -> Result<()> {
        if tokens.is_empty() {
            return Err(Error::Data("no token was given; expected at least one".into()));
        }
        match tokens.iter().find(|token| !(0..self.spec.vocab_size).contains(*token)) {
            None => Ok(()),
            Some(token) => {
                let vocab = self.spec.vocab_size;
                Err(Error::Data(format!("token {token} is outside the model's vocabulary of {vocab}")))
            }
        }
    }
}

impl Cache {
    fn extend(&mut self, layer: usize, key: Tensor, value: Tensor) -> Result<(Tensor, Tensor)> {
        let grown = match self.layers.get(layer) {
            None => (key, value),
            Some((keys, values)) => (Tensor::f_cat(&[keys, &key], 2)?, Tensor::f_cat(&[values, &value], 2)?),
        };
        let shared = (grown.0.shallow_clone(), grown.1.shallow_clone());
        match self.layers.get_mut(layer) {
            Some(place) => *place = grown,
            None => self.layers.push(grown),
        }
        Ok(shared)
    }
}

/// The weights of a Hugging Face directory, none among them that a model of this shape has no use for.
///
/// # Errors
/// Files that are damaged, or hold other tensors.
pub(crate) fn open_weights(spec: &ModelSpec, model_dir: &Path) -> Result<Weights> {
    let weights = Weights::open(model_dir)?;
    weights.refuse_others(|name| {
        parameter_shape(spec, name).is_some()
            || name.ends_with("rotary_emb.inv_freq")
            || (spec.tie_word_embeddings && name == "lm_head.weight")
    })?;
    Ok(weights)
}

/// The shape of a parameter by its Hugging Face name, or `None` if this model has no such parameter.
pub fn parameter_shape(spec: &ModelSpec, name: &str) -> Option<Vec<i64>> {
    let (hidden, query, kv) = (spec.hidden_size, spec.query_size(), spec.kv_size());
    let shape = match name {
        "model.embed_tokens.weight" => vec![spec.vocab_size, hidden],
        "lm_head.weight" if !spec.tie_word_embeddings => vec![spec.vocab_size, hidden],
        "model.norm.weight" => vec![hidden],
        _ => {
            let (index, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
            let known = index.parse::<i64>().is_ok_and(|i| i < spec.layers && i.to_string() == index);
            if !known {
                return None;
            }
            match part {
                "input_layernorm.weight" | "post_attention_layernorm.weight" => vec![hidden],
                "self_attn.q_proj.weight" => vec![query, hidden],
                "self_attn.k_proj.weight" | "self_attn.v_proj.weight" => vec![kv, hidden],
                "self_attn.q_proj.bias" if spec.qkv_bias => vec![query],
                "self_attn.k_proj.bias" | "self_attn.v_proj.bias" if spec.qkv_bias => vec![kv],
                "self_attn.o_proj.weight" => vec![hidden, query],
                "mlp.gate_proj.weight" | "mlp.up_proj.weight" => vec![spec.intermediate_size, hidden],
                "mlp.down_proj.weight" => vec![hidden, spec.intermediate_size],
                _ => return None,
            }
        }
    };
    Some(shape)
}
