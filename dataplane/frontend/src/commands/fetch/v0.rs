use std::sync::Arc;

use bytes::BytesMut;
use gitstratum_git::protocol::v0::{Session, Step, shallow_info};
use gitstratum_git::protocol::{Exchange, Limits, Next, Readiness};

use super::answer::send_pack;
use super::ask::{PlanWhen, ask, ids};
use super::v2::gone;
use crate::Error;
use crate::commands::{Served, place};
use crate::conversation::{Conversation, Packets, Reads, Rounds};
use crate::frontend::Frontend;
use crate::metric_names::Operation;
use crate::target::Target;

/// A v0 or v1 conversation after its advertisement.
pub(crate) async fn serve_v0(
    frontend: &Arc<Frontend>,
    conversation: &mut Conversation,
    target: &Target,
) -> Result<Served, Error> {
    let exchange = match conversation.rounds {
        Rounds::Stateful => Exchange::Stateful,
        Rounds::Stateless => Exchange::Stateless,
    };
    let mut session = Session::new(target.format, exchange, Limits::default());
    let mut packets = Packets::new();
    let mut judged = Judged::NotYet;
    while let Some(packet) = packets.next(&mut conversation.input).await? {
        match session.accept(packet)? {
            Step::More => continue,
            Step::Goodbye => break,
            Step::Wants => tell_shallow(frontend, conversation, target, &session).await?,
            Step::Round if judged == Judged::Wants && !session.brings_haves() => {
                if nothing_new(conversation, &mut session).await? == Next::EndOfResponse {
                    break;
                }
            }
            Step::Round | Step::Done => {
                // Held while we work, not while the client thinks: one that never comes to
                // an end takes nobody's place.
                let (_place, ticket) = place(frontend, target).await?;
                let answering = ticket.keep(round(frontend, conversation, target, &mut session));
                if let Some(served) = Box::pin(answering).await? {
                    return Ok(served);
                }
                judged = Judged::Wants;
            }
        }
        packets.end_message();
    }
    Ok(Served::new(Operation::Fetch))
}

/// What the partition has been asked of this conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    /// Nothing yet.
    NotYet,
    /// Its wants, which may be had.
    Wants,
}

/// Answers a round without haves: what is known already is all there is to say, and nobody
/// need be asked (bad input 6).
async fn nothing_new(
    conversation: &mut Conversation,
    session: &mut Session,
) -> Result<Next, Error> {
    let mut out = BytesMut::new();
    let next = session.answer(&[], Readiness::MoreHaves, &mut out);
    conversation.output.send(out.freeze()).await.map_err(gone)?;
    Ok(next)
}

/// The client waits for its new border before it negotiates.
async fn tell_shallow(
    frontend: &Arc<Frontend>,
    conversation: &mut Conversation,
    target: &Target,
    session: &Session,
) -> Result<(), Error> {
    if session.fetch().shape.deepen.is_none() {
        return Ok(());
    }
    let _place = frontend.fetches.enter(target.id()).await?;
    let caller = Arc::clone(&conversation.caller);
    let round = ask(frontend, &caller, target, session.fetch(), PlanWhen::Now).await?;
    let plan = round.plan.unwrap_or_default();
    let mut out = BytesMut::new();
    shallow_info(&mut out, &ids("shallow", &plan.shallow)?, &ids("unshallow", &plan.unshallow)?);
    conversation.output.send(out.freeze()).await.map_err(gone)
}

/// Answers a round, or `done`; a [`Served`] ends the conversation.
async fn round(
    frontend: &Arc<Frontend>,
    conversation: &mut Conversation,
    target: &Target,
    session: &mut Session,
) -> Result<Option<Served>, Error> {
    let when = if session.fetch().done { PlanWhen::Now } else { PlanWhen::Ready };
    let caller = Arc::clone(&conversation.caller);
    let round = ask(frontend, &caller, target, session.fetch(), when).await?;
    let mut out = BytesMut::new();
    let next = session.answer(&round.common, round.readiness, &mut out);
    conversation.output.send(out.freeze()).await.map_err(gone)?;
    match next {
        Next::MoreHaves => Ok(None),
        Next::EndOfResponse => Ok(Some(Served::new(Operation::Fetch))),
        Next::Pack => {
            let fetch = session.fetch().clone();
            conversation.output.set_reads(Reads::pack(fetch.side_band));
            let plan = match round.plan {
                Some(plan) => plan,
                None => {
                    let last = ask(frontend, &caller, target, &fetch, PlanWhen::Now).await?;
                    last.plan.unwrap_or_default()
                }
            };
            let mut served = Served::new(Operation::Fetch);
            served.objects = send_pack(frontend, conversation, target, &fetch, &plan).await?;
            Ok(Some(served))
        }
    }
}
