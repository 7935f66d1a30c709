//! Unix sockets of a node for its owner: each is a pipe to one internal service. The
//! file's mode is the key.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use gitstratum_core::NodeId;
use gitstratum_identity::{Dialer, Service};
use gitstratum_process::{Drain, TaskGroup};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};

/// Most pipes at once.
const PIPES_MAX: usize = 64;
/// How long a caller may take to name a node.
const NAMED_WITHIN: Duration = Duration::from_secs(5);

/// Makes a socket for this user only; one that a dead process left is replaced.
pub(super) fn listen(path: &Path) -> Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("replacing {}", path.display())),
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("listening on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("protecting {}", path.display()))?;
    Ok(listener)
}

/// Joins every connection with one to `service`, until the drain starts.
pub(super) async fn pipe(
    listener: UnixListener,
    dialer: Arc<dyn Dialer>,
    (node, service): (NodeId, Service),
    drain: Drain,
) {
    let dial = move || {
        let dialer = Arc::clone(&dialer);
        async move { dialer.dial(node, service).await.ok() }
    };
    join_each(listener, dial, drain).await;
}

/// Joins every connection with one to `service` of the node whose id comes first, 8 bytes
/// big-endian, until the drain starts.
pub(super) async fn relay(
    listener: UnixListener,
    dialer: Arc<dyn Dialer>,
    service: Service,
    drain: Drain,
) {
    let relayed = move |mut local: UnixStream| {
        let dialer = Arc::clone(&dialer);
        async move {
            let named = tokio::time::timeout(NAMED_WITHIN, local.read_u64()).await;
            let Ok(Ok(node)) = named else { return };
            join(local, async { dialer.dial(NodeId(node), service).await.ok() }).await;
        }
    };
    serve_each(listener, relayed, drain).await;
}

/// Joins every connection with one that `dial` makes, until the drain starts. Where it makes
/// none, the caller's is closed.
pub(super) async fn join_each<D, F, S>(listener: UnixListener, dial: D, drain: Drain)
where
    D: Fn() -> F,
    F: Future<Output = Option<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serve_each(listener, move |local| join(local, dial()), drain).await;
}

/// Does `serve` for every connection, a bounded number at a time, until the drain starts.
async fn serve_each<S, F>(listener: UnixListener, serve: S, drain: Drain)
where
    S: Fn(UnixStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut pipes = TaskGroup::new("local pipes");
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.started() => return,
            _ = pipes.next(), if pipes.len() >= PIPES_MAX => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((local, _)) => pipes.spawn(serve(local)),
            Err(error) => tracing::warn!(%error, "a local connection was not accepted"),
        }
    }
}

async fn join<S>(mut local: UnixStream, dialled: impl Future<Output = Option<S>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(mut inner) = dialled.await else { return };
    if let Err(error) = tokio::io::copy_bidirectional(&mut local, &mut inner).await {
        tracing::debug!(%error, "a local pipe broke");
    }
}
