//! The shape of a model, read from a Hugging Face `config.json` and checked before anything is loaded.
//!
//! The one idea: whatever the file says that this trainer does not compute is refused by name. A model that loads and
//! computes something else than its authors meant is worse than one that does not load.

use std::{fs, path::Path};

use serde_json::{json, Value};

use crate::{Error, Result};

/// Architectures that can be read, as `architectures` names them.
pub const SUPPORTED: [&str; 3] = ["LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM"];

/// Rope scaling of the Llama 3.1 family: long wavelengths are stretched, short ones kept, those between blended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Rope {
    /// By how much long wavelengths are stretched.
    pub factor: f64,
    /// Wavelengths above `original_context / low_frequency_factor` are stretched in full.
    pub low_frequency_factor: f64,
    /// Wavelengths below `original_context / high_frequency_factor` are kept.
    pub high_frequency_factor: f64,
    /// The context that the model was first trained with, in tokens.
    pub original_context: i64,
}

/// The shape of a decoder of the Llama family.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// One of [`SUPPORTED`].
    pub architecture: String,
    /// Rows of the embedding.
    pub vocab_size: i64,
    /// Width of the residual stream.
    pub hidden_size: i64,
    /// Width of the feed-forward part.
    pub intermediate_size: i64,
    /// Number of blocks.
    pub layers: i64,
    /// Query heads.
    pub heads: i64,
    /// Key and value heads; divides `heads`.
    pub kv_heads: i64,
    /// Width of one head; even.
    pub head_dim: i64,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Rotary scaling, if any.
    pub rope_scaling: Option<Llama3Rope>,
    /// The output projection is the embedding.
    pub tie_word_embeddings: bool,
    /// The query, key and value projections have a bias (Qwen2).
    pub qkv_bias: bool,
    /// Longest sequence that the model was made for, in tokens.
    pub max_position_embeddings: i64,
    /// Tokens that end an answer.
    pub eos_token_ids: Vec<i64>,
    /// Token that starts a text, if the model names one.
    pub bos_token_id: Option<i64>,
}

impl ModelSpec {
    /// Reads `config.json` of a model directory, and `generation_config.json` for further end tokens if it is there.
    ///
    /// # Errors
    /// The file is missing, is not JSON, or names a shape that is not supported: the error says which.
    pub fn read(model_dir: &Path) -> Result<Self> {
        let path = model_dir.join("config.json");
        let bytes = fs::read(&path).map_err(|source| Error::io("reading", &path, source))?;
        let refuse = |reason| Error::Model { path: path.clone(), reason };
        let value: Value =
            serde_json::from_slice(&bytes).map_err(|error| refuse(format!("not valid JSON: {error}")))?;
        let mut spec = Self::from_json(&value).map_err(refuse)?;
        let generation = fs::read(model_dir.join("generation_config.json")).ok();
        if let Some(value) = generation.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) {
            for id in token_ids(&value["eos_token_id"]) {
                if !spec.eos_token_ids.contains(&id) {
                    spec.eos_token_ids.push(id);
                }
            }
        }
        Ok(spec)
    }

    /// Reads the content of a `config.json`.
    ///
    /// # Errors
    /// What was found and what is supported, in words.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let architecture = match value["architectures"].as_array().map(Vec::as_slice) {
            Some([Value::String(name)]) if SUPPORTED.contains(&name.as_str()) => name.clone(),
            _ => {
                let found = &value["architectures"];
                return Err(format!("architectures is {found}; supported are {}", SUPPORTED.join(", ")));
            }
        };
        let hidden_size = positive(value, "hidden_size", None)?;
        let heads = positive(value, "num_attention_heads", None)?;
        let (rope_theta, rope_scaling) = rope(value)?;
        let spec = Self {
            vocab_size: positive(value, "vocab_size", None)?,
            hidden_size,
            intermediate_size: positive(value, "intermediate_size", None)?,
            layers: positive(value, "num_hidden_layers", None)?,
            heads,
            kv_heads: positive(value, "num_key_value_heads", Some(heads))?,
            head_dim: positive(value, "head_dim", Some(hidden_size / heads))?,
            rms_norm_eps: number(value, "rms_norm_eps", Some(1e-6))?,
            rope_theta,
            rope_scaling,
            tie_word_embeddings: flag(value, "tie_word_embeddings")?,
            qkv_bias: architecture == "Qwen2ForCausalLM",
            max_position_embeddings: positive(value, "max_position_embeddings", Some(2048))?,
            eos_token_ids: token_ids(&value["eos_token_id"]),
            bos_token_id: token_ids(&value["bos_token_id"]).first().copied(),
            architecture,
        };
        spec.refuse_unsupported(value)?;
        Ok(spec)
    }

    fn refuse_unsupported(&self, value: &Value) -> Result<(), String> {
        let activation = value["hidden_act"].as_str().unwrap_or("silu");
        if activation != "silu" {
            return Err(format!("hidden_act is {activation:?}; supported is \"silu\""));
        }
        for name in ["attention_bias", "mlp_bias"] {
            if flag(value, name)? {
                return Err(format!("{name} is true; supported is false"));
            }
        }
        if value.get("quantization_config").is_some_and(|config| !config.is_null()) {
            return Err("quantization_config is set; supported are f32, f16 and bf16 weights".into());
        }
        let window = value.get("sliding_window").filter(|window| !window.is_null());
        let uses_window = match self.architecture.as_str() {
            // transformers takes a missing entry for 4096.
            "MistralForCausalLM" => value.get("sliding_window") != Some(&Value::Null),
            "Qwen2ForCausalLM" => flag(value, "use_sliding_window")?,
            _ => false,
        };
        if uses_window {
            let found = window.map_or("not set".to_string(), Value::to_string);
            return Err(format!("sliding_window is {found}; supported is full attention only (null)"));
        }
        if self.heads % self.kv_heads != 0 {
            let (heads, kv) = (self.heads, self.kv_heads);
            return Err(format!("{heads} attention heads are not a multiple of {kv} key-value heads"));
        }
        if self.head_dim % 2 != 0 {
            return Err(format!("head_dim is {}; rotary embedding needs an even one", self.head_dim));
        }
        // Far above any model of this family, and far below what would overflow a product of three.
        let largest = [self.vocab_size, self.hidden_size, self.intermediate_size, self.layers, self.heads];
        if let Some(size) = largest.into_iter().chain([self.head_dim]).find(|size| *size > 1 << 20) {
            return Err(format!("a size of {size} is above the limit of {}", 1 << 20));
        }
        Ok(())
    }

    /// Width of all query heads together.
    pub fn query_size(&self) -> i64 {
        self.heads * self.head_dim
    }

    /// Width of all key heads together, and of all value heads.
    pub fn kv_size(&self) -> i64 {
        self.kv_heads * self.head_dim
    }

    /// Number of parameters, tied ones counted once.
    pub fn parameters(&self) -> i64 {
        let attention = 2 * self.hidden_size * self.query_size() + 2 * self.hidden_size * self.kv_size();
        let bias = if self.qkv_bias { self.query_size() + 2 * self.kv_size() } else { 0 };
        let block = attention + bias + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size;
        let embeddings = if self.tie_word_embeddings { 1 } else { 2 };
        self.layers * block + self.hidden_size + embeddings * self.vocab_size * self.hidden_size
    }

    /// The `config.json` of a model of this shape with `dtype` weights, as `transformers` reads it.
    pub fn to_json(&self, dtype: &str) -> Value {
        let model_type = match self.architecture.as_str() {
            "MistralForCausalLM" => "mistral",
            "Qwen2ForCausalLM" => "qwen2",
            _ => "llama",
        };
        let eos = match self.eos_token_ids.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        let mut value = json!({
            "architectures": [self.architecture],
            "model_type": model_type,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "max_position_embeddings": self.max_position_embeddings,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos,
            "torch_dtype": dtype,
            "use_cache": true,
        });
        match self.architecture.as_str() {
            "LlamaForCausalLM" => {
                value["attention_bias"] = json!(false);
                value["mlp_bias"] = json!(false);
            }
            "MistralForCausalLM" => value["sliding_window"] = Value::Null,
            _ => value["use_sliding_window"] = json!(false),
        }
        if let Some(scaling) = &self.rope_scaling {
            value["rope_scaling"] = json!({
                "rope_type": "llama3",
                "factor": scaling.factor,
                "low_freq_factor": scaling.low_frequency_factor,
                "high_freq_factor": scaling.high_frequency_factor,
                "original_max_position_embeddings": scaling.original_context,
            });
        }
        value
    }
}

/// Theta and scaling, from `rope_theta` and `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5).
fn rope(value: &Value) -> Result<(f64, Option<Llama3Rope>), String> {
    let parameters = &value["rope_parameters"];
    let scaling = if parameters.is_object() { parameters } else { &value["rope_scaling"] };
    let theta_at = if parameters.get("rope_theta").is_some() { parameters } else { value };
    let theta = number(theta_at, "rope_theta", Some(10_000.0))?;
    if scaling.is_null() {
        return Ok((theta, None));
    }
    let kind = scaling.get("rope_type").or_else(|| scaling.get("type")).and_then(Value::as_str);
    match kind {
        Some("default") => Ok((theta, None)),
        Some("llama3") => {
            let scaling = Llama3Rope {
                factor: number(scaling, "factor", None)?,
                low_frequency_factor: number(scaling, "low_freq_factor", None)?,
                high_frequency_factor: number(scaling, "high_freq_factor", None)?,
                original_context: positive(scaling, "original_max_position_embeddings", None)?,
            };
            if scaling.high_frequency_factor <= scaling.low_frequency_factor {
                return Err("rope scaling: high_freq_factor is not above low_freq_factor".into());
            }
            Ok((theta, Some(scaling)))
        }
        other => Err(format!("rope scaling is {other:?}; supported are none, \"default\" and \"llama3\"")),
    }
}

fn positive(value: &Value, name: &str, default: Option<i64>) -> Result<i64, String> {
    let found = &value[name];
    match (found.as_i64(), default) {
        (Some(number), _) if number > 0 => Ok(number),
        (None, Some(default)) if found.is_null() && default > 0 => Ok(default),
        _ => Err(format!("{name} is {found}; expected a whole number above 0")),
    }
}

fn number(value: &Value, name: &str, default: Option<f64>) -> Result<f64, String> {
    let found = &value[name];
    match (found.as_f64(), default) {
        (Some(number), _) if number.is_finite() && number > 0.0 => Ok(number),
        (None, Some(default)) if found.is_null() => Ok(default),
        _ => Err(format!("{name} is {found}; expected a number above 0")),
    }
}

fn flag(value: &Value, name: &str) -> Result<bool, String> {
    match &value[name] {
        Value::Bool(flag) => Ok(*flag),
        Value::Null => Ok(false),
        other => Err(format!("{name} is {other}; expected true or false")),
    }
}

fn token_ids(value: &Value) -> Vec<i64> {
    match value {
        Value::Array(ids) => ids.iter().filter_map(Value::as_i64).collect(),
        other => other.as_i64().into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llama() -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"], "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
            "rope_theta": 50000.0, "tie_word_embeddings": true, "max_position_embeddings": 128,
            "eos_token_id": [2, 3], "bos_token_id": 1,
        })
    }

    fn with(name: &str, found: Value) -> Result<ModelSpec, String> {
        let mut value = llama();
        value[name] = found;
        ModelSpec::from_json(&value)
    }

    #[test]
    fn a_llama_config_is_read_and_written_back_equal() {
        let spec = ModelSpec::from_json(&llama()).unwrap();
        assert_eq!((spec.head_dim, spec.kv_size(), spec.eos_token_ids.as_slice()), (8, 16, &[2, 3][..]));
        assert_eq!(ModelSpec::from_json(&spec.to_json("bfloat16")).unwrap(), spec);
    }

    #[test]
    fn rope_is_read_in_the_form_of_either_transformers_release() {
        let scaling = json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192, "rope_theta": 500000.0,
        });
        let new = with("rope_parameters", scaling.clone()).unwrap();
        assert_eq!((new.rope_theta, new.rope_scaling.unwrap().factor), (500_000.0, 8.0));
        assert_eq!(with("rope_scaling", scaling).unwrap().rope_scaling, new.rope_scaling);
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        for (name, value, expected) in [
            ("architectures", json!(["GPT2LMHeadModel"]), "GPT2LMHeadModel"),
            ("architectures", json!(["MistralForCausalLM"]), "sliding_window is not set"),
            ("architectures", json!(["Qwen2ForCausalLM"]), ""),
            ("hidden_act", json!("gelu"), "gelu"),
            ("rope_scaling", json!({"rope_type": "yarn", "factor": 2.0}), "yarn"),
            ("attention_bias", json!(true), "attention_bias"),
            ("quantization_config", json!({"bits": 4}), "quantization_config"),
            ("num_key_value_heads", json!(3), "multiple"),
            ("hidden_size", json!(-1), "hidden_size"),
            ("hidden_size", json!("x"), "hidden_size"),
            ("vocab_size", json!(1u64 << 40), "limit"),
        ] {
            match with(name, value) {
                Err(error) => assert!(!expected.is_empty() && error.contains(expected), "{name}: {error}"),
                Ok(_) => assert!(expected.is_empty(), "{name} should be refused"),
            }
        }
        let mut mistral = llama();
        mistral["architectures"] = json!(["MistralForCausalLM"]);
        mistral["sliding_window"] = json!(4096);
        assert!(ModelSpec::from_json(&mistral).unwrap_err().contains("sliding_window is 4096"));
    }
}
