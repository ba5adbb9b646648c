//! Refusals as JSON: what was wrong, what was expected, what was found, what to change.

use crate::StoreError;
use axum::{
    http::{header, StatusCode},
    response::{IntoResponse, Response},
    Json,
};
use serde::{Deserialize, Serialize};

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: String,
    pub(crate) expected: String,
    pub(crate) found: String,
    pub(crate) fix: String,
}

/// A refusal: status, body, and when to come back.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    body: Box<ErrorBody>,
    retry_after_secs: Option<u64>,
    headers: Vec<(header::HeaderName, String)>,
}

impl Refusal {
    pub(super) fn new(
        status: StatusCode,
        error: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let body = ErrorBody {
            error: error.into(),
            expected: expected.into(),
            found: found.into(),
            fix: fix.into(),
        };
        Self { status, body: Box::new(body), retry_after_secs: None, headers: Vec::new() }
    }

    pub(super) fn retry_after(mut self, secs: u64) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    pub(super) fn header(mut self, name: header::HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn bad_request(expected: &str, found: impl Into<String>, fix: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed request", expected, found, fix)
    }

    /// The server's own trouble. Paths of this machine stay in its log.
    pub(super) fn from_store(error: &StoreError) -> Self {
        match error {
            StoreError::NotFound { id } => Self::new(
                StatusCode::NOT_FOUND,
                "no such artifact",
                format!("an artifact that is stored here; asked for {id}"),
                "none",
                "ask another peer, or upload it first",
            ),
            StoreError::DiskFull { needed_bytes, .. } => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk full",
                format!("room for {needed_bytes} bytes"),
                "less than that",
                "use another peer, or ask its owner to free space",
            ),
            StoreError::Mismatch { expected, found, .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "hash mismatch",
                format!("bytes with BLAKE3 {expected}"),
                found.to_string(),
                "send the bytes that the id names; what was sent is thrown away",
            ),
            other => {
                tracing::error!(error = %other, "a request failed on this side");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the server failed",
                    "a working disk on the server",
                    "an error that its log names",
                    "try again or use another peer",
                )
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(*self.body)).into_response();
        if let Some(secs) = self.retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, secs.into());
        }
        for (name, value) in self.headers {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
