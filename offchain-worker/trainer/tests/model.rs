//! The forward pass: packing changes nothing, a cache changes nothing, and what is loaded is what was written.

mod common;

use attune_trainer::{
    batch::Batch,
    block,
    data::Split,
    evaluate::{exact_match, held_out_loss, Question},
    generate::Sampling,
    gradient::{of_batch, Trained},
    lora::{Adapter, LoraConfig},
    model::Model,
    parameters::values,
    peft,
    spec::ModelSpec,
    state::TrainState,
};
use common::{config_json, World, LENGTH};
use serde_json::json;
use tch::Tensor;

/// Size and scale of the adapter of these tests.
const LORA: LoraConfig = LoraConfig { rank: 3, alpha: 6.0, use_rslora: true };

/// A state whose B is not zero, so that the adapter changes answers.
fn trained_state(spec: &ModelSpec) -> TrainState {
    let mut state = TrainState::new(spec, LORA, 9).unwrap();
    let noise = attune_trainer::random::uniform(1, "noise", state.adapter.len(), 0.3);
    state.adapter.iter_mut().zip(noise).for_each(|(value, noise)| *value += noise);
    state
}

fn trained_adapter(spec: &ModelSpec) -> Adapter {
    Adapter::from_state(spec, LORA, &trained_state(spec)).unwrap()
}

/// Each example of a packed row in a row of its own.
fn apart(split: &Split) -> Split {
    let mut rows = Split { sequence_length: LENGTH, ..Split::default() };
    for row in 0..split.rows {
        let (tokens, labels, positions) = split.row(row).unwrap();
        let starts: Vec<usize> = (0..LENGTH).filter(|at| positions[*at] == 0).chain([LENGTH]).collect();
        for example in starts.windows(2) {
            let range = example[0]..example[1];
            let pad = LENGTH - range.len();
            rows.tokens.extend(tokens[range.clone()].iter().copied().chain(std::iter::repeat_n(0, pad)));
            rows.labels.extend(labels[range.clone()].iter().copied().chain(std::iter::repeat_n(-100, pad)));
            rows.positions.extend(positions[range].iter().copied().chain(std::iter::repeat_n(0, pad)));
            rows.rows += 1;
        }
    }
    rows
}

#[test]
fn packed_examples_have_the_loss_and_gradient_of_examples_apart() {
    let world = World::new();
    let model = Model::load(&world.inputs.model_dir).unwrap();
    let adapter = trained_adapter(&model.spec);
    let packed = common::data(3, 0).train;
    let apart = apart(&packed);
    assert!(apart.rows > 2 * packed.rows);
    let of = |split: &Split| {
        let rows: Vec<usize> = (0..split.rows).collect();
        let batch = Batch::new(&model.spec, split, &rows).unwrap();
        assert_eq!((batch.loss_tokens, batch.tokens_seen), (18, 42));
        of_batch(&model, Trained::Adapter(&adapter), &batch, 1.0 / 18.0).unwrap()
    };
    let ((one, first), (two, second)) = (of(&packed), of(&apart));
    assert!((one - two).abs() < 1e-4, "{one} packed, {two} apart");
    let norm = attune_trainer::optimizer::global_norm(&first);
    let difference = attune_trainer::optimizer::global_norm(&(first - second));
    assert!(norm > 0.01 && difference < 1e-4 * norm, "gradients differ by {difference} of {norm}");
}

#[test]
fn the_hand_written_backward_pass_equals_automatic_differentiation() {
    let mut without_groups = untied_qwen();
    without_groups["num_key_value_heads"] = json!(4);
    for config in [config_json(), untied_qwen(), without_groups] {
        let world = World::with(config, &common::data(2, 0));
        let model = Model::load(&world.inputs.model_dir).unwrap();
        let adapter = trained_adapter(&model.spec);
        let split = common::data(3, 0).train;
        let batch = Batch::new(&model.spec, &split, &[2, 0, 1]).unwrap();
        let (loss, expected) = of_batch(&model, Trained::Adapter(&adapter), &batch, 0.25).unwrap();
        let found = adapter.parameters().zeros().unwrap();
        let places = adapter.views(&found).unwrap();
        let again = block::accumulate(&model, &adapter, &batch, 0.25, &places).unwrap();
        assert!((loss - again).abs() < 1e-4, "{loss} and {again}");
        for slot in adapter.parameters().slots() {
            let part = |flat: &Tensor| flat.narrow(0, slot.offset, slot.count);
            let norm = attune_trainer::optimizer::global_norm(&part(&expected));
            let apart = attune_trainer::optimizer::global_norm(&(part(&expected) - part(&found)));
            assert!(norm > 0.0 && apart < 1e-4 * norm, "{}: off by {apart} of {norm}", slot.name);
        }
        // A second batch adds to the first.
        block::accumulate(&model, &adapter, &batch, 0.25, &places).unwrap();
        let apart = attune_trainer::optimizer::global_norm(&(&expected * 2.0 - &found));
        assert!(apart < 2e-4 * attune_trainer::optimizer::global_norm(&expected));
    }
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    let world = World::new();
    let model = Model::load(&world.inputs.model_dir).unwrap();
    let adapter = trained_adapter(&model.spec);
    let split = common::data(2, 0).train;
    let batch = Batch::new(&model.spec, &split, &[0, 1]).unwrap();
    let (_, gradient) = of_batch(&model, Trained::Adapter(&adapter), &batch, 1.0).unwrap();
    let norm = attune_trainer::optimizer::global_norm(&gradient);
    let loss_at = |along: f64| {
        let flat = adapter.parameters().flat();
        let step = &gradient * (along / norm);
        let _ = tch::no_grad(|| flat.shallow_clone().f_add_(&step).unwrap());
        let loss = of_batch(&model, Trained::Adapter(&adapter), &batch, 1.0).unwrap().0;
        let _ = tch::no_grad(|| flat.shallow_clone().f_sub_(&step).unwrap());
        loss
    };
    let slope = (loss_at(1e-2) - loss_at(-1e-2)) / 2e-2;
    assert!((slope - norm).abs() < 1e-2 * norm, "slope {slope}, norm of the gradient {norm}");
}

#[test]
fn generation_with_a_cache_equals_generation_without() {
    for model in [config_json(), untied_qwen()] {
        let world = World::with(model, &common::data(2, 0));
        let mut model = Model::load(&world.inputs.model_dir).unwrap();
        model.spec.eos_token_ids.clear();
        let adapter = trained_adapter(&model.spec);
        let prompt = [1i64, 7, 9, 3];
        let cached = model.generate(&prompt, Some(&adapter), 12, Sampling::Greedy, |_| true).unwrap();
        let mut tokens = prompt.to_vec();
        for _ in 0..12 {
            let logits = model.token_logits(&tokens, Some(&adapter)).unwrap();
            let last = logits.get(tokens.len() as i64 - 1);
            tokens.push(last.argmax(None, false).int64_value(&[]));
        }
        assert_eq!(cached, tokens[4..]);
        assert!(
            cached.iter().any(|token| *token != cached[0]),
            "a constant answer shows nothing: {cached:?}"
        );
    }
}

fn untied_qwen() -> serde_json::Value {
    let mut value = config_json();
    value["architectures"] = json!(["Qwen2ForCausalLM"]);
    value["tie_word_embeddings"] = json!(false);
    value
}

#[test]
fn generation_stops_at_the_end_token_the_limit_and_the_context() {
    let world = World::new();
    let mut model = Model::load(&world.inputs.model_dir).unwrap();
    model.spec.eos_token_ids.clear();
    let free = model.generate(&[1, 5], None, 10, Sampling::Greedy, |_| true).unwrap();
    assert_eq!(free.len(), 10);
    let end = *free.iter().find(|token| **token != free[0]).unwrap_or(&free[0]);
    let first = free.iter().position(|token| *token == end).unwrap();
    model.spec.eos_token_ids = vec![end];
    assert_eq!(model.generate(&[1, 5], None, 10, Sampling::Greedy, |_| true).unwrap(), free[..first]);
    model.spec.eos_token_ids.clear();
    assert_eq!(model.generate(&[1, 5], None, 1000, Sampling::Greedy, |_| true).unwrap().len(), 62);
    assert!(model.generate(&[], None, 1, Sampling::Greedy, |_| true).is_err());
    assert!(model
        .generate(&[40], None, 1, Sampling::Greedy, |_| true)
        .unwrap_err()
        .to_string()
        .contains("40"));
    let full = [1i64; 64];
    assert!(model
        .generate(&full, None, 1, Sampling::Greedy, |_| true)
        .unwrap_err()
        .to_string()
        .contains("context"));
}

#[test]
fn exact_match_counts_answers_that_are_equal() {
    let world = World::new();
    let model = Model::load(&world.inputs.model_dir).unwrap();
    let decode = |tokens: &[i64]| Ok(tokens.iter().map(|t| format!("{t} ")).collect::<String>());
    let answer = model.generate(&[1, 5], None, 3, Sampling::Greedy, |_| true).unwrap();
    let right = Question { prompt: vec![1, 5], expected: decode(&answer).unwrap().trim().to_string() };
    let wrong = Question { prompt: vec![1, 5], expected: "something else".to_string() };
    let questions = [right.clone(), wrong, right.clone(), right];
    let found = exact_match(&model, None, &questions, 3, decode, |_| ()).unwrap();
    assert_eq!((found.right, found.share()), (3, 0.75));
    assert_eq!(found.answers.len(), 4);
}

#[test]
fn an_exported_adapter_reads_back_equal() {
    let world = World::new();
    let model = Model::load(&world.inputs.model_dir).unwrap();
    let adapter = trained_adapter(&model.spec);
    let dir = world.path("adapter");
    peft::export(trained_state(&model.spec).view(), LORA, &dir, "toy/base").unwrap();
    let read = peft::load(&model.spec, &dir).unwrap();
    assert_eq!(read.config(), adapter.config());
    assert_eq!(values(read.parameters().flat()), values(adapter.parameters().flat()));
    let file = std::fs::read(dir.join("adapter_model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&file).unwrap();
    let name = "base_model.model.model.layers.1.self_attn.k_proj.lora_B.weight";
    assert_eq!(file.tensor(name).unwrap().shape(), [16, 3]);
    assert_eq!(file.names().len(), 2 * 7 * 2);
}

#[test]
fn a_foreign_adapter_is_refused_by_what_is_not_computed() {
    let world = World::new();
    let model = Model::load(&world.inputs.model_dir).unwrap();
    let dir = world.path("adapter");
    peft::export(trained_state(&model.spec).view(), LORA, &dir, "toy/base").unwrap();
    let path = dir.join("adapter_config.json");
    let whole: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (name, value) in [
        ("peft_type", json!("IA3")),
        ("use_dora", json!(true)),
        ("bias", json!("all")),
        ("rank_pattern", json!({"q_proj": 8})),
        ("r", json!(4)),
    ] {
        let mut changed = whole.clone();
        changed[name] = value;
        std::fs::write(&path, changed.to_string()).unwrap();
        let error = peft::load(&model.spec, &dir).err().expect(name).to_string();
        assert!(error.contains(if name == "r" { "shape" } else { name }), "{name}: {error}");
    }
}

#[test]
fn a_merged_model_answers_like_base_and_adapter() {
    let world = World::new();
    let model = Model::load(&world.inputs.model_dir).unwrap();
    let adapter = trained_adapter(&model.spec);
    let dir = world.path("merged");
    peft::export_merged(&model, &adapter, &dir).unwrap();
    let merged = Model::load(&dir).unwrap();
    let tokens = [1i64, 8, 30, 3];
    let difference = |one: &Tensor, two: &Tensor| (one - two).abs().max().double_value(&[]);
    let tuned = model.token_logits(&tokens, Some(&adapter)).unwrap();
    let base = model.token_logits(&tokens, None).unwrap();
    let merged = merged.token_logits(&tokens, None).unwrap();
    // bfloat16 keeps 8 bits of each merged weight.
    assert!(difference(&tuned, &merged) < 0.05 * difference(&tuned, &base));
}

#[test]
fn pretraining_lowers_the_held_out_loss_and_saves_what_it_has() {
    let data = common::data(32, 4);
    let world = World::with(config_json(), &data);
    let mut training = common::pretraining(ModelSpec::from_json(&config_json()).unwrap(), 60);
    let before = training.held_out_loss(&data).unwrap().unwrap();
    let mut steps = 0;
    training
        .train(&data, |_, report| {
            steps = report.step;
            Ok(true)
        })
        .unwrap();
    let after = training.held_out_loss(&data).unwrap().unwrap();
    assert!(steps == 60 && after < 0.8 * before, "{before} before, {after} after {steps} steps");
    let dir = world.path("base");
    training.save(&dir).unwrap();
    let read = Model::load(&dir).unwrap();
    let saved = held_out_loss(&read, None, &data.held_out, 4).unwrap().unwrap();
    assert!((saved.loss - after).abs() < 0.02, "{after} in memory, {} from bfloat16", saved.loss);
    assert!((saved.perplexity() - saved.loss.exp()).abs() < 1e-9);
}
