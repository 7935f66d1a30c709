use std::sync::Arc;

use bytes::BytesMut;
use gitstratum_core::ErrorKind;
use gitstratum_git::protocol::v2::{acknowledgments, packfile_header, shallow_info};
use gitstratum_git::protocol::{Fetch, Next, Readiness};

use super::answer::send_pack;
use super::ask::{PlanWhen, ask, ids};
use crate::Error;
use crate::commands::Served;
use crate::conversation::{Conversation, OutputError, Reads};
use crate::frontend::Frontend;
use crate::metric_names::Operation;
use crate::target::Target;

/// One `fetch` command of protocol v2, answered whole.
pub(crate) async fn serve_v2(
    frontend: &Arc<Frontend>,
    conversation: &mut Conversation,
    target: &Target,
    request: Fetch,
) -> Result<Served, Error> {
    let when = match (request.negotiates(), request.wait_for_done) {
        (false, _) => PlanWhen::Now,
        (true, false) => PlanWhen::Ready,
        (true, true) => PlanWhen::Later,
    };
    let caller = Arc::clone(&conversation.caller);
    let round = ask(frontend, &caller, target, &request, when).await?;
    let readiness = match round.plan {
        Some(_) => round.readiness,
        None => Readiness::MoreHaves,
    };
    let mut out = BytesMut::new();
    let next = acknowledgments(&mut out, &request, &round.common, readiness);
    let mut served = Served::new(Operation::Fetch);
    let Some(plan) = round.plan.filter(|_| next == Next::Pack) else {
        conversation.output.send(out.freeze()).await.map_err(gone)?;
        return Ok(served);
    };
    if request.shape.has_shallow_info() {
        let (shallow, unshallow) =
            (ids("shallow", &plan.shallow)?, ids("unshallow", &plan.unshallow)?);
        shallow_info(&mut out, &shallow, &unshallow);
    }
    packfile_header(&mut out);
    conversation.output.send(out.freeze()).await.map_err(gone)?;
    conversation.output.set_reads(Reads::pack(request.side_band));
    served.objects = send_pack(frontend, conversation, target, &request, &plan).await?;
    // Another command may follow.
    conversation.output.set_reads(Reads::Packets);
    Ok(served)
}

pub(super) fn gone(source: OutputError) -> Error {
    Error::caused(ErrorKind::Unavailable, "the client has gone", source)
}
