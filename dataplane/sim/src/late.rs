//! Pushes that are held back on their way to a partition, lost, or arrive a second time, also
//! when the process that sent them is long gone (P-C3).

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gitstratum_client::metadata::Partitions;
use gitstratum_client::metadata::tap::{self, Fate};
use gitstratum_core::PartitionId;
use gitstratum_metadata::testing::tap as held;
use gitstratum_proto::metadata::v1::UpdateRefsRequest;
use parking_lot::Mutex;
use tokio::runtime::{Handle, Id};

use crate::clock::elapsed;
use crate::events;
use crate::workload::{BACK, HELD, HELD_FOR};
use crate::world::Draw;

/// One push in so many does not simply arrive.
const EVERY: u64 = 20;
/// How late a copy comes at most, in milliseconds; few are later than their session lives.
const SOON_MAX: u64 = 2_000;
const LATE_MAX: u64 = 25_000;
/// More of those that lean on what may go: one in so many, as late as a drop run takes (S15).
const EVERY_RETURN: u64 = 3;
const RETURN_MAX: u64 = 6_000;
/// How often a process looks for what is due.
const LOOK_EVERY: Duration = Duration::from_millis(50);

thread_local! {
    static ALL: RefCell<Vec<(Id, Weak<Late>)>> = const { RefCell::new(Vec::new()) };
}

/// What one node has yet to send.
#[derive(Debug)]
pub(crate) struct Late {
    draw: Draw,
    waiting: Mutex<Vec<(Duration, PartitionId, UpdateRefsRequest)>>,
}

impl Late {
    pub(crate) fn new(draw: Draw) -> Arc<Self> {
        Arc::new(Self { draw, waiting: Mutex::default() })
    }

    /// The node runs on `runtime` now.
    pub(crate) fn is_of(self: &Arc<Self>, runtime: Id) {
        let here = (runtime, Arc::downgrade(self));
        ALL.with_borrow_mut(|all| {
            all.retain(|(_, late)| late.strong_count() > 0 && !late.ptr_eq(&here.1));
            all.push(here);
        });
    }

    fn judge(&self, partition: PartitionId, request: &UpdateRefsRequest) -> Fate {
        let is_return = is_of(request, BACK);
        if self.draw.below(if is_return { EVERY_RETURN } else { EVERY }) > 0 {
            return Fate::Sent;
        }
        let late_max = if self.draw.below(2) == 0 { SOON_MAX } else { LATE_MAX };
        let late_max = if is_return { RETURN_MAX } else { late_max };
        let at = elapsed() + Duration::from_millis(self.draw.below(late_max));
        let fate = [Fate::Sent, Fate::Lost, Fate::Silent][self.draw.index(3)];
        let (session, number) = (request.session, request.push_number);
        events::story(|| {
            format!("push {number} of session {session} is {fate:?}, and comes at {at:?}")
        });
        self.waiting.lock().push((at, partition, request.clone()));
        fate
    }

    fn take_due(&self) -> Vec<(PartitionId, UpdateRefsRequest)> {
        let now = elapsed();
        let mut waiting = self.waiting.lock();
        let (due, later) =
            std::mem::take(&mut *waiting).into_iter().partition(|(at, ..)| *at <= now);
        *waiting = later;
        let due: Vec<_> = due;
        due.into_iter().map(|(_, partition, request)| (partition, request)).collect()
    }

    /// Sends what is due, as whoever this process is.
    pub(crate) async fn run(self: Arc<Self>, partitions: Partitions) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            for (partition, request) in self.take_due() {
                let (session, number) = (request.session, request.push_number);
                let answer = partitions.update_refs_late(partition, request).await;
                let answer = answer.map(|answer| (answer.refusal, answer.message));
                events::story(|| {
                    format!("push {number} of session {session} came late: {answer:?}")
                });
            }
        }
    }
}

fn is_of(request: &UpdateRefsRequest, names: &str) -> bool {
    request.commands.iter().any(|command| command.name.starts_with(names.as_bytes()))
}

/// From now on every push arrives as it is sent, and is decided at once.
pub(crate) fn calm() {
    tap::set(Arc::new(|_, _| Fate::Sent));
    held::set(Arc::new(|_| Duration::ZERO));
}

/// Has pushes on this thread go through the node that sends them.
pub(crate) fn tap() {
    ALL.with_borrow_mut(Vec::clear);
    held::set(Arc::new(|request| if is_of(request, HELD) { HELD_FOR } else { Duration::ZERO }));
    tap::set(Arc::new(|partition, request| {
        let Ok(here) = Handle::try_current() else { return Fate::Sent };
        let late = ALL.with_borrow(|all| {
            let found = all.iter().find(|(runtime, _)| *runtime == here.id());
            found.and_then(|(_, late)| late.upgrade())
        });
        late.map_or(Fate::Sent, |late| late.judge(partition, request))
    }));
}
