//! Lets a simulation hold back, lose and repeat pushes on their way to a partition (P-C3), and
//! hear what sessions tell.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::PartitionId;
use gitstratum_proto::metadata::v1::{SessionRenewal, UpdateRefsRequest};

use super::{Error, Partitions};

/// How long a push that was lost without a word is waited for.
const SILENT_FOR: Duration = Duration::from_secs(15);

/// What becomes of a push on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Sent,
    /// It does not, and the sender is told so.
    Lost,
    /// It does not, and nobody says a word.
    Silent,
}

type Tap = Arc<dyn Fn(PartitionId, &UpdateRefsRequest) -> Fate>;
type Listener = Arc<dyn Fn(&[SessionRenewal])>;

thread_local! {
    static TAP: RefCell<Option<Tap>> = const { RefCell::new(None) };
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// From now on `tap` decides what becomes of each push that is sent on this thread.
pub fn set(tap: Tap) {
    TAP.with_borrow_mut(|slot| *slot = Some(tap));
}

/// From now on `listener` hears of the renewals that are sent on this thread.
pub fn listen(listener: Listener) {
    LISTENER.with_borrow_mut(|slot| *slot = Some(listener));
}

pub(super) fn hear(renewals: &[SessionRenewal]) {
    if let Some(listener) = LISTENER.with_borrow(Clone::clone) {
        listener(renewals);
    }
}

fn ask(partition: PartitionId, request: &UpdateRefsRequest) -> Fate {
    let tap = TAP.with_borrow(Clone::clone);
    tap.map_or(Fate::Sent, |tap| tap(partition, request))
}

/// Waits for what becomes of `request`.
pub(super) async fn pass(partition: PartitionId, request: &UpdateRefsRequest) -> Result<(), Error> {
    match ask(partition, request) {
        Fate::Sent => return Ok(()),
        Fate::Lost => {}
        Fate::Silent => tokio::time::sleep(SILENT_FOR).await,
    }
    Err(Error::Deadline { partition })
}

impl Partitions {
    /// Sends a push that was held back, past the tap.
    ///
    /// # Errors
    /// As [`Partitions::update_refs`].
    pub async fn update_refs_late(
        &self,
        partition: PartitionId,
        request: UpdateRefsRequest,
    ) -> Result<gitstratum_proto::metadata::v1::UpdateRefsResponse, Error> {
        self.send_update(partition, request).await
    }
}
