//! Adapters as `peft` reads and writes them: `adapter_config.json` and `adapter_model.safetensors`.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{json, Value};
use tch::Tensor;

use crate::{
    files::{self, TensorBytes},
    lora::{Adapter, LoraConfig, Target},
    model::Model,
    parameters::bytes,
    pretrain::save_model,
    spec::ModelSpec,
    state::{slot_values, StateView},
    weights::WeightFile,
    Error, Result,
};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Writes the adapter of a training as a directory that `peft` loads on the base model called `base_model`.
///
/// # Errors
/// A file that cannot be written.
pub fn export(state: StateView<'_>, config: LoraConfig, dir: &Path, base_model: &str) -> Result<()> {
    files::create_dir(dir)?;
    let tensors: Vec<TensorBytes<'_>> = state
        .slots
        .iter()
        .map(|slot| TensorBytes {
            name: &slot.name,
            dtype: "F32",
            shape: &slot.shape,
            bytes: bytes(slot_values(state.adapter, slot)),
        })
        .collect();
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    files::write_safetensors(&dir.join(WEIGHTS), &metadata, &tensors)?;
    let alpha = match config.alpha.fract() == 0.0 && config.alpha < 1e9 {
        true => json!(config.alpha as i64),
        false => json!(config.alpha),
    };
    files::write_json(
        &dir.join(CONFIG),
        &json!({
            "base_model_name_or_path": base_model,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": alpha,
            "lora_dropout": 0.0,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": config.rank,
            "target_modules": Target::ALL.map(Target::module),
            "task_type": "CAUSAL_LM",
            "use_dora": false,
            "use_rslora": config.use_rslora,
        }),
    )
}

/// Reads an adapter directory for a model of the given shape. It must have matrices at all linear layers of all blocks,
/// as this trainer makes them.
///
/// # Errors
/// Settings that this trainer does not compute, or tensors that are missing, superfluous, or of another shape.
pub fn load(spec: &ModelSpec, dir: &Path) -> Result<Adapter> {
    let path = dir.join(CONFIG);
    let refuse = |reason| Error::Adapter { path: path.clone(), reason };
    let text = fs::read(&path).map_err(|source| Error::io("reading", &path, source))?;
    let value: Value =
        serde_json::from_slice(&text).map_err(|error| refuse(format!("not valid JSON: {error}")))?;
    if value["peft_type"] != "LORA" {
        return Err(refuse(format!("peft_type is {}; supported is \"LORA\"", value["peft_type"])));
    }
    let off = |name: &str| matches!(&value[name], Value::Null | Value::Bool(false));
    for name in ["use_dora", "fan_in_fan_out", "lora_bias"] {
        if !off(name) {
            return Err(refuse(format!("{name} is {}; supported is false", value[name])));
        }
    }
    if !matches!(value["bias"].as_str(), None | Some("none")) {
        return Err(refuse(format!("bias is {}; supported is \"none\"", value["bias"])));
    }
    for name in ["modules_to_save", "layers_to_transform", "rank_pattern", "alpha_pattern"] {
        let empty = match &value[name] {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(items) => items.is_empty(),
            _ => false,
        };
        if !empty {
            return Err(refuse(format!("{name} is {}; supported is none", value[name])));
        }
    }
    let rank = value["r"].as_u64().and_then(|rank| u32::try_from(rank).ok());
    let (Some(rank), Some(alpha)) = (rank, value["lora_alpha"].as_f64()) else {
        return Err(refuse(format!("r is {} and lora_alpha is {}", value["r"], value["lora_alpha"])));
    };
    let config = LoraConfig { rank, alpha, use_rslora: !off("use_rslora") };
    let file = WeightFile::open(&dir.join(WEIGHTS))?;
    let adapter = Adapter::from_parts(spec, config, |name, shape| file.tensor(name, shape))?;
    let superfluous = file.names()?.into_iter().find(|name| adapter.parameters().leaf(name).is_none());
    match superfluous {
        None => Ok(adapter),
        Some(name) => Err(Error::Adapter {
            path: file.path().to_path_buf(),
            reason: format!("the tensor {name} has no place in this model"),
        }),
    }
}

/// Writes the model with the adapter added into its weights, in Hugging Face layout with bfloat16 weights.
///
/// # Errors
/// A file that cannot be written, or a failure of libtorch.
pub fn export_merged(model: &Model, adapter: &Adapter, dir: &Path) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    let mut merged: Vec<(String, Tensor)> = Vec::new();
    for (name, weight) in model.parameters()? {
        let module = (0..model.spec.layers as usize)
            .flat_map(|layer| Target::ALL.map(|target| (layer, target)))
            .find(|(layer, target)| name == format!("{}.weight", target.path(*layer)));
        if let Some((layer, target)) = module {
            let low_rank = adapter.layer(layer).get(target);
            let product = low_rank.b.f_mm(&low_rank.a)?.f_mul_scalar(adapter.scale())?;
            merged.push((name, weight.f_add(&product)?));
        }
    }
    save_model(model, &merged, dir)
}
