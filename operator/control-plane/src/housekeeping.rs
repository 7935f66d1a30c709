use std::sync::Arc;
use std::time::Duration;

use gitstratum_consensus::Role;
use gitstratum_process::Drain;

use crate::plane::Plane;
use crate::{nodes, rebalance};

/// How often held-back audit lines are looked at (S41: within a second).
const TICK: Duration = Duration::from_millis(500);
/// Ticks between two looks at old audit lines: 10 minutes.
const TICKS_PER_PRUNE: u64 = 1_200;

/// A longer gap between two ticks says that this process stood still: what it did not hear
/// in the meantime says nothing of the nodes.
const STALL: Duration = Duration::from_secs(2);

/// What the leader does beside answering calls, until `drain` starts.
pub(crate) async fn run(plane: Arc<Plane>, drain: Drain) {
    let mut status = plane.group.watch();
    let mut tick = tokio::time::interval(TICK);
    let mut ticks = 0;
    let mut led_at = None;
    loop {
        let is_leader = status.borrow_and_update().role == Role::Leader;
        plane.metrics.raft_leader.set(i64::from(is_leader));
        plane.metrics.raft_voter.set(i64::from(plane.group.has_vote()));
        led_at = is_leader.then(|| lead(&plane, led_at));
        tokio::select! {
            biased;
            () = drain.started() => return,
            // A group that has stopped says no more; its calls fail by themselves.
            Ok(()) = status.changed() => {}
            _ = tick.tick() => {
                if is_leader {
                    keep(&plane, ticks).await;
                    // What took long there kept nobody from being heard.
                    led_at = Some(plane.clock.monotonic());
                }
                ticks += 1;
            }
        }
    }
}

/// When this voter, which leads, was last seen to; a term that begins, or goes on after a
/// standstill, gives every node all its time.
fn lead(plane: &Plane, before: Option<Duration>) -> Duration {
    let now = plane.clock.monotonic();
    if before.is_none_or(|before| now.saturating_sub(before) > STALL) {
        plane.fleet.begin(now);
    }
    now
}

async fn keep(plane: &Plane, ticks: u64) {
    plane.record_overdue_refusals().await;
    if let Err(error) = nodes::judge(plane).await {
        tracing::warn!(%error, "states of nodes could not be looked at");
    }
    if let Err(error) = rebalance::begin_small(plane).await {
        tracing::warn!(%error, "new nodes could not be let into the ring");
    }
    if ticks.is_multiple_of(TICKS_PER_PRUNE)
        && let Err(error) = plane.prune_audit().await
    {
        tracing::warn!(%error, "old audit lines could not be dropped");
    }
}
