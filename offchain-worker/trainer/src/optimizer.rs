//! AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101) over flat vectors, and clipping by the global norm.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::{parameters::values, Result};

/// The constants of AdamW.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
}

/// First and second moments, each `[total]` in the order of the parameters.
pub struct AdamW {
    config: AdamWConfig,
    /// First moments.
    pub first: Tensor,
    /// Second moments.
    pub second: Tensor,
}

impl AdamW {
    /// An optimizer with the given moments; zeros at the start of a training.
    pub fn new(config: AdamWConfig, first: Tensor, second: Tensor) -> Self {
        Self { config, first, second }
    }

    /// Takes one step on `flat` with `gradient`. `step` counts from 1. Weight decay applies to the ranges (first
    /// element, count) of `decayed`.
    ///
    /// # Errors
    /// A failure of libtorch.
    pub fn step(
        &mut self,
        flat: &Tensor,
        gradient: &Tensor,
        learning_rate: f64,
        step: u64,
        decayed: &[(i64, i64)],
    ) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        if weight_decay != 0.0 {
            for (start, count) in decayed {
                let _ =
                    flat.f_narrow(0, *start, *count)?.f_mul_scalar_(1.0 - learning_rate * weight_decay)?;
            }
        }
        let _ = self.first.f_lerp_(gradient, 1.0 - beta1)?;
        let _ = self.second.f_lerp_(&gradient.f_square()?, 1.0 - beta2)?;
        let correction1 = 1.0 - power(beta1, step);
        let correction2 = (1.0 - power(beta2, step)).sqrt();
        let mut denominator = self.second.f_sqrt()?;
        let _ = denominator.f_div_scalar_(correction2)?.f_add_scalar_(epsilon)?;
        let mut update = self.first.f_div(&denominator)?;
        let _ = update.f_mul_scalar_(-learning_rate / correction1)?;
        let _ = flat.shallow_clone().f_add_(&update)?;
        Ok(())
    }
}

/// `base` to the power of `exponent` by repeated squaring: the same multiplications on every machine.
fn power(base: f64, exponent: u64) -> f64 {
    let (mut result, mut square, mut rest) = (1.0, base, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            result *= square;
        }
        square *= square;
        rest >>= 1;
    }
    result
}

/// The 2-norm of a flat binary32 vector, summed in binary64 in 16 fixed lanes: the same on every machine.
pub fn global_norm(gradient: &Tensor) -> f64 {
    let mut lanes = [0.0f64; 16];
    for chunk in values(gradient).chunks(16) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(*value) * f64::from(*value);
        }
    }
    lanes.iter().sum::<f64>().sqrt()
}

/// Scales `gradient` down to the norm `limit` if its `norm` is above; a limit of 0 leaves it as it is.
///
/// # Errors
/// A failure of libtorch.
pub fn clip(gradient: &mut Tensor, norm: f64, limit: f64) -> Result<()> {
    if limit > 0.0 && norm > limit {
        let _ = gradient.f_mul_scalar_(limit / (norm + 1e-6))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FLOAT;

    #[test]
    fn a_step_is_adamw_as_written_in_the_paper() {
        let config = AdamWConfig { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.1 };
        let zeros = || Tensor::zeros([2], FLOAT);
        let mut optimizer = AdamW::new(config, zeros(), zeros());
        let flat = Tensor::from_slice(&[1.0f32, -2.0]);
        let (mut m, mut v, mut x) = ([0.0f64; 2], [0.0f64; 2], [1.0f64, -2.0]);
        for (step, gradient) in [[0.5f32, -0.25], [-1.0, 3.0], [0.0, 0.125]].iter().enumerate() {
            let t = step as i32 + 1;
            optimizer.step(&flat, &Tensor::from_slice(gradient), 0.01, t as u64, &[(0, 1)]).unwrap();
            for i in 0..2 {
                let g = f64::from(gradient[i]);
                if i == 0 {
                    x[i] -= 0.01 * 0.1 * x[i];
                }
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let (mean, square) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.999f64.powi(t)));
                x[i] -= 0.01 * mean / (square.sqrt() + 1e-8);
                assert!((f64::from(values(&flat)[i]) - x[i]).abs() < 1e-6, "step {t}, element {i}");
            }
        }
    }

    #[test]
    fn clipping_scales_to_the_limit_and_only_down() {
        let mut gradient = Tensor::from_slice(&[3.0f32, 4.0]);
        assert_eq!(global_norm(&gradient), 5.0);
        clip(&mut gradient, 5.0, 10.0).unwrap();
        clip(&mut gradient, 5.0, 0.0).unwrap();
        assert_eq!(values(&gradient), [3.0, 4.0]);
        clip(&mut gradient, 5.0, 1.0).unwrap();
        assert!((global_norm(&gradient) - 1.0).abs() < 1e-6);
    }
}
