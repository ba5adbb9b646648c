//! The tokenizer and chat template of a Hugging Face directory.
//!
//! Both are the base model's own: a row means the same tokens here, in `transformers`, and in whatever serves the tuned
//! model. Which tokens bear loss is found by rendering: the conversation up to an assistant turn with the generation
//! prompt, and the conversation through that turn; what lies between the two is what the assistant says, with the token
//! that ends its turn. White space that a template adds after that token bears no loss, as nobody generates it.

use super::{
    chat::{Message, Role, Row},
    packing::Example,
    DataError,
};
use minijinja::{
    context, syntax::SyntaxConfig, value::Value as Jinja, Environment, Error as JinjaError, ErrorKind,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};
use tokenizers::{PostProcessorWrapper, Tokenizer};

/// The largest `tokenizer.json`, in bytes.
pub const MAX_TOKENIZER_BYTES: u64 = 256 << 20;
/// The largest `tokenizer_config.json` or chat template, in bytes.
pub const MAX_CONFIG_BYTES: u64 = 16 << 20;
/// Steps that a chat template may take for one conversation, so that a hostile one ends.
const TEMPLATE_FUEL: u64 = 20_000_000;
const TEMPLATE: &str = "chat";

/// A special token: its text and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialToken {
    /// As it stands in text.
    pub text: String,
    /// Its id in the vocabulary.
    pub id: u32,
}

/// A tokenizer with its chat template and special tokens.
pub struct ChatTokenizer {
    tokenizer: Tokenizer,
    environment: Environment<'static>,
    has_template: bool,
    blake3: String,
    vocab_size: usize,
    bos: Option<SpecialToken>,
    eos: SpecialToken,
    pad: SpecialToken,
    special: Vec<String>,
    path: PathBuf,
}

impl std::fmt::Debug for ChatTokenizer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ChatTokenizer")
            .field("path", &self.path)
            .field("blake3", &self.blake3)
            .finish()
    }
}

impl ChatTokenizer {
    /// Reads `tokenizer.json`, `tokenizer_config.json` and, where present, `chat_template.jinja` in `dir`.
    ///
    /// Fails when a file is missing or malformed, when no end-of-sequence token is named, or when a named special token
    /// is not one token of the vocabulary. A model without a chat template opens, but takes only text rows.
    pub fn open(dir: &Path) -> Result<ChatTokenizer, DataError> {
        let path = dir.join("tokenizer.json");
        if !path.is_file() {
            return Err(DataError::Tokenizer {
                path: dir.to_path_buf(),
                reason: "there is no tokenizer.json; expected a Hugging Face model with its fast tokenizer"
                    .into(),
            });
        }
        let tokenizer = read_bounded(&path, MAX_TOKENIZER_BYTES)?;
        let config = dir.join("tokenizer_config.json");
        if !config.is_file() {
            return Err(DataError::Tokenizer {
                path: dir.to_path_buf(),
                reason: "there is no tokenizer_config.json, which names the special tokens".into(),
            });
        }
        let config = read_bounded(&config, MAX_CONFIG_BYTES)?;
        let template = dir.join("chat_template.jinja");
        let template = match template.is_file() {
            true => Some(read_bounded(&template, MAX_CONFIG_BYTES)?),
            false => None,
        };
        ChatTokenizer::from_parts(dir, &tokenizer, &config, template.as_deref())
    }

    /// The same from the files' bytes; `dir` is only named in errors. A `template` of its own file wins over the one in
    /// `config`.
    pub fn from_parts(
        dir: &Path,
        tokenizer: &[u8],
        config: &[u8],
        template: Option<&[u8]>,
    ) -> Result<ChatTokenizer, DataError> {
        let fail = |reason: String| DataError::Tokenizer { path: dir.to_path_buf(), reason };
        let blake3 = blake3::hash(tokenizer).to_hex().to_string();
        let mut tokenizer = Tokenizer::from_bytes(tokenizer)
            .map_err(|error| fail(format!("tokenizer.json cannot be read: {error}")))?;
        // A tokenizer.json may ask for truncation or padding; rows are checked and packed here, never cut. Its
        // post-processor adds the special tokens that the template already writes, and moves offsets of white space.
        tokenizer
            .with_truncation(None)
            .map_err(|error| fail(format!("truncation cannot be switched off: {error}")))?
            .with_padding(None)
            .with_post_processor(None::<PostProcessorWrapper>);
        let config: Value = serde_json::from_slice(config)
            .map_err(|error| fail(format!("tokenizer_config.json is not JSON: {error}")))?;
        let special = |key: &str| -> Result<Option<SpecialToken>, DataError> {
            let Some(text) = token_text(&config[key]) else { return Ok(None) };
            match tokenizer.token_to_id(text) {
                Some(id) => Ok(Some(SpecialToken { text: text.to_string(), id })),
                None => {
                    Err(fail(format!("{key} is {text:?}, which is not in the vocabulary of tokenizer.json")))
                }
            }
        };
        let bos = special("bos_token")?;
        let eos = special("eos_token")?
            .ok_or_else(|| fail("tokenizer_config.json names no eos_token, which ends an answer".into()))?;
        let pad = special("pad_token")?.unwrap_or_else(|| eos.clone());
        let vocab_size = tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        let added = tokenizer.get_added_tokens_decoder();
        let mut special: Vec<String> =
            added.values().filter(|token| token.special).map(|token| token.content.clone()).collect();
        special.sort();
        let template = match template {
            Some(bytes) => Some(
                String::from_utf8(bytes.to_vec())
                    .map_err(|_| fail("chat_template.jinja is not UTF-8".to_string()))?,
            ),
            None => template_text(&config["chat_template"]),
        };
        let has_template = template.is_some();
        let environment = environment(template)
            .map_err(|error| fail(format!("the chat template cannot be used: {}", jinja_reason(&error))))?;
        let path = dir.to_path_buf();
        Ok(ChatTokenizer {
            tokenizer,
            environment,
            has_template,
            blake3,
            vocab_size,
            bos,
            eos,
            pad,
            special,
            path,
        })
    }

    /// BLAKE3 of `tokenizer.json`, as 64 lower-case hex digits.
    pub fn blake3(&self) -> &str {
        &self.blake3
    }

    /// The largest token id plus one. A model's embedding must have at least as many rows.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The token that ends an answer.
    pub fn eos(&self) -> &SpecialToken {
        &self.eos
    }

    /// The token that starts a text, where the model has one.
    pub fn bos(&self) -> Option<&SpecialToken> {
        self.bos.as_ref()
    }

    /// The token that fills a row; the end-of-sequence token where the model names none.
    pub fn pad(&self) -> &SpecialToken {
        &self.pad
    }

    /// Whether the model has a chat template.
    pub fn has_template(&self) -> bool {
        self.has_template
    }

    /// The first special token that stands as plain text in `text`. Such text would be read as the token itself.
    pub fn special_token_in(&self, text: &str) -> Option<&str> {
        self.special.iter().map(String::as_str).find(|token| !token.is_empty() && text.contains(token))
    }

    /// Token ids of a text; nothing is added to it.
    pub fn encode(&self, text: &str) -> Result<Vec<i32>, DataError> {
        Ok(self.encode_spans(text)?.0)
    }

    /// The text of token ids, special tokens left out or in.
    pub fn decode(&self, ids: &[i32], skip_special: bool) -> Result<String, DataError> {
        let ids: Result<Vec<u32>, _> = ids.iter().map(|id| u32::try_from(*id)).collect();
        let ids = ids.map_err(|_| self.fail("a token id is negative"))?;
        self.tokenizer.decode(&ids, skip_special).map_err(|error| self.fail(&error.to_string()))
    }

    /// A conversation as the template writes it. With `generation_prompt` the text ends where the assistant's next turn
    /// begins.
    pub fn render(&self, messages: &[Message], generation_prompt: bool) -> Result<String, DataError> {
        if !self.has_template {
            return Err(self.fail(
                "there is no chat template (in chat_template.jinja or tokenizer_config.json); \
                 use rows of {\"text\": ...}, or a model that was made for chat",
            ));
        }
        let message = |message: &Message| {
            Jinja::from(BTreeMap::from([
                ("role", Jinja::from(message.role.as_str())),
                ("content", Jinja::from(message.content.as_str())),
            ]))
        };
        let messages: Vec<Jinja> = messages.iter().map(message).collect();
        let context = context! {
            messages => messages,
            add_generation_prompt => generation_prompt,
            bos_token => self.bos.as_ref().map_or("", |token| token.text.as_str()),
            eos_token => self.eos.text.as_str(),
            pad_token => self.pad.text.as_str(),
        };
        self.environment
            .get_template(TEMPLATE)
            .and_then(|template| template.render(context))
            .map_err(|error| DataError::Template(jinja_reason(&error)))
    }

    /// Token ids of a conversation, ready for the assistant to answer.
    pub fn prompt(&self, messages: &[Message]) -> Result<Vec<i32>, DataError> {
        self.encode(&self.render(messages, true)?)
    }

    /// A row as tokens with its loss mask.
    pub fn example(&self, row: &Row) -> Result<Example, DataError> {
        match row {
            Row::Chat(messages) => self.chat_example(messages),
            Row::Text(text) => self.text_example(text),
        }
    }

    /// Start token (where there is one), text, end token; all but the first token bear loss.
    fn text_example(&self, text: &str) -> Result<Example, DataError> {
        let mut tokens: Vec<i32> = self.bos.iter().map(|token| token.id as i32).collect();
        tokens.extend(self.encode(text)?);
        tokens.push(self.eos.id as i32);
        let trained = (0..tokens.len()).map(|index| index > 0).collect();
        Ok(Example { tokens, trained })
    }

    fn chat_example(&self, messages: &[Message]) -> Result<Example, DataError> {
        let text = self.render(messages, false)?;
        let spans = self.assistant_spans(messages, &text)?;
        let (tokens, offsets) = self.encode_spans(&text)?;
        let inside = |offset: &Range<usize>| {
            offset.start < offset.end
                && spans.iter().any(|span| span.start <= offset.start && offset.start < span.end)
        };
        Ok(Example { tokens, trained: offsets.iter().map(inside).collect() })
    }

    /// The byte ranges of `text` that the assistant says.
    fn assistant_spans(&self, messages: &[Message], text: &str) -> Result<Vec<Range<usize>>, DataError> {
        let turns = messages.iter().enumerate().filter(|(_, message)| message.role == Role::Assistant);
        let mut spans = Vec::new();
        for (index, _) in turns {
            let before = self.render(&messages[..index], true)?;
            let through = match index + 1 == messages.len() {
                true => text.to_string(),
                false => self.render(&messages[..=index], false)?,
            };
            if !text.starts_with(&through) || !through.starts_with(&before) {
                return Err(DataError::Template(format!(
                    "it writes message {} differently once more messages follow, so its tokens cannot be \
                     told apart; give one answer per row",
                    index + 1
                )));
            }
            let end = through.trim_end().len();
            if end > before.len() {
                spans.push(before.len()..end);
            }
        }
        Ok(spans)
    }

    /// Token ids and the byte range of the text that each stands for.
    fn encode_spans(&self, text: &str) -> Result<(Vec<i32>, Vec<Range<usize>>), DataError> {
        let encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|error| self.fail(&format!("encoding failed: {error}")))?;
        let ids = encoding.get_ids().iter().map(|id| *id as i32).collect();
        Ok((ids, encoding.get_offsets().iter().map(|(start, end)| *start..*end).collect()))
    }

    fn fail(&self, reason: &str) -> DataError {
        DataError::Tokenizer { path: self.path.clone(), reason: reason.to_string() }
    }
}

/// Reads a file that must not be larger than `limit` bytes.
fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let size = fs::metadata(path).map_err(DataError::io("read", path))?.len();
    if size > limit {
        return Err(DataError::Tokenizer {
            path: path.to_path_buf(),
            reason: format!("the file has {size} bytes, the limit is {limit}"),
        });
    }
    fs::read(path).map_err(DataError::io("read", path))
}

/// A special token in tokenizer_config.json: a string, or an object with `content`.
fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}

/// The template in tokenizer_config.json: a string, or a list of named ones of which "default" counts.
fn template_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => list
            .iter()
            .find(|entry| entry["name"] == "default")
            .and_then(|entry| entry["template"].as_str())
            .map(str::to_owned),
        _ => None,
    }
}

/// Jinja as `transformers` sets it up: trimmed blocks, Python's methods, `raise_exception`. There is no `strftime_now`:
/// a row must mean the same tokens tomorrow. `{% generation %}` marks are dropped, as the mask is found by rendering.
fn environment(template: Option<String>) -> Result<Environment<'static>, JinjaError> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(TEMPLATE_FUEL));
    environment.add_function("raise_exception", |message: String| -> Result<Jinja, JinjaError> {
        Err(JinjaError::new(ErrorKind::InvalidOperation, message))
    });
    if let Some(template) = template {
        environment.add_template_owned(TEMPLATE, without_generation_marks(&template))?;
    }
    Ok(environment)
}

/// The template with `{% generation %}` and `{% endgeneration %}` turned into tags that do nothing but keep the white
/// space rules of the tag that stood there.
fn without_generation_marks(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let tag = &rest[start..start + length + 2];
        let name = tag[2..tag.len() - 2].trim_matches(['-', '+']).trim();
        out.push_str(&rest[..start]);
        match name {
            "generation" => out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endif")),
            _ => out.push_str(tag),
        }
        rest = &rest[start + length + 2..];
    }
    out.push_str(rest);
    out
}

/// The reason alone, without the template's source.
fn jinja_reason(error: &JinjaError) -> String {
    let line = error.line().map(|line| format!(" (line {line} of the template)")).unwrap_or_default();
    match error.detail() {
        Some(detail) => format!("{detail}{line}"),
        None => format!("{}{line}", error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    fn user(text: &str) -> Message {
        Message::new(Role::User, text)
    }

    fn assistant(text: &str) -> Message {
        Message::new(Role::Assistant, text)
    }

    /// The text of the tokens that bear loss.
    fn trained(tokenizer: &ChatTokenizer, row: &Row) -> String {
        let example = tokenizer.example(row).unwrap();
        let pairs = example.tokens.iter().zip(&example.trained);
        let ids: Vec<i32> = pairs.filter(|(_, trained)| **trained).map(|(id, _)| *id).collect();
        tokenizer.decode(&ids, false).unwrap()
    }

    fn reason(tokenizer: &[u8], config: &[u8], template: Option<&[u8]>) -> String {
        ChatTokenizer::from_parts(Path::new("x"), tokenizer, config, template).unwrap_err().to_string()
    }

    #[test]
    fn only_the_assistants_words_and_its_end_token_bear_loss() {
        let row = Row::Chat(vec![user("What?"), assistant(" That.")]);
        let tokenizer = fixture::tokenizer();
        assert_eq!(trained(&tokenizer, &row), " That.<|end|>");
        let Row::Chat(messages) = &row else { unreachable!() };
        assert_eq!(
            tokenizer.render(messages, false).unwrap(),
            "<|user|>What?<|end|>\n<|assistant|> That.<|end|>\n"
        );
    }

    #[test]
    fn every_assistant_turn_bears_loss() {
        let row = Row::Chat(vec![user("a"), assistant("b"), user("c"), assistant("d é")]);
        assert_eq!(trained(&fixture::tokenizer(), &row), "b<|end|>d é<|end|>");
    }

    #[test]
    fn the_prompt_is_the_start_of_the_trained_row() {
        let tokenizer = fixture::tokenizer();
        let prompt = tokenizer.prompt(&[user("hi")]).unwrap();
        let example = tokenizer.example(&Row::Chat(vec![user("hi"), assistant("yo")])).unwrap();
        assert_eq!(example.tokens[..prompt.len()], prompt);
        assert!(example.trained[prompt.len()] && !example.trained[prompt.len() - 1]);
    }

    #[test]
    fn text_rows_bear_loss_on_all_but_the_first_token() {
        let example = fixture::tokenizer().example(&Row::Text("abc".into())).unwrap();
        assert_eq!(example.trained, [false, true, true, true]);
        assert_eq!(example.tokens[3], 1, "the end token ends the text");
    }

    #[test]
    fn a_template_that_rewrites_earlier_turns_is_refused() {
        let template = "{% for m in messages %}{{ m.content if loop.last else 'hidden' }}{% endfor %}";
        let row = Row::Chat(vec![user("a"), assistant("b"), user("c"), assistant("d")]);
        let error = fixture::with_template(template).example(&row).unwrap_err().to_string();
        assert!(error.contains("one answer per row"), "{error}");
    }

    #[test]
    fn templates_run_as_transformers_runs_them() {
        let template =
            "{%- for m in messages %}\n    {% generation %}\n[{{ m['content'].strip() | upper }}]\n    \
            {% endgeneration %}\n{%- if m.role.startswith('u') %}{% continue %}{% endif %}!{% endfor %}";
        let tokenizer = fixture::with_template(template);
        assert_eq!(tokenizer.render(&[user(" a "), assistant("b")], false).unwrap(), "[A]\n[B]\n!");
    }

    #[test]
    fn a_template_may_refuse_and_its_words_are_kept() {
        let tokenizer = fixture::with_template("{{ raise_exception('no system role here') }}");
        let error = tokenizer.render(&[user("a")], false).unwrap_err().to_string();
        assert!(error.contains("no system role here"), "{error}");
    }

    #[test]
    fn a_template_that_never_ends_is_stopped() {
        let tokenizer = fixture::with_template(
            "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}\
             {% endfor %}{% endfor %}",
        );
        assert!(tokenizer.render(&[user("a")], false).is_err());
    }

    #[test]
    fn a_wrong_or_missing_tokenizer_says_what_is_wrong() {
        let (good, config) = (fixture::tokenizer_json(), fixture::config_json(None));
        assert!(reason(b"{}", &config, None).contains("tokenizer.json cannot be read"));
        assert!(reason(&good, b"[", None).contains("tokenizer_config.json is not JSON"));
        assert!(reason(&good, b"{}", None).contains("names no eos_token"));
        assert!(
            reason(&good, br#"{"eos_token":"</s>"}"#, None).contains("\"</s>\", which is not in the vocab")
        );
        assert!(reason(&good, &config, Some(b"{% for %}")).contains("chat template cannot be used"));
        assert!(reason(&good, &config, Some(b"\xff")).contains("not UTF-8"));
        let dir = tempfile::tempdir().unwrap();
        let error = ChatTokenizer::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("there is no tokenizer.json"), "{error}");
        fs::write(dir.path().join("tokenizer.json"), &good).unwrap();
        let error = ChatTokenizer::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("there is no tokenizer_config.json"), "{error}");
        fs::write(dir.path().join("tokenizer_config.json"), &config).unwrap();
        let tokenizer = ChatTokenizer::open(dir.path()).unwrap();
        assert!(!tokenizer.has_template());
        let error = tokenizer.render(&[user("a")], true).unwrap_err().to_string();
        assert!(error.contains("there is no chat template"), "{error}");
        fs::write(dir.path().join("chat_template.jinja"), fixture::TEMPLATE).unwrap();
        assert!(ChatTokenizer::open(dir.path()).unwrap().has_template());
    }

    #[test]
    fn special_tokens_in_a_text_are_seen() {
        let tokenizer = fixture::tokenizer();
        assert_eq!(tokenizer.special_token_in("a<|end|>b"), Some("<|end|>"));
        assert_eq!(tokenizer.special_token_in("a<|b"), None);
        assert_eq!(tokenizer.vocab_size(), 260);
    }
}
