//! Answers: token by token, with a key-value cache.

use tch::{Device, Kind, Tensor};

use crate::{
    lora::Adapter,
    model::{Attention, Cache, Model, Rotary},
    parameters::values,
    Error, Result,
};

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// The most probable one; of equals, the lowest id.
    Greedy,
    /// Drawn from the softmax of the logits divided by `temperature`. The same seed gives the same answer.
    Temperature {
        /// Above 0.
        temperature: f64,
        /// Where the drawing starts.
        seed: u64,
    },
}

impl Model {
    /// Goes on from `prompt` until an end token, `max_tokens` tokens, the model's context, or `keep_going` says no (it
    /// is given each new token). Returns the new tokens, the end token excluded.
    ///
    /// # Errors
    /// An empty prompt, one that fills the context, a token outside the vocabulary, or a temperature not above 0.
    pub fn generate(
        &self,
        prompt: &[i64],
        adapter: Option<&Adapter>,
        max_tokens: usize,
        sampling: Sampling,
        mut keep_going: impl FnMut(i64) -> bool,
    ) -> Result<Vec<i64>> {
        let _no_grad = tch::no_grad_guard();
        self.check_tokens(prompt)?;
        if let Sampling::Temperature { temperature, .. } = sampling {
            if !(temperature.is_finite() && temperature > 0.0) {
                return Err(Error::Config(format!(
                    "temperature is {temperature}; expected a number above 0"
                )));
            }
        }
        let context = self.spec.max_position_embeddings as usize;
        if prompt.len() >= context {
            let found = prompt.len();
            return Err(Error::Data(format!(
                "the prompt has {found} tokens; the model's context is {context}"
            )));
        }
        let limit = max_tokens.min(context - prompt.len());
        let positions = Tensor::f_arange((prompt.len() + limit) as i64, (Kind::Int64, Device::Cpu))?;
        let table = Rotary::new(&self.spec, &positions)?;
        let mut cache = Cache::default();
        let mut input = prompt.to_vec();
        let mut answer = Vec::new();
        while answer.len() < limit {
            let logits = self.next_logits(&input, &table, &mut cache, adapter)?;
            let token = choose(values(&logits), sampling, answer.len() as u64);
            if self.spec.eos_token_ids.contains(&token) {
                break;
            }
            answer.push(token);
            if !keep_going(token) {
                break;
            }
            input = vec![token];
        }
        Ok(answer)
    }

    /// Logits `[vocab]` after `input`, which follows what the cache holds.
    fn next_logits(
        &self,
        input: &[i64],
        table: &Rotary,
        cache: &mut Cache,
        adapter: Option<&Adapter>,
    ) -> Result<Tensor> {
        let (seen, length) = (cache.seen(), input.len() as i64);
        let rotary =
            Rotary { cos: table.cos.f_narrow(0, seen, length)?, sin: table.sin.f_narrow(0, seen, length)? };
        let ids = Tensor::f_from_slice(input)?.f_unsqueeze(0)?;
        let hidden = self.hidden(&ids, &rotary, Attention::Cached(cache), adapter)?;
        Ok(self.logits(&hidden.f_narrow(0, length - 1, 1)?)?.f_reshape([-1])?.f_contiguous()?)
    }
}

fn choose(logits: &[f32], sampling: Sampling, place: u64) -> i64 {
    let best = || {
        let better = |best: usize, at: usize| if logits[at] > logits[best] { at } else { best };
        (1..logits.len()).fold(0, better)
    };
    match sampling {
        Sampling::Greedy => best() as i64,
        Sampling::Temperature { temperature, seed } => {
            let top = f64::from(logits[best()]);
            let weight = |logit: &f32| ((f64::from(*logit) - top) / temperature).exp();
            let total: f64 = logits.iter().map(weight).sum();
            let mut hasher = blake3::Hasher::new_derive_key("attune trainer: sampling, version 1");
            hasher.update(&seed.to_le_bytes());
            hasher.update(&place.to_le_bytes());
            let mut raw = [0u8; 8];
            hasher.finalize_xof().fill(&mut raw);
            let mut left = (u64::from_le_bytes(raw) >> 11) as f64 / (1u64 << 53) as f64 * total;
            let drawn = logits.iter().position(|logit| {
                left -= weight(logit);
                left < 0.0
            });
            drawn.unwrap_or_else(best) as i64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_token_follows_the_probabilities_and_the_seed() {
        let logits = [0.0f32, 2.0, 1.0];
        let mut counts = [0usize; 3];
        for seed in 0..4000 {
            let sampling = Sampling::Temperature { temperature: 1.0, seed };
            let token = choose(&logits, sampling, 0);
            assert_eq!(token, choose(&logits, sampling, 0));
            counts[token as usize] += 1;
        }
        let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        for (count, logit) in counts.iter().zip(logits) {
            let expected = f64::from(logit).exp() / total * 4000.0;
            assert!((*count as f64 - expected).abs() < 130.0, "{counts:?}");
        }
        assert_eq!(choose(&logits, Sampling::Greedy, 0), 1);
        assert_eq!(choose(&logits, Sampling::Temperature { temperature: 1e-3, seed: 5 }, 0), 1);
    }
}
