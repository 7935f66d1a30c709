//! Whether a node lives, from its heartbeats. Pure: times are given, on the leader's
//! monotonic clock.

use std::collections::VecDeque;
use std::time::Duration;

use gitstratum_core::Incarnation;
use gitstratum_state::record::NodeState;

/// Falls that are remembered of one node; more make nothing worse.
const FALLS_MAX: usize = 8;
/// How long a fall counts.
const FALLS_WITHIN: Duration = Duration::from_secs(600);
/// How long a node that fell twice has to be heard of steadily; twice as long with each
/// further fall.
const HOLD_FIRST: Duration = Duration::from_secs(2);
/// Longest that a node has to be heard of steadily before it is called up.
const HOLD_LONGEST: Duration = Duration::from_secs(60);

/// After which silence a node is called what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// New segments go elsewhere.
    pub(crate) suspect_after: Duration,
    /// It is taken for dead; never shorter than the other.
    pub(crate) down_after: Duration,
}

/// When a node was heard of, and how often it fell silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pulse {
    /// The start of the node that is listened for.
    start: Incarnation,
    /// When it was heard last; before that, since when it is listened for.
    heard: Duration,
    /// Since when it is heard of without a silence; `None` while it has yet to be.
    steady_since: Option<Duration>,
    /// When it was no longer called up.
    falls: VecDeque<Duration>,
}

impl Pulse {
    /// Of a node that is listened for from `now` on.
    pub(crate) const fn new(start: Incarnation, now: Duration) -> Self {
        Self { start, heard: now, steady_since: None, falls: VecDeque::new() }
    }

    /// It has all its time from `now` on: who listens began to, or was away.
    pub(crate) fn listen(&mut self, now: Duration) {
        (self.heard, self.steady_since) = (now, None);
    }

    /// The node is known by its start `start`: a new one has all its time from `now` on.
    pub(crate) fn started(&mut self, start: Incarnation, now: Duration) {
        if self.start < start {
            self.start = start;
            self.listen(now);
        }
    }

    /// A heartbeat came.
    pub(crate) fn beat(&mut self, now: Duration, patience: &Patience) {
        let was_silent = now.saturating_sub(self.heard) >= patience.suspect_after;
        if was_silent || self.steady_since.is_none() {
            self.steady_since = Some(now);
        }
        self.heard = now;
    }

    /// The node is no longer called up.
    pub(crate) fn fell(&mut self, now: Duration) {
        if self.falls.len() >= FALLS_MAX {
            self.falls.pop_front();
        }
        self.falls.push_back(now);
    }

    /// How long it must be heard of before it is called up again: at once after its first
    /// fall, longer with each one (flap damping, GS-CP-04).
    fn hold(&self, now: Duration) -> Duration {
        let recent = |at: &&Duration| now.saturating_sub(**at) < FALLS_WITHIN;
        match self.falls.iter().filter(recent).count() {
            0 | 1 => Duration::ZERO,
            falls => {
                let doubled = u32::try_from(falls - 2).unwrap_or(u32::MAX).min(8);
                (HOLD_FIRST * 2_u32.pow(doubled)).min(HOLD_LONGEST)
            }
        }
    }

    /// What to call a node that was called `state` until now. A node that has yet to start,
    /// or is gone for good, is not for heartbeats to judge.
    pub(crate) fn judge(&self, state: NodeState, now: Duration, patience: &Patience) -> NodeState {
        let silent = now.saturating_sub(self.heard);
        match state {
            NodeState::Joining | NodeState::Removed => state,
            _ if silent >= patience.down_after => NodeState::Down,
            NodeState::Up | NodeState::Suspect if silent >= patience.suspect_after => {
                NodeState::Suspect
            }
            NodeState::Up => NodeState::Up,
            NodeState::Suspect | NodeState::Down if silent >= patience.suspect_after => state,
            NodeState::Suspect | NodeState::Down => match self.steady_since {
                Some(since) if now.saturating_sub(since) >= self.hold(now) => NodeState::Up,
                _ => state,
            },
        }
    }
}

#[cfg(test)]
mod tests;
