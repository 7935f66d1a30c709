//! What the leader of a partition does once a second, beside answering: it ends
//! sessions that were not renewed, commits floors, lets time pass while a window is
//! open, prunes the audit lines and purges what was replaced. It decides from one reading of the rows.

use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{GrantsVersion, LogTime, NodeId, SessionId, Version};
use gitstratum_process::metrics::Gauge;
use gitstratum_process::{Drain, failpoint};
use gitstratum_proto::control::v1::Node;
use gitstratum_proto::node_state;

use super::Deps;
use super::homing::{Homing, Moves};
use super::hosted::Hosted;
use super::purge;
use crate::config::Config;
use crate::error::{Error, chain};
use crate::partition::entry::{CloseSession, PruneAudit, RaiseFloors, Tick};
use crate::partition::record::{AuditRow, GroupRow, SessionRow};
use crate::partition::{self, Change, OUTCOME_KEPT, Rows, WANT_GRACE, query};

/// While a window is open an idle group gets an entry at this part of the shortest (S14).
const TICKS_IN_WINDOW: u32 = 10;
/// Audit lines looked at in one round; the next one goes on.
const AUDIT_LINES: usize = 1_000;
/// How often lines are looked at for their age.
const AUDIT_INTERVAL: Duration = Duration::from_secs(3_600);

/// Looks after `hosted` while this node leads it, until `drain` starts.
pub(super) async fn keep(
    hosted: Arc<Hosted>,
    (config, deps, moves, votes): (Config, Deps, Moves, Gauge),
    drain: Drain,
) {
    // Counted as long as it is kept.
    let mut vote = None;
    let homing = Homing::default();
    let (floors_raised, audit_aged) = (None, None);
    let mut keeper = Keeper { hosted, config, deps, floors_raised, audit_aged, homing, moves };
    loop {
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(keeper.config.keep_interval) => {}
        }
        keeper.hosted.look_for_damage();
        if keeper.hosted.group().has_vote() != vote.is_some() {
            vote = vote.is_none().then(|| votes.track());
        }
        match keeper.round().await {
            Ok(()) | Err(Error::NotLeader { .. }) => {}
            Err(error) => {
                let partition = keeper.hosted.partition.0;
                tracing::warn!(partition, error = %chain(&error), "keeping a partition failed");
            }
        }
    }
}

struct Keeper {
    hosted: Arc<Hosted>,
    config: Config,
    deps: Deps,
    /// Monotonic time of the last entry that only raised floors.
    floors_raised: Option<Duration>,
    /// Monotonic time of the last look at the age of audit lines.
    audit_aged: Option<Duration>,
    homing: Homing,
    moves: Moves,
}

/// What a round decides by.
struct Reading {
    group: GroupRow,
    /// Open ones.
    sessions: Vec<(SessionId, SessionRow)>,
    has_graces: bool,
}

impl Keeper {
    async fn round(&mut self) -> Result<(), Error> {
        let term = self.hosted.leading_term()?;
        // Before the reading, which may be of a later state.
        let version = self.hosted.applied();
        let reading = self.hosted.read(read).await?;
        let now = self.deps.clock.monotonic();
        self.hosted.renewals.lock().follow(term, (version, &reading.sessions), now);
        self.close_expired(now).await?;
        self.raise_floors(&reading, now).await?;
        self.tick(&reading).await?;
        self.prune_audit(reading.group.clone(), now).await?;
        if reading.group.unlisted_count > 0 {
            purge::purge(&self.hosted, &self.deps).await?;
        }
        self.return_leadership(term, now).await;
        Ok(())
    }

    /// Hands over to the node that the layout prefers, when that is due and the node ready.
    async fn return_leadership(&mut self, term: u64, now: Duration) {
        let partition = self.hosted.partition;
        let snapshot = self.deps.feed.current();
        let placement = snapshot.partitions().find(|each| each.partition == partition.0);
        let Some(preferred) = placement.map(|each| NodeId(each.preferred_leader)) else { return };
        // An attempt counts as a move: it is none while that node is known to be away.
        if !self.hosted.group().status().voters.contains(&preferred) {
            // It has yet to learn.
            return;
        }
        let is_up = |node: &Node| node.id == preferred.0 && node.state == node_state::UP;
        if !snapshot.layout().nodes.iter().any(is_up)
            || !self.homing.is_due((self.deps.node, preferred), term, now, &self.moves)
        {
            return;
        }
        match self.hosted.group().transfer_leader(preferred).await {
            Ok(()) => tracing::info!(partition = partition.0, %preferred, "leadership returned"),
            Err(error) => {
                tracing::info!(partition = partition.0, %error, "leadership not returned yet");
            }
        }
    }

    async fn close_expired(&self, now: Duration) -> Result<(), Error> {
        let expired = self.hosted.renewals.lock().expired(self.config.session_timeout, now);
        for session in expired {
            tracing::info!(
                partition = self.hosted.partition.0,
                session = session.0,
                "session closed, it was not renewed"
            );
            failpoint!("metadata.session.before_close");
            self.propose(Change::CloseSession(CloseSession { session: session.0 })).await?;
        }
        Ok(())
    }

    async fn raise_floors(&mut self, reading: &Reading, now: Duration) -> Result<(), Error> {
        let due = |last: Duration| now.saturating_sub(last) >= self.config.floor_interval;
        if !self.floors_raised.is_none_or(due) {
            return Ok(());
        }
        let floors = self.hosted.renewals.lock().floors_above(&reading.sessions);
        if floors.is_empty() {
            return Ok(());
        }
        self.floors_raised = Some(now);
        failpoint!("metadata.floors.before_raise");
        self.propose(Change::RaiseFloors(RaiseFloors { floors })).await
    }

    async fn tick(&self, reading: &Reading) -> Result<(), Error> {
        let grace = reading.has_graces.then_some(WANT_GRACE);
        let Some(window) = shortest_window(&reading.group, grace) else {
            return Ok(());
        };
        let now = self.hosted.log_time().await?;
        if LogTime(reading.group.log_time).after(window / TICKS_IN_WINDOW) > now {
            return Ok(());
        }
        self.propose(Change::Tick(Tick {})).await
    }

    /// Looks at the oldest audit lines when there are too many bytes of them, and now and then.
    async fn prune_audit(&mut self, group: GroupRow, now: Duration) -> Result<(), Error> {
        let aged = self.audit_aged.is_some_and(|last| now.saturating_sub(last) < AUDIT_INTERVAL);
        if aged && group.audit_bytes <= self.config.audit_bytes_max {
            return Ok(());
        }
        let floor = Version(group.audit_floor);
        let oldest =
            self.hosted.read(move |rows| query::audit_after(rows, floor, AUDIT_LINES)).await?;
        match audit_floor(&self.config, &group, &oldest) {
            Some(below) => self.propose(Change::PruneAudit(PruneAudit { below: below.0 })).await,
            None => {
                self.audit_aged = Some(now);
                Ok(())
            }
        }
    }

    async fn propose(&self, change: Change) -> Result<(), Error> {
        self.hosted.propose(change, GrantsVersion(0)).await.map(drop)
    }
}

fn read(rows: &dyn Rows) -> Result<Reading, partition::Error> {
    let group = query::group(rows)?;
    let sessions = query::sessions(rows)?;
    Ok(Reading {
        sessions: sessions.into_iter().filter(|(_, row)| !row.closed).collect(),
        has_graces: query::has_graces(rows)?,
        group,
    })
}

/// The shortest span counted in log time that is running.
fn shortest_window(group: &GroupRow, grace: Option<Duration>) -> Option<Duration> {
    let outcomes = (group.sessions_closed > 0).then_some(OUTCOME_KEPT);
    // How long a window of dropped objects is may be set to anything: it counts as a short one.
    let cruft = (group.cruft_count > 0).then_some(OUTCOME_KEPT);
    grace.or(outcomes).or(cruft)
}

/// The index below which lines are too old, or too many (S41). The newest line looked at stays.
fn audit_floor(
    config: &Config,
    group: &GroupRow,
    oldest: &[(Version, AuditRow)],
) -> Option<Version> {
    let mut excess = group.audit_bytes.saturating_sub(config.audit_bytes_max);
    let mut below = None;
    for pair in oldest.windows(2) {
        let [(_, line), (next, _)] = pair else { continue };
        let too_old = LogTime(line.log_time).after(config.audit_age_max) < LogTime(group.log_time);
        if !too_old && excess == 0 {
            break;
        }
        excess = excess.saturating_sub(line_bytes(line));
        below = Some(*next);
    }
    below
}

fn line_bytes(line: &AuditRow) -> u64 {
    use prost::Message;
    line.encoded_len() as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(index: u64, log_time: u64) -> (Version, AuditRow) {
        (Version(index), AuditRow { log_time, path: "x".repeat(90), ..AuditRow::default() })
    }

    #[test]
    fn s41_lines_go_when_they_are_too_old_or_too_many() {
        let config = Config {
            audit_age_max: Duration::from_millis(100),
            audit_bytes_max: 1_000,
            ..Config::default()
        };
        let lines = [line(3, 10), line(5, 150), line(9, 160)];
        let group =
            |log_time, audit_bytes| GroupRow { log_time, audit_bytes, ..Default::default() };
        assert_eq!(audit_floor(&config, &group(110, 300), &lines), None);
        assert_eq!(audit_floor(&config, &group(111, 300), &lines), Some(Version(5)));
        assert_eq!(audit_floor(&config, &group(100, 1_001), &lines), Some(Version(5)));
        assert_eq!(audit_floor(&config, &group(100, 9_000), &lines), Some(Version(9)));
        assert_eq!(audit_floor(&config, &group(900, 9_000), &[]), None);
    }

    #[test]
    fn s14_time_goes_on_only_while_a_window_is_open() {
        let closed = GroupRow { sessions_closed: 1, ..GroupRow::default() };
        assert_eq!(shortest_window(&GroupRow::default(), None), None);
        assert_eq!(shortest_window(&closed, None), Some(OUTCOME_KEPT));
        assert_eq!(shortest_window(&closed, Some(WANT_GRACE)), Some(WANT_GRACE));
        let cruft = GroupRow { cruft_count: 1, ..GroupRow::default() };
        assert_eq!(shortest_window(&cruft, None), Some(OUTCOME_KEPT));
    }
}
