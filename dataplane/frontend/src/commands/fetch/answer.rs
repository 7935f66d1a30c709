use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_client::manifest::Pack;
use gitstratum_core::{ErrorKind, Version};
use gitstratum_git::pktline::{Band, KEEP_ALIVE, SideBand};
use gitstratum_git::protocol::Fetch;
use gitstratum_proto::metadata::v1::FetchPlan;

use crate::Error;
use crate::conversation::{Caller, Conversation};
use crate::frontend::Frontend;
use crate::plan::{Selection, expand};
use crate::stream::{Deltas, Framed, send};
use crate::target::Target;
use crate::view::Purpose;

/// How often a client that waits is told that we still work.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);

/// The pack of a plan, in frames; returns how many objects it has. After a failure the stream
/// ends without its flush.
pub(super) async fn send_pack(
    frontend: &Arc<Frontend>,
    conversation: &mut Conversation,
    target: &Target,
    fetch: &Fetch,
    plan: &FetchPlan,
) -> Result<u64, Error> {
    let caller = Arc::clone(&conversation.caller);
    let out = &mut Framed::new(&mut conversation.output, fetch.side_band);
    let choosing = choose(frontend, &caller, target, fetch, plan);
    let (packs, selection) = with_keep_alive(out, fetch.side_band, choosing).await?;
    if fetch.progress {
        let text = format!("Sending {} objects\n", selection.count);
        out.tell(Band::Progress, &text).await.map_err(gone)?;
    }
    let deltas = Deltas { by_offset: fetch.shape.ofs_delta };
    send(&frontend.reader, &packs, target.format, &selection, deltas, out).await?;
    out.flush().await.map_err(gone)?;
    if out_has_frames(fetch.side_band) {
        out.bare(Bytes::from_static(b"0000")).await.map_err(gone)?;
    }
    Ok(u64::from(selection.count))
}

/// The packs that the plan names, at its version, and the entries to send of them.
async fn choose(
    frontend: &Arc<Frontend>,
    caller: &Caller,
    target: &Target,
    fetch: &Fetch,
    plan: &FetchPlan,
) -> Result<(Arc<Vec<Arc<Pack>>>, Selection), Error> {
    let view = frontend.views.current(caller, target, Purpose::Fetch).await?;
    if view.manifest_version < Version(plan.manifest_version) {
        return Err(Error::new(
            ErrorKind::Unavailable,
            "the repository changed meanwhile; try again",
        ));
    }
    let packs = Arc::clone(&view.packs);
    let selection = expand(&frontend.reader, &packs, plan, fetch.shape.filter).await?;
    Ok((packs, selection))
}

async fn with_keep_alive<T>(
    out: &mut Framed<'_>,
    framing: SideBand,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = work.as_mut() => return done,
            () = tokio::time::sleep(KEEP_ALIVE_EVERY) => {
                if out_has_frames(framing) {
                    out.bare(Bytes::from_static(KEEP_ALIVE)).await.map_err(gone)?;
                }
            }
        }
    }
}

fn out_has_frames(framing: SideBand) -> bool {
    framing.payload_bytes_max().is_some()
}

fn gone(source: crate::conversation::OutputError) -> Error {
    Error::caused(source.kind(), "the client has gone", source)
}
