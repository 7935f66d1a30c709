use std::sync::Arc;

use futures::future::BoxFuture;
use gitstratum_client::metadata;
use gitstratum_core::{PushNumber, SessionId};
use gitstratum_proto::metadata::v1::{UpdateRefsRequest, UpdateRefsResponse};

use crate::Error;
use crate::conversation::Caller;
use crate::frontend::Frontend;
use crate::session::PushTicket;
use crate::target::Target;
use crate::view::{Purpose, View};

/// What a push asks of its repository's partition. A trait so that a test can answer and
/// count the calls.
pub(super) trait Partition: Send + Sync {
    /// Refs and manifest as they are now: one call.
    fn view(&self) -> BoxFuture<'_, Result<Arc<View>, Error>>;

    /// The next number of the standing session: no call (S10).
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Ticket>, Error>>;

    /// Applies the push: one call. Sent again with the same attempt it is applied once (S11).
    fn update(
        &self,
        request: UpdateRefsRequest,
    ) -> BoxFuture<'_, Result<UpdateRefsResponse, metadata::Error>>;
}

/// A push's session and number; the number is done when it is dropped.
pub(super) trait Ticket: Send + Sync {
    fn session(&self) -> SessionId;
    fn number(&self) -> PushNumber;
    /// All numbers below are done.
    fn floor(&self) -> PushNumber;
    /// To be asked right before the push is sent: whether the session is still good.
    fn check(&self) -> Result<(), Error>;
    /// Pends until the session is over.
    fn lost(&self) -> BoxFuture<'_, ()>;
}

/// The partition that a repository is in.
pub(super) struct Leader<'a> {
    pub(super) frontend: &'a Frontend,
    pub(super) caller: &'a Caller,
    pub(super) target: &'a Target,
}

impl Partition for Leader<'_> {
    fn view(&self) -> BoxFuture<'_, Result<Arc<View>, Error>> {
        Box::pin(self.frontend.views.current(self.caller, self.target, Purpose::Push))
    }

    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Ticket>, Error>> {
        Box::pin(async {
            let ticket = self.frontend.sessions.begin_push(self.target.partition()).await?;
            Ok(Box::new(ticket) as Box<dyn Ticket>)
        })
    }

    fn update(
        &self,
        request: UpdateRefsRequest,
    ) -> BoxFuture<'_, Result<UpdateRefsResponse, metadata::Error>> {
        Box::pin(self.frontend.partitions.update_refs(self.target.partition(), request))
    }
}

impl Ticket for PushTicket {
    fn session(&self) -> SessionId {
        self.session()
    }

    fn number(&self) -> PushNumber {
        self.number()
    }

    fn floor(&self) -> PushNumber {
        self.floor()
    }

    fn check(&self) -> Result<(), Error> {
        self.check()
    }

    fn lost(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.lost())
    }
}
