//! Binary32 through libtorch: the plain engine, bit-equal within one execution class.

use crate::{
    batch::Batch,
    block,
    config::TrainConfig,
    data::Split,
    evaluate::held_out_loss,
    lora::Adapter,
    model::Model,
    optimizer::{clip, global_norm, AdamW},
    parameters::{tensor, values},
    spec::ModelSpec,
    state::{StateView, TrainState},
    Error, Result, SessionInputs,
};

use super::{timed_hash, Engine, StepInput, StepResult};

/// Model, adapter and optimizer as tensors.
pub(super) struct FloatEngine {
    config: TrainConfig,
    model: Model,
    adapter: Adapter,
    optimizer: AdamW,
}

impl FloatEngine {
    pub(super) fn new(inputs: &SessionInputs, spec: ModelSpec, state: Option<TrainState>) -> Result<Self> {
        let config = inputs.config.clone();
        let model = Model::load_as(spec, &inputs.model_dir)?;
        let state = match state {
            Some(state) => state,
            None => TrainState::new(&model.spec, config.lora, config.seed)?,
        };
        let adapter = Adapter::from_state(&model.spec, config.lora, &state)?;
        let optimizer = AdamW::new(config.adamw, tensor(&state.first)?, tensor(&state.second)?);
        Ok(Self { config, model, adapter, optimizer })
    }
}

impl Engine for FloatEngine {
    fn spec(&self) -> &ModelSpec {
        &self.model.spec
    }

    fn state(&self) -> Result<StateView<'_>> {
        Ok(StateView {
            slots: self.adapter.parameters().slots(),
            adapter: values(self.adapter.parameters().flat()),
            first: values(&self.optimizer.first),
            second: values(&self.optimizer.second),
        })
    }

    fn step(&mut self, input: &StepInput<'_>) -> Result<StepResult> {
        // Every loss-bearing token of the step weighs the same, whichever micro-batch it is in.
        let weight = 1.0 / input.tokens.max(1) as f64;
        let mut gradient = self.adapter.parameters().zeros()?;
        let places = self.adapter.views(&gradient)?;
        let mut sum = 0.0;
        for rows in input.rows.chunks(self.config.micro_batch_size as usize) {
            let batch = Batch::new(&self.model.spec, input.data, rows)?;
            sum += block::accumulate(&self.model, &self.adapter, &batch, weight, &places)?;
        }
        let (loss, gradient_norm) = (sum * weight, global_norm(&gradient));
        for (what, value) in [("the loss", loss), ("the gradient's norm", gradient_norm)] {
            if !value.is_finite() {
                return Err(Error::NotFinite { step: input.step, what, value });
            }
        }
        let (gradient_hash, hashing) = timed_hash(values(&gradient));
        clip(&mut gradient, gradient_norm, self.config.max_grad_norm)?;
        let flat = self.adapter.parameters().flat();
        let all = [(0, flat.size1()?)];
        self.optimizer.step(flat, &gradient, input.learning_rate, input.step + 1, &all)?;
        Ok(StepResult { loss: loss as f32, gradient_norm, gradient_hash, hashing })
    }

    fn held_out_loss(&self, split: &Split) -> Result<Option<f64>> {
        let rows = self.config.micro_batch_size as usize;
        let found = held_out_loss(&self.model, Some(&self.adapter), split, rows)?;
        Ok(found.map(|held_out| held_out.loss))
    }
}
