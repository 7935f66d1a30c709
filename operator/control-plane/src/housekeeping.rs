use std::sync::Arc;
use std::time::Duration;

use gitstratum_consensus::Role;
use gitstratum_process::Drain;

use crate::plane::Plane;

/// How often held-back audit lines are looked at (S41: within a second).
const TICK: Duration = Duration::from_millis(500);
/// Ticks between two looks at old audit lines: 10 minutes.
const TICKS_PER_PRUNE: u64 = 1_200;

/// What the leader does beside answering calls, until `drain` starts.
pub(crate) async fn run(plane: Arc<Plane>, drain: Drain) {
    let mut status = plane.group.watch();
    let mut tick = tokio::time::interval(TICK);
    let mut ticks = 0;
    loop {
        let is_leader = status.borrow_and_update().role == Role::Leader;
        plane.metrics.raft_leader.set(i64::from(is_leader));
        tokio::select! {
            biased;
            () = drain.started() => return,
            // A group that has stopped says no more; its calls fail by themselves.
            Ok(()) = status.changed() => {}
            _ = tick.tick() => {
                if is_leader {
                    keep(&plane, ticks).await;
                }
                ticks += 1;
            }
        }
    }
}

async fn keep(plane: &Plane, ticks: u64) {
    plane.record_overdue_refusals().await;
    if ticks.is_multiple_of(TICKS_PER_PRUNE)
        && let Err(error) = plane.prune_audit().await
    {
        tracing::warn!(%error, "old audit lines could not be dropped");
    }
}
