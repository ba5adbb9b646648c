//! How a program that follows the chain is asked to stop.

use tokio::signal::{
    ctrl_c,
    unix::{signal, SignalKind},
};

/// Resolves at the first SIGINT or SIGTERM.
pub async fn interruption() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        // Without a handler a SIGTERM ends the program, as it would anyway.
        Err(_) => drop(ctrl_c().await),
    }
}
