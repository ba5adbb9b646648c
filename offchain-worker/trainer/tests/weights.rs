//! Model directories: shards, and everything that can be wrong with files, each with a clear error.

mod common;

use std::{collections::BTreeMap, fs, path::Path};

use attune_trainer::{
    files::{write_safetensors, TensorBytes},
    model::Model,
    parameters::values,
};
use common::World;
use safetensors::SafeTensors;
use serde_json::json;

/// All tensors of a model file as (name, type, shape, bytes).
fn read(path: &Path) -> Vec<(String, &'static str, Vec<i64>, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let shape = |view: &[usize]| view.iter().map(|size| *size as i64).collect();
    file.tensors()
        .into_iter()
        .map(|(name, view)| (name, "BF16", shape(view.shape()), view.data().to_vec()))
        .collect()
}

fn write(path: &Path, tensors: &[(String, &'static str, Vec<i64>, Vec<u8>)]) {
    let tensors: Vec<TensorBytes<'_>> =
        tensors.iter().map(|(name, dtype, shape, bytes)| TensorBytes { name, dtype, shape, bytes }).collect();
    write_safetensors(path, &BTreeMap::new(), &tensors).unwrap();
}

fn refused(dir: &Path) -> String {
    Model::load(dir).err().expect("the model is broken").to_string()
}

#[test]
fn shards_load_like_one_file() {
    let world = World::new();
    let dir = &world.inputs.model_dir;
    let whole = Model::load(dir).unwrap().token_logits(&[1, 2, 3], None).unwrap();
    let one = dir.join("model.safetensors");
    let tensors = read(&one);
    let (left, right) = tensors.split_at(tensors.len() / 2);
    let mut map = serde_json::Map::new();
    for (part, shard) in [(left, "model-1.safetensors"), (right, "model-2.safetensors")] {
        write(&dir.join(shard), part);
        part.iter().for_each(|tensor| drop(map.insert(tensor.0.clone(), json!(shard))));
    }
    fs::remove_file(&one).unwrap();
    let index = dir.join("model.safetensors.index.json");
    fs::write(&index, json!({"weight_map": map}).to_string()).unwrap();
    let sharded = Model::load(dir).unwrap().token_logits(&[1, 2, 3], None).unwrap();
    assert_eq!(values(&whole), values(&sharded));
    map["model.norm.weight"] = json!("../model-1.safetensors");
    fs::write(&index, json!({"weight_map": map}).to_string()).unwrap();
    assert!(refused(dir).contains("not in a file of this folder"));
}

#[test]
fn f16_and_f32_weights_load_too() {
    let world = World::new();
    let path = world.inputs.model_dir.join("model.safetensors");
    let whole = Model::load(&world.inputs.model_dir).unwrap();
    let mut tensors = read(&path);
    for (_, dtype, _, bytes) in &mut tensors {
        *dtype = "F32";
        // bfloat16 is the upper half of binary32.
        *bytes = bytes.chunks_exact(2).flat_map(|half| [0, 0, half[0], half[1]]).collect();
    }
    write(&path, &tensors);
    let wide = Model::load(&world.inputs.model_dir).unwrap();
    assert_eq!(values(&wide.embedding), values(&whole.embedding));
    assert_eq!(values(&wide.layers[1].qkv), values(&whole.layers[1].qkv));
}

#[test]
fn a_damaged_file_is_named() {
    let world = World::new();
    let path = world.inputs.model_dir.join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    for damage in [&whole[..whole.len() - 1], &whole[..7], &[0xff; 64][..], b""] {
        fs::write(&path, damage).unwrap();
        let error = refused(&world.inputs.model_dir);
        assert!(error.contains("model.safetensors"), "{error}");
        assert!(error.contains("cut short or damaged") || error.contains("mapping"), "{error}");
    }
    fs::remove_file(&path).unwrap();
    let error = refused(&world.inputs.model_dir);
    assert!(error.contains("model.safetensors") && error.contains("reading"), "{error}");
}

#[test]
fn a_missing_misshapen_or_superfluous_tensor_is_named() {
    let world = World::new();
    let path = world.inputs.model_dir.join("model.safetensors");
    let whole = read(&path);
    let name = "model.layers.1.mlp.down_proj.weight";
    let without: Vec<_> = whole.iter().filter(|tensor| tensor.0 != name).cloned().collect();
    write(&path, &without);
    let error = refused(&world.inputs.model_dir);
    assert!(error.contains(&format!("the tensor {name} is missing")), "{error}");
    let mut turned = whole.clone();
    turned.iter_mut().filter(|tensor| tensor.0 == name).for_each(|tensor| tensor.2.reverse());
    write(&path, &turned);
    let error = refused(&world.inputs.model_dir);
    assert!(error.contains(name) && error.contains("expected [32, 48]"), "{error}");
    let mut more = whole;
    more.push(("model.layers.0.self_attn.q_proj.bias".to_string(), "BF16", vec![1], vec![0; 2]));
    write(&path, &more);
    let error = refused(&world.inputs.model_dir);
    assert!(error.contains("q_proj.bias has no place"), "{error}");
}

#[test]
fn an_unknown_architecture_is_refused_by_name() {
    let world = World::new();
    let path = world.inputs.model_dir.join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("LlamaForCausalLM", "MambaForCausalLM")).unwrap();
    let error = refused(&world.inputs.model_dir);
    assert!(error.contains("MambaForCausalLM") && error.contains("LlamaForCausalLM"), "{error}");
    fs::write(&path, "{").unwrap();
    assert!(refused(&world.inputs.model_dir).contains("not valid JSON"));
    fs::remove_file(&path).unwrap();
    assert!(refused(&world.inputs.model_dir).contains("config.json"));
}
