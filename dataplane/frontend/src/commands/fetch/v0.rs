use std::sync::Arc;

use bytes::BytesMut;
use gitstratum_core::ErrorKind;
use gitstratum_git::pktline::{self, Decoder};
use gitstratum_git::protocol::v0::{Session, Step, shallow_info};
use gitstratum_git::protocol::{Exchange, Limits, Next};

use super::answer::send_pack;
use super::ask::{PlanWhen, ask, ids};
use super::v2::gone;
use crate::Error;
use crate::commands::Served;
use crate::conversation::{Conversation, Rounds};
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
    let mut decoder = Decoder::new(pktline::Limits::default());
    let mut buffer = BytesMut::new();
    loop {
        let Some(packet) = decoder.decode(&mut buffer).map_err(wrong)? else {
            if conversation.input.fill(&mut buffer).await.map_err(broken)? {
                continue;
            }
            decoder.finish(&buffer).map_err(wrong)?;
            return Ok(Served::new(Operation::Fetch));
        };
        match session.accept(packet).map_err(wrong)? {
            Step::More => {}
            Step::Goodbye => return Ok(Served::new(Operation::Fetch)),
            Step::Wants => tell_shallow(frontend, conversation, target, &session).await?,
            Step::Round | Step::Done => {
                if let Some(served) = round(frontend, conversation, target, &mut session).await? {
                    return Ok(served);
                }
            }
        }
    }
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
            let plan = match round.plan {
                Some(plan) => plan,
                None => {
                    let last = ask(frontend, &caller, target, &fetch, PlanWhen::Now).await?;
                    last.plan.unwrap_or_default()
                }
            };
            let sent = send_pack(frontend, conversation, target, &fetch, &plan).await;
            let mut served = Served::new(Operation::Fetch);
            match sent {
                Ok(objects) => served.objects = objects,
                Err(failure) => served.failure = Some(failure),
            }
            Ok(Some(served))
        }
    }
}

fn wrong(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = source.to_string();
    Error::caused(ErrorKind::Invalid, message, source)
}

fn broken(source: crate::conversation::InputError) -> Error {
    Error::caused(source.kind(), "the request broke off", source)
}
