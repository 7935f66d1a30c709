//! Protocol v2: commands, one for each HTTP request, as many as the client likes over
//! SSH.

use std::sync::Arc;

use gitstratum_core::ErrorKind;
use gitstratum_git::protocol::Limits;
use gitstratum_git::protocol::v2::{Parser, Request, Step};

use super::{Served, fetch, ls_refs, place};
use crate::Error;
use crate::conversation::{Conversation, Packets, Rounds};
use crate::frontend::Frontend;
use crate::metric_names::Operation;
use crate::target::Target;

/// Most commands of one connection: enough for any negotiation, and an end for one that
/// never comes to one (bad input 34).
const COMMANDS_MAX: usize = 512;

/// Reads commands and answers them until the client has no more. Returns what the last
/// one did.
pub(super) async fn serve(
    frontend: &Arc<Frontend>,
    conversation: &mut Conversation,
    target: &Target,
) -> Result<Served, Error> {
    let mut packets = Packets::new();
    let mut parser = Parser::new(target.format, Limits::default());
    let mut served = Served::new(Operation::Advertise);
    for _ in 0..COMMANDS_MAX {
        let Some(request) = next_request(&mut packets, &mut parser, conversation).await? else {
            return Ok(served);
        };
        served = run(frontend, conversation, target, request).await?;
        if conversation.rounds == Rounds::Stateless {
            return Ok(served);
        }
    }
    Err(Error::new(ErrorKind::Invalid, format!("more than {COMMANDS_MAX} commands")))
}

async fn next_request(
    packets: &mut Packets,
    parser: &mut Parser,
    conversation: &mut Conversation,
) -> Result<Option<Request>, Error> {
    loop {
        let Some(packet) = packets.next(&mut conversation.input).await? else {
            if parser.is_idle() {
                return Ok(None);
            }
            return Err(Error::new(ErrorKind::Invalid, "the request ended inside a command"));
        };
        match parser.accept(packet)? {
            Step::More => {}
            Step::Request(request) => {
                packets.end_message();
                return Ok(Some(request));
            }
            Step::Goodbye => return Ok(None),
        }
    }
}

async fn run(
    frontend: &Arc<Frontend>,
    conversation: &mut Conversation,
    target: &Target,
    request: Request,
) -> Result<Served, Error> {
    match request {
        Request::LsRefs(request) => ls_refs::run(frontend, conversation, target, &request).await,
        Request::Fetch(request) => {
            let (_place, ticket) = place(frontend, target).await?;
            let fetching = fetch::serve_v2(frontend, conversation, target, *request);
            Box::pin(ticket.keep(fetching)).await
        }
    }
}
