use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_client::manifest::Pack;
use gitstratum_core::{ErrorKind, Version};
use gitstratum_git::pktline::{Band, KEEP_ALIVE, SideBand};
use gitstratum_git::protocol::Fetch;
use gitstratum_proto::metadata::v1::FetchPlan;

use super::ask::{PlanWhen, ask};
use crate::Error;
use crate::conversation::{Caller, Conversation};
use crate::frontend::Frontend;
use crate::plan::{Selection, expand};
use crate::stream::{Deltas, Framed, send};
use crate::target::Target;
use crate::view::Purpose;

/// Times that a fetch is planned while packs are compacted beside it.
const PLANS_MAX: usize = 4;
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

/// The packs that the plan names, at its version or a later one, and the entries to send of them.
/// When a pack that it names was compacted meanwhile it is planned again (S35).
async fn choose(
    frontend: &Arc<Frontend>,
    caller: &Caller,
    target: &Target,
    fetch: &Fetch,
    plan: &FetchPlan,
) -> Result<(Arc<Vec<Arc<Pack>>>, Selection), Error> {
    let changed = || {
        let message = "the repository changed meanwhile; try again";
        Error::new(ErrorKind::Unavailable, message)
    };
    let mut planned_again: Option<FetchPlan> = None;
    for _ in 0..PLANS_MAX {
        let plan = planned_again.as_ref().unwrap_or(plan);
        let view = frontend.views.current(caller, target, Purpose::Fetch).await?;
        if view.manifest_version < Version(plan.manifest_version) {
            return Err(changed());
        }
        if names_only(plan, &view.packs) {
            let packs = Arc::clone(&view.packs);
            let selection = expand(&frontend.reader, &packs, plan, fetch.shape.filter).await?;
            return Ok((packs, selection));
        }
        let round = ask(frontend, caller, target, fetch, PlanWhen::Now).await?;
        planned_again = Some(round.plan.ok_or_else(changed)?);
    }
    Err(changed())
}

/// Whether all packs that the plan names are among `packs`.
fn names_only(plan: &FetchPlan, packs: &[Arc<Pack>]) -> bool {
    let is_live = |id: &[u8]| packs.iter().any(|pack| pack.id.0[..] == *id);
    plan.packs.iter().all(|named| is_live(&named.pack_id))
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
