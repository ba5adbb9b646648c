//! One artifact from several peers.

use super::{
    peer::{self, Failure, Peer},
    Fetcher, Progress,
};
use crate::{
    local::{blocking, Incoming, PIECE_BYTES},
    ArtifactId, PeerFailure, StoreError,
};
use reqwest::{header, Method, Response, StatusCode};
use tokio::time::{sleep, timeout, Instant};

/// How often a peer may be the last of several whose bytes together were wrong.
const MAX_SUSPICIONS: u32 = 2;

/// Who sent the bytes that are in the partial file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Nobody,
    One(usize),
    /// Several peers, or an earlier run.
    Several,
}

/// What came of asking one peer.
enum Outcome {
    Done,
    Failed(Failure),
    /// What is here is at least as long as the artifact, and it is not the artifact.
    TooLong,
    /// All bytes came, and they hash to something else.
    Wrong(ArtifactId),
}

struct Candidate {
    peer: Peer,
    last_reason: String,
    dropped: bool,
    suspicions: u32,
}

struct Download<'a> {
    fetcher: &'a Fetcher,
    id: ArtifactId,
    max_bytes: u64,
    deadline: Instant,
    /// `None` only while a blocking thread has it.
    part: Option<Incoming>,
    source: Source,
    received_bytes: u64,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
}

/// Fetches until the artifact is stored, every peer is dropped, or the rounds or the time are over.
pub(super) async fn run(
    fetcher: &Fetcher,
    id: &ArtifactId,
    peers: Vec<Peer>,
    max_bytes: u64,
    deadline: Instant,
    part: Incoming,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), StoreError> {
    let source = if part.len() == 0 { Source::Nobody } else { Source::Several };
    let mut download = Download {
        fetcher,
        id: *id,
        max_bytes,
        deadline,
        part: Some(part),
        source,
        received_bytes: 0,
        progress,
    };
    if download.part().id() == *id {
        return download.commit("an earlier download").await;
    }
    if download.part().len() > max_bytes {
        download.restart().await?;
    }
    let mut candidates: Vec<Candidate> = peers
        .into_iter()
        .map(|peer| Candidate {
            peer,
            last_reason: "not asked, the time was over".into(),
            dropped: false,
            suspicions: 0,
        })
        .collect();
    let delivered = rounds(&mut download, &mut candidates).await;
    if delivered? {
        return Ok(());
    }
    if download.part().len() == 0 {
        if let Some(part) = download.part.take() {
            part.discard();
        }
    }
    let failures = candidates
        .into_iter()
        .map(|c| PeerFailure { peer: c.peer.url.to_string(), reason: c.last_reason })
        .collect();
    Err(StoreError::NoPeer { id: *id, failures })
}

/// Whether some peer delivered.
async fn rounds(download: &mut Download<'_>, candidates: &mut [Candidate]) -> Result<bool, StoreError> {
    let limits = &download.fetcher.limits;
    let mut idle_rounds = 0;
    let mut backoff = limits.backoff_start;
    loop {
        let before = download.received_bytes;
        let mut wait = None;
        for (index, candidate) in candidates.iter_mut().enumerate().filter(|(_, c)| !c.dropped) {
            if Instant::now() >= download.deadline {
                return Ok(false);
            }
            match download.ask(index, candidate).await? {
                None => return Ok(true),
                Some(Failure::Never { reason } | Failure::OutOfRange { reason }) => {
                    candidate.dropped = true;
                    candidate.last_reason = reason;
                }
                Some(Failure::Later { reason, wait: asked }) => {
                    candidate.last_reason = reason;
                    wait = wait.max(asked);
                }
            }
        }
        if candidates.iter().all(|c| c.dropped) {
            return Ok(false);
        }
        if download.received_bytes - before >= limits.min_bytes_per_window {
            idle_rounds = 0;
            backoff = limits.backoff_start;
        } else {
            idle_rounds += 1;
        }
        if idle_rounds >= limits.rounds {
            return Ok(false);
        }
        let pause = wait.unwrap_or(backoff).max(backoff).min(limits.backoff_max);
        sleep(pause.min(download.deadline.saturating_duration_since(Instant::now()))).await;
        backoff = (backoff * 2).min(limits.backoff_max);
    }
}

impl Download<'_> {
    fn part(&self) -> &Incoming {
        self.part.as_ref().expect("every blocking call puts the part back or ends the download; qed")
    }

    /// Asks one peer, twice if bytes of several turn out wrong. `None` when the artifact is stored.
    async fn ask(&mut self, index: usize, candidate: &mut Candidate) -> Result<Option<Failure>, StoreError> {
        loop {
            let found = match self.attempt(index, &candidate.peer).await? {
                Outcome::Done => return Ok(None),
                Outcome::Failed(failure) => return Ok(Some(failure)),
                // From byte 0 this cannot come again.
                Outcome::TooLong => {
                    self.restart().await?;
                    continue;
                }
                Outcome::Wrong(found) => found,
            };
            let alone = self.source == Source::One(index);
            self.restart().await?;
            if alone {
                self.fetcher.report_bad(&candidate.peer.url, &self.id, found);
                return Ok(Some(Failure::never(format!("wrong bytes, their BLAKE3 is {found}"))));
            }
            candidate.suspicions += 1;
            if candidate.suspicions >= MAX_SUSPICIONS {
                return Ok(Some(Failure::never("twice the last of several whose bytes together were wrong")));
            }
            tracing::warn!(id = %self.id, peer = %candidate.peer.url, "bytes of several peers are wrong; starting again with one");
        }
    }

    async fn attempt(&mut self, index: usize, peer: &Peer) -> Result<Outcome, StoreError> {
        let limits = &self.fetcher.limits;
        let offset = self.part().len();
        let mut request = peer::request(self.fetcher, peer, Method::GET, &self.id);
        if offset > 0 {
            request = request.header(header::RANGE, format!("bytes={offset}-"));
        }
        let mut response = match peer::send(request, limits.header_timeout).await {
            Ok(response) => response,
            Err(Failure::OutOfRange { .. }) if offset > 0 => return Ok(Outcome::TooLong),
            Err(failure) => return Ok(Outcome::Failed(failure)),
        };
        let total = match start_and_total(&response, offset) {
            Ok((start, total)) => {
                if start != offset {
                    self.restart().await?;
                }
                total
            }
            Err(reason) => return Ok(Outcome::Failed(Failure::never(reason))),
        };
        if total > self.max_bytes {
            let reason = format!("it offers {total} bytes, at most {} are accepted", self.max_bytes);
            return Ok(Outcome::Failed(Failure::never(reason)));
        }
        let missing = total.saturating_sub(self.part().len());
        self.fetcher.store.check_room(missing, limits.reserve_bytes)?;
        self.source = match self.source {
            Source::Nobody => Source::One(index),
            Source::One(other) if other == index => Source::One(index),
            _ => Source::Several,
        };
        if let Some(failure) = self.read_body(&mut response, total).await? {
            return Ok(Outcome::Failed(failure));
        }
        match self.part().id() {
            found if found == self.id => {
                self.commit(peer.url.as_str()).await?;
                Ok(Outcome::Done)
            }
            found => Ok(Outcome::Wrong(found)),
        }
    }

    /// Appends the body until `total` bytes are here. What came before a failure is kept.
    async fn read_body(
        &mut self,
        response: &mut Response,
        total: u64,
    ) -> Result<Option<Failure>, StoreError> {
        let limits = &self.fetcher.limits;
        let mut pending: Vec<u8> = Vec::new();
        let mut window_end = Instant::now() + limits.window;
        let mut window_bytes = 0u64;
        let failure = loop {
            let have = self.part().len() + pending.len() as u64;
            if have == total {
                break None;
            }
            let now = Instant::now();
            if now >= self.deadline {
                break Some(Failure::later("the time for the whole fetch was over"));
            }
            if now >= window_end {
                if window_bytes < limits.min_bytes_per_window {
                    break Some(Failure::later(format!(
                        "too slow: {window_bytes} bytes in {} s",
                        limits.window.as_secs_f32()
                    )));
                }
                window_end = now + limits.window;
                window_bytes = 0;
            }
            let until = window_end.min(self.deadline);
            match timeout(until.saturating_duration_since(now), response.chunk()).await {
                // The checks above decide.
                Err(_) => {}
                Ok(Err(e)) => {
                    let why = peer::describe(&e);
                    break Some(Failure::later(format!("it broke off after {have} of {total} bytes: {why}")));
                }
                Ok(Ok(None)) => {
                    break Some(Failure::later(format!("it ended after {have} of {total} bytes")));
                }
                Ok(Ok(Some(piece))) if piece.len() as u64 > total - have => {
                    break Some(Failure::never(format!("it sent more than the {total} bytes it announced")));
                }
                Ok(Ok(Some(piece))) => {
                    window_bytes += piece.len() as u64;
                    self.received_bytes += piece.len() as u64;
                    pending.extend_from_slice(&piece);
                }
            }
            if pending.len() >= PIECE_BYTES {
                self.append(std::mem::take(&mut pending), total).await?;
            }
        };
        if !pending.is_empty() {
            self.append(pending, total).await?;
        }
        Ok(failure)
    }

    async fn append(&mut self, bytes: Vec<u8>, total_bytes: u64) -> Result<(), StoreError> {
        self.with_part(move |part| part.write(&bytes)).await?;
        (self.progress)(Progress { id: self.id, done_bytes: self.part().len(), total_bytes });
        Ok(())
    }

    /// Throws the bytes away; whoever sent them is forgotten.
    async fn restart(&mut self) -> Result<(), StoreError> {
        self.source = Source::Nobody;
        self.with_part(Incoming::restart).await
    }

    async fn with_part(
        &mut self,
        work: impl FnOnce(&mut Incoming) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let mut part = self.part.take().expect("only a blocking call takes the part, and it is over; qed");
        self.part = Some(blocking(move || work(&mut part).map(|()| part)).await?);
        Ok(())
    }

    async fn commit(&mut self, origin: &str) -> Result<(), StoreError> {
        let part = self.part.take().expect("only a blocking call takes the part, and it is over; qed");
        let (store, id, origin) = (self.fetcher.store.clone(), self.id, origin.to_owned());
        blocking(move || part.commit(&store, &id, &origin)).await
    }
}

/// Where an answer's bytes start, and how many the artifact has.
fn start_and_total(response: &Response, offset: u64) -> Result<(u64, u64), String> {
    let text = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
    if response.status() == StatusCode::PARTIAL_CONTENT {
        let range = text(header::CONTENT_RANGE).and_then(|t| t.strip_prefix("bytes ")).unwrap_or_default();
        let parsed = range.split_once('/').and_then(|(span, total)| {
            let (first, last) = span.split_once('-')?;
            Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, total.parse::<u64>().ok()?))
        });
        return match parsed {
            Some((first, last, total)) if first == offset && last.checked_add(1) == Some(total) => {
                Ok((first, total))
            }
            _ => Err(format!("asked for bytes from {offset} to the end, it answers with range {range:?}")),
        };
    }
    if response.status() != StatusCode::OK {
        return Err(format!("expected 200 or 206, it answers {}", response.status()));
    }
    match text(header::CONTENT_LENGTH).and_then(|t| t.parse().ok()) {
        Some(total) => Ok((0, total)),
        None => Err("it does not say how many bytes come".into()),
    }
}
