//! Uploads: for a customer whose own machine cannot be reached.

use super::{
    peer::{self, Failure, Peer},
    Fetcher, Progress,
};
use crate::{
    local::{blocking, PIECE_BYTES},
    signing, ArtifactId, ManifestLimits, StoreError, Url,
};
use reqwest::{header, Body, Method};
use std::{fs::File, time::Duration};
use tokio::{
    io::AsyncReadExt,
    sync::watch,
    time::{sleep, sleep_until, timeout, Instant},
};

/// A server's disk is expected to sync at least this many bytes in a second.
const SYNC_BYTES_PER_SECOND: u64 = 8 << 20;

impl Fetcher {
    /// Uploads a stored artifact to a peer that lets this account write it. Does nothing if the peer has it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is not stored here, [`StoreError::PushRefused`] with the peer's reason,
    /// [`StoreError::InvalidPeer`].
    pub async fn push(
        &self,
        id: &ArtifactId,
        peer: &Url,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), StoreError> {
        let target = Peer { url: peer.clone(), audience: signing::audience(peer)? };
        let mut backoff = self.limits.backoff_start;
        let mut round = 0;
        loop {
            let (reason, wait) = match self.push_once(id, &target, progress).await? {
                None => return Ok(()),
                Some(Failure::Never { reason } | Failure::OutOfRange { reason }) => (reason, None),
                Some(Failure::Later { reason, wait }) => (reason, Some(wait.unwrap_or(backoff).max(backoff))),
            };
            round += 1;
            match wait {
                Some(wait) if round < self.limits.rounds => sleep(wait.min(self.limits.backoff_max)).await,
                _ => return Err(StoreError::PushRefused { peer: peer.to_string(), id: *id, reason }),
            }
            backoff = (backoff * 2).min(self.limits.backoff_max);
        }
    }

    /// Uploads a stored directory: the manifest first, by which the peer knows which files to take, then the files.
    ///
    /// # Errors
    /// As [`Fetcher::push`], and [`StoreError::Manifest`] if the artifact is no directory.
    pub async fn push_dir(
        &self,
        id: &ArtifactId,
        peer: &Url,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), StoreError> {
        let (store, root) = (self.store.clone(), *id);
        let manifest = blocking(move || store.manifest(&root, &ManifestLimits::default())).await?;
        self.push(id, peer, &|_| {}).await?;
        let total_bytes = manifest.total_bytes();
        let mut before = 0u64;
        for entry in manifest.files() {
            let report = |p: Progress| {
                progress(Progress { id: *id, done_bytes: before.saturating_add(p.done_bytes), total_bytes });
            };
            self.push(&entry.blake3, peer, &report).await?;
            before += entry.size;
            progress(Progress { id: *id, done_bytes: before, total_bytes });
        }
        Ok(())
    }

    async fn push_once(
        &self,
        id: &ArtifactId,
        target: &Peer,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Option<Failure>, StoreError> {
        let (store, wanted) = (self.store.clone(), *id);
        let (file, size) = blocking(move || store.open_artifact(&wanted)).await?;
        // A peer that has the artifact says so here; any other answer is left to the upload itself.
        let head = peer::request(self, target, Method::HEAD, id);
        if peer::send(head, self.limits.header_timeout).await.is_ok() {
            progress(Progress { id: *id, done_bytes: size, total_bytes: size });
            return Ok(None);
        }
        let (sent, mut seen) = watch::channel(0u64);
        let request = peer::request(self, target, Method::PUT, id)
            .header(header::CONTENT_LENGTH, size)
            .body(Body::wrap_stream(read_file(file, sent)));
        let mut sending = Box::pin(request.send());
        // Once the body is out the peer still syncs it to disk.
        let patience = self.limits.header_timeout + Duration::from_secs(size / SYNC_BYTES_PER_SECOND);
        let mut body_out = false;
        let mut until = Instant::now() + self.limits.header_timeout.max(self.limits.window);
        let answer = loop {
            tokio::select! {
                answer = &mut sending => break answer,
                moved = seen.changed(), if !body_out => match moved {
                    Ok(()) => {
                        until = Instant::now() + self.limits.window;
                        let done_bytes = *seen.borrow_and_update();
                        progress(Progress { id: *id, done_bytes, total_bytes: size });
                    }
                    Err(_) => {
                        body_out = true;
                        until = Instant::now() + patience;
                    }
                },
                () = sleep_until(until) => return Ok(Some(Failure::later("it stopped taking bytes"))),
            }
        };
        Ok(match answer {
            Err(e) => Some(Failure::later(peer::describe(&e))),
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(
                timeout(self.limits.header_timeout, peer::refusal(response, self.limits.header_timeout))
                    .await
                    .unwrap_or_else(|_| Failure::later("it refused and gave no reason in time")),
            ),
        })
    }
}

/// A file's bytes, reporting how many were handed out. The reporter is dropped with the last one.
fn read_file(
    file: File,
    sent: watch::Sender<u64>,
) -> impl futures::Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static {
    let state = (tokio::fs::File::from_std(file), sent);
    futures::stream::try_unfold(state, |(mut file, sent)| async move {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        (&mut file).take(PIECE_BYTES as u64).read_buf(&mut piece).await?;
        if piece.is_empty() {
            return Ok(None);
        }
        sent.send_modify(|n| *n += piece.len() as u64);
        Ok(Some((piece, (file, sent))))
    })
}
