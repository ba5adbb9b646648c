//! Rows of a customer's JSONL, and what can be wrong with each.
//!
//! Three shapes are read, told apart by their field, one JSON object per line:
//!
//! - chat, as OpenAI has it: `{"messages": [{"role": "system|user|assistant", "content": "..."}]}`;
//! - instruction: `{"instruction": "...", "input": "...", "output": "..."}`, `input` optional;
//! - text: `{"text": "..."}`, all of it trained on.
//!
//! A row that is not exactly one of these is refused with a reason: a field that is silently dropped is a lesson that
//! the customer paid for and the model never got.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The most messages in one conversation.
pub const MAX_MESSAGES: usize = 1_000;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that hold for the conversation.
    System,
    /// The person.
    User,
    /// The model; what it says bears loss.
    Assistant,
}

impl Role {
    /// The name that chat templates and JSONL files use.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; never empty in a checked row.
    pub content: String,
}

impl Message {
    /// A message from its parts.
    pub fn new(role: Role, content: impl Into<String>) -> Message {
        Message { role, content: content.into() }
    }
}

/// One training row, checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Row {
    /// A conversation that ends with the assistant.
    Chat(Vec<Message>),
    /// Text, all of it trained on.
    Text(String),
}

impl Row {
    /// Reads one line. The error says what was expected and found; the caller adds file and line.
    pub fn parse(line: &[u8]) -> Result<Row, String> {
        let text = std::str::from_utf8(line)
            .map_err(|error| format!("invalid UTF-8 after byte {}", error.valid_up_to()))?;
        let value: Value = serde_json::from_str(text).map_err(|error| {
            // serde_json counts lines within the row; the column is what helps.
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or_default().to_string();
            format!("malformed JSON at column {}: {reason}", error.column())
        })?;
        let Value::Object(row) = value else {
            return Err(format!("expected a JSON object, found {}", kind(&value)));
        };
        for unsupported in ["tools", "functions"] {
            if row.contains_key(unsupported) {
                return Err(format!("\"{unsupported}\" is not supported: remove it, or leave the row out"));
            }
        }
        let shapes: Vec<&str> =
            ["messages", "instruction", "text"].into_iter().filter(|key| row.contains_key(*key)).collect();
        match shapes.as_slice() {
            ["messages"] => chat(&row["messages"]),
            ["instruction"] => instruction(&row),
            ["text"] => Ok(Row::Text(string(&row, "text")?)),
            [] => Err("expected \"messages\" (or \"instruction\" with \"output\", or \"text\")".to_string()
                + &found(&row)),
            several => Err(format!("the row has {}: expected one of them", several.join(" and "))),
        }
    }
}

/// ", found a, b" with the row's fields, at most eight.
fn found(row: &Map<String, Value>) -> String {
    let keys: Vec<String> = row.keys().take(8).map(|key| format!("{key:?}")).collect();
    if keys.is_empty() {
        ", found no fields".to_string()
    } else {
        format!(", found {}", keys.join(", "))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A field that must be a string with something in it.
fn string(object: &Map<String, Value>, key: &str) -> Result<String, String> {
    match object.get(key) {
        Some(Value::String(text)) if text.trim().is_empty() => Err(format!("\"{key}\" is empty")),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("\"{key}\" is {}, expected a string", kind(other))),
        None => Err(format!("\"{key}\" is missing")),
    }
}

fn chat(messages: &Value) -> Result<Row, String> {
    let Value::Array(messages) = messages else {
        return Err(format!("\"messages\" is {}, expected an array", kind(messages)));
    };
    if messages.is_empty() {
        return Err("\"messages\" is empty".to_string());
    }
    if messages.len() > MAX_MESSAGES {
        return Err(format!("the row has {} messages, the limit is {MAX_MESSAGES}", messages.len()));
    }
    let messages: Vec<Message> = messages
        .iter()
        .enumerate()
        .map(|(index, value)| {
            message(index, value).map_err(|reason| format!("message {}: {reason}", index + 1))
        })
        .collect::<Result<_, _>>()?;
    if !messages.iter().any(|message| message.role == Role::Assistant) {
        return Err("no assistant message: there is nothing to train on".to_string());
    }
    match messages.last() {
        Some(Message { role: Role::Assistant, .. }) => Ok(Row::Chat(messages)),
        Some(Message { role, .. }) => Err(format!(
            "the last message is from the {}, expected the assistant: its answer is what is trained",
            role.as_str()
        )),
        None => Err("\"messages\" is empty".to_string()),
    }
}

fn message(index: usize, value: &Value) -> Result<Message, String> {
    let Value::Object(fields) = value else {
        return Err(format!("expected an object, found {}", kind(value)));
    };
    if let Some(other) = fields.keys().find(|key| !matches!(key.as_str(), "role" | "content")) {
        return Err(format!("field {other:?} is not supported: expected \"role\" and \"content\" only"));
    }
    let role = match string(fields, "role")?.as_str() {
        "system" if index > 0 => return Err("a system message must come first".to_string()),
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(format!("unknown role {other:?}, expected system, user or assistant"));
        }
    };
    Ok(Message { role, content: string(fields, "content")? })
}

fn instruction(row: &Map<String, Value>) -> Result<Row, String> {
    let mut prompt = string(row, "instruction")?;
    match row.get("input") {
        None | Some(Value::Null) => {}
        Some(Value::String(input)) if input.trim().is_empty() => {}
        Some(Value::String(input)) => {
            prompt.push_str("\n\n");
            prompt.push_str(input);
        }
        Some(other) => return Err(format!("\"input\" is {}, expected a string", kind(other))),
    }
    let answer = string(row, "output")?;
    Ok(Row::Chat(vec![Message::new(Role::User, prompt), Message::new(Role::Assistant, answer)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(line: &str) -> String {
        Row::parse(line.as_bytes()).expect_err(line)
    }

    #[test]
    fn a_conversation_is_read_as_openai_writes_it() {
        let line = r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"a"}],"id":7}"#;
        let expected = [(Role::System, "s"), (Role::User, "u"), (Role::Assistant, "a")]
            .map(|(role, text)| Message::new(role, text));
        assert_eq!(Row::parse(line.as_bytes()), Ok(Row::Chat(expected.to_vec())));
    }

    #[test]
    fn an_instruction_becomes_a_conversation_and_text_stays_text() {
        let line = r#"{"instruction":"Sum","input":"1 2","output":"3"}"#;
        let expected = vec![Message::new(Role::User, "Sum\n\n1 2"), Message::new(Role::Assistant, "3")];
        assert_eq!(Row::parse(line.as_bytes()), Ok(Row::Chat(expected)));
        assert_eq!(Row::parse(br#"{"text":"hello"}"#), Ok(Row::Text("hello".into())));
    }

    #[test]
    fn each_fault_of_a_row_has_its_reason() {
        let cases = [
            (r#"{"messages": ["#, "malformed JSON at column"),
            ("[]", "expected a JSON object, found an array"),
            ("{}", "found no fields"),
            (r#"{"prompt":"x"}"#, "found \"prompt\""),
            (r#"{"messages":{}}"#, "expected an array"),
            (r#"{"messages":[]}"#, "is empty"),
            (r#"{"messages":[1]}"#, "message 1: expected an object, found a number"),
            (r#"{"messages":[{"content":"x"}]}"#, "\"role\" is missing"),
            (r#"{"messages":[{"role":"tool","content":"x"}]}"#, "unknown role \"tool\""),
            (r#"{"messages":[{"role":"user","content":" "}]}"#, "message 1: \"content\" is empty"),
            (r#"{"messages":[{"role":"user","content":null}]}"#, "is null, expected a string"),
            (r#"{"messages":[{"role":"user","content":[]}]}"#, "is an array, expected a string"),
            (r#"{"messages":[{"role":"user","content":"x"}]}"#, "no assistant message"),
            (
                r#"{"messages":[{"role":"assistant","content":"x"},{"role":"user","content":"y"}]}"#,
                "the last message is from the user",
            ),
            (
                r#"{"messages":[{"role":"user","content":"x"},{"role":"system","content":"y"}]}"#,
                "must come first",
            ),
            (r#"{"messages":[{"role":"assistant","content":"x","weight":0}]}"#, "field \"weight\""),
            (r#"{"messages":[],"tools":[]}"#, "\"tools\" is not supported"),
            (r#"{"messages":[],"text":"x"}"#, "messages and text"),
            (r#"{"instruction":"x"}"#, "\"output\" is missing"),
            (r#"{"instruction":"x","input":3,"output":"y"}"#, "\"input\" is a number"),
            (r#"{"text":""}"#, "\"text\" is empty"),
        ];
        for (line, expected) in cases {
            let found = reason(line);
            assert!(found.contains(expected), "{line}: expected {expected:?} in {found:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_with_their_place() {
        assert_eq!(Row::parse(b"{\"text\":\"\xff\"}"), Err("invalid UTF-8 after byte 9".to_string()));
    }

    #[test]
    fn nesting_without_end_is_refused_and_not_followed() {
        let line = "[".repeat(1_000_000);
        assert!(reason(&line).contains("malformed JSON"));
    }

    #[test]
    fn a_conversation_has_a_bounded_number_of_messages() {
        let one = r#"{"role":"assistant","content":"x"},"#.repeat(MAX_MESSAGES + 1);
        let line = format!("{{\"messages\":[{}]}}", one.trim_end_matches(','));
        assert!(reason(&line).contains("the limit is 1000"));
    }
}
