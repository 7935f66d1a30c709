//! A push: what it asks is read, its pack taken in, its refs moved by one entry of the
//! partition's log, and what became of each told to the client.
//!
//! **Invariant**: an `ng` is said only of what will never become visible; what is not known
//! is told as not known (S11). **Absence**: whether an object may be seen and a ref may be
//! moved is the leader's to decide; here is only what no push may do.

mod partition;
mod policy;
mod request;
mod serve;
mod settle;
mod twins;
mod verdict;
mod voice;

use std::sync::Arc;

use crate::Error;
use crate::commands::{Phase, Served, advertise};
use crate::conversation::Conversation;
use crate::frontend::Frontend;
use crate::ingest::Context;
use crate::metric_names::Operation;
use crate::target::Target;
use crate::view::{Purpose, View};
use partition::Leader;
use serve::Push;

/// Advertises, takes the commands and the pack, reports; as much of it as `phase` says.
///
/// # Errors
/// What the client has not been told yet.
pub(crate) async fn run(
    frontend: &Arc<Frontend>,
    conversation: &mut Conversation,
    target: &Target,
    phase: Phase,
) -> Result<Served, Error> {
    let mut held = frontend.views.held(target);
    if phase != Phase::Serve {
        let (view, served) = advertise(frontend, conversation, target, phase).await?;
        if phase == Phase::Advertise {
            return Ok(served);
        }
        held = Some(view);
    }
    let context = Context::of(frontend);
    let snapshot = frontend.feed.current();
    let caller = Arc::clone(&conversation.caller);
    let partition = Leader { frontend, caller: &caller, target };
    let push = Push { context: &context, partition: &partition, layout: snapshot.layout(), target };
    let served = push.serve(conversation, held).await?;
    if served.failure.as_ref().is_some_and(serve::is_alarm) {
        frontend.metrics.collision();
    }
    Ok(served)
}

async fn advertise(
    frontend: &Frontend,
    conversation: &mut Conversation,
    target: &Target,
    phase: Phase,
) -> Result<(Arc<View>, Served), Error> {
    let caller = Arc::clone(&conversation.caller);
    let view = frontend.views.current(&caller, target, Purpose::Push).await?;
    let mut served = Served::new(Operation::Advertise);
    served.refs = advertise::receive_pack(conversation, target, &view, phase).await?;
    Ok((view, served))
}
