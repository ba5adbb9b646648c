//! A small real tokenizer for tests: one token per byte, a ChatML-like template.

use super::ChatTokenizer;
use serde_json::{json, Value};
use std::path::Path;

/// The special tokens, with ids from 0.
pub(crate) const SPECIAL: [&str; 4] = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"];

/// A template with a line break after each turn, which nobody is trained on.
pub(crate) const TEMPLATE: &str =
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{{ \
    eos_token }}\n{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

/// tokenizer.json: byte level, no merges.
pub(crate) fn tokenizer_json() -> Vec<u8> {
    let mut alphabet: Vec<char> =
        tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let texts = SPECIAL.iter().map(|text| text.to_string()).chain(alphabet.iter().map(char::to_string));
    let vocab: serde_json::Map<String, Value> =
        texts.enumerate().map(|(id, text)| (text, json!(id))).collect();
    let added: Vec<Value> = SPECIAL
        .iter()
        .enumerate()
        .map(|(id, text)| {
            json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    let level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    serde_json::to_vec(&json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": level, "post_processor": level, "decoder": level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": []},
    }))
    .expect("a JSON value has text; qed")
}

/// tokenizer_config.json with a template, or without one.
pub(crate) fn config_json(template: Option<&str>) -> Vec<u8> {
    let mut config = json!({"eos_token": "<|end|>", "pad_token": {"content": "<|pad|>"}});
    if let Some(template) = template {
        config["chat_template"] = json!(template);
    }
    serde_json::to_vec(&config).expect("a JSON value has text; qed")
}

/// The tokenizer with a template of its own.
pub(crate) fn with_template(template: &str) -> ChatTokenizer {
    ChatTokenizer::from_parts(Path::new("fixture"), &tokenizer_json(), &config_json(Some(template)), None)
        .expect("the fixture is a good tokenizer; qed")
}

/// The tokenizer with [`TEMPLATE`].
pub(crate) fn tokenizer() -> ChatTokenizer {
    with_template(TEMPLATE)
}
