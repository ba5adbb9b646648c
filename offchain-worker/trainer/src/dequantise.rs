//! The base model as exact arithmetic sees it, for programs that compute with floats.
//!
//! Exact arithmetic holds the frozen matrices in 8 or 4 bits, so its losses are of another model than the published
//! one, if a very similar one. Here that model is written out: every matrix as its integers times their scales, the rest as
//! it is. Whatever differs between a float program on this model and exact arithmetic is rounding.

use std::{collections::BTreeMap, fs, path::Path};

use attune_exact::weights::{quantise4, quantise8, Frozen};
use serde_json::{json, Value};

use crate::{
    files::{create_dir, write_json, write_safetensors, TensorBytes},
    model::{open_weights, parameter_shape},
    parameters::bytes,
    spec::ModelSpec,
    BaseFormat, Error, Result,
};

/// Writes the Hugging Face directory `out`: the model of `model_dir` in binary32, as exact arithmetic with this base holds
/// it. Configuration and tokenizer are copied along.
///
/// # Errors
/// A model that is damaged, of a shape that is not supported or not finite, or files that cannot be written.
pub fn dequantise(model_dir: &Path, base: BaseFormat, out: &Path) -> Result<()> {
    let spec = ModelSpec::read(model_dir)?;
    let weights = open_weights(&spec, model_dir)?;
    let mut tensors = Vec::new();
    for name in weights.names() {
        // Tensors without a shape are those that the model doesn't use.
        let Some(shape) = parameter_shape(&spec, name) else { continue };
        let values = weights.values(name, &shape)?;
        let values = match shape[..] {
            [_, inputs] => held(name, &values, inputs as usize, base)?,
            _ => values,
        };
        tensors.push((name, shape, values));
    }
    create_dir(out)?;
    copy_others(model_dir, out)?;
    let tensors: Vec<TensorBytes<'_>> = tensors
        .iter()
        .map(|(name, shape, values)| TensorBytes { name, dtype: "F32", shape, bytes: bytes(values) })
        .collect();
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    write_safetensors(&out.join("model.safetensors"), &metadata, &tensors)
}

/// A matrix `[outputs, inputs]` as the product of its integers and its scales.
fn held(name: &str, weights: &[f32], inputs: usize, base: BaseFormat) -> Result<Vec<f32>> {
    let refuse = |_| Error::Data(format!("the base model's {name} holds a weight that is infinite or NaN"));
    // SPEC.md, section 3: what reads and writes the vocabulary is in 8 bits in either base.
    let in_eight = base == BaseFormat::W8 || matches!(name, "model.embed_tokens.weight" | "lm_head.weight");
    let Frozen { values, scales, .. } = match in_eight {
        true => quantise8(weights, inputs).map_err(refuse)?,
        false => quantise4(weights, inputs).map_err(refuse)?.unfold(),
    };
    let rows = values.chunks(inputs).zip(scales);
    Ok(rows.flat_map(|(row, scale)| row.iter().map(move |value| f32::from(*value) * scale)).collect())
}

/// All files but the weights; the configuration says that they are binary32.
fn copy_others(from: &Path, to: &Path) -> Result<()> {
    let reading = |source| Error::io("reading", from, source);
    for entry in fs::read_dir(from).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let (name, path) = (entry.file_name(), entry.path());
        if !path.is_file() || name.to_string_lossy().contains(".safetensors") {
            continue;
        }
        if name != "config.json" {
            fs::copy(&path, to.join(&name)).map_err(|source| Error::io("copying", &path, source))?;
            continue;
        }
        let text = fs::read(&path).map_err(|source| Error::io("reading", &path, source))?;
        let mut config: Value = serde_json::from_slice(&text).map_err(|error| Error::Model {
            path: path.clone(),
            reason: format!("not valid JSON: {error}"),
        })?;
        // The older and the newer name of the same setting.
        for key in ["torch_dtype", "dtype"] {
            if config.get(key).is_some() {
                config[key] = json!("float32");
            }
        }
        write_json(&to.join("config.json"), &config)?;
    }
    Ok(())
}
