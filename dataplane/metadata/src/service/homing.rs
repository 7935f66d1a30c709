//! Leadership returns to the node that the layout prefers, so that load is spread again
//! after restarts: one partition of a process at a time, never soon after the last move,
//! and ever more rarely where it does not last (S39).

use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::NodeId;
use parking_lot::Mutex;

/// Least time that a leader leads before it hands over.
const LED_AT_LEAST: Duration = Duration::from_secs(5);
/// Least time between two moves of one process.
const BETWEEN_MOVES: Duration = Duration::from_secs(2);
/// Pause after the first move of a partition, doubled by each that follows.
const PAUSE_FIRST: Duration = Duration::from_secs(10);
const PAUSE_LONGEST: Duration = Duration::from_secs(300);
/// A partition that was not moved for so long has come to rest.
const AT_REST: Duration = Duration::from_secs(600);

/// When a process last moved a leadership; shared by its partitions.
#[derive(Clone, Debug, Default)]
pub(super) struct Moves {
    last: Arc<Mutex<Option<Duration>>>,
}

/// What a partition's leader knows of its returns.
#[derive(Debug, Default)]
pub(super) struct Homing {
    led: Option<(u64, Duration)>,
    moved: Option<Duration>,
    pause: Duration,
}

impl Homing {
    /// Whether `leader`, which leads in `term`, is to hand over to `preferred` now. If so
    /// that counts as a move, whatever becomes of it. Times are monotonic.
    pub(super) fn is_due(
        &mut self,
        (leader, preferred): (NodeId, NodeId),
        term: u64,
        now: Duration,
        moves: &Moves,
    ) -> bool {
        let since = match self.led {
            Some((known, since)) if known == term => since,
            _ => now,
        };
        self.led = Some((term, since));
        if leader == preferred || now.saturating_sub(since) < LED_AT_LEAST {
            return false;
        }
        let rested = self.moved.map(|moved| now.saturating_sub(moved));
        if rested.is_some_and(|rested| rested < self.pause) {
            return false;
        }
        let mut last = moves.last.lock();
        if last.is_some_and(|last| now.saturating_sub(last) < BETWEEN_MOVES) {
            return false;
        }
        self.pause = match rested {
            Some(rested) if rested < AT_REST => (self.pause * 2).min(PAUSE_LONGEST),
            _ => PAUSE_FIRST,
        };
        self.moved = Some(now);
        *last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: NodeId = NodeId(1);
    const THERE: NodeId = NodeId(2);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn s39_a_leadership_returns_after_a_while_and_ever_more_rarely() {
        let (mut homing, moves) = (Homing::default(), Moves::default());
        let mut due = |term, now| homing.is_due((HERE, THERE), term, at(now), &moves);
        let moved: Vec<u64> = (0..200).filter(|now| due(now / 20, *now)).collect();
        assert_eq!(moved, [5, 15, 35, 75, 155], "a pause of 10 s, doubled each time");
    }

    #[test]
    fn s39_the_preferred_leader_keeps_it_and_a_process_moves_one_at_a_time() {
        let moves = Moves::default();
        let mut all: Vec<Homing> = (0..4).map(|_| Homing::default()).collect();
        assert!(!Homing::default().is_due((HERE, HERE), 1, at(100), &moves));
        let mut moved = Vec::new();
        for now in 0..20 {
            let due = |homing: &mut Homing| homing.is_due((HERE, THERE), 1, at(now), &moves);
            moved.extend(all.iter_mut().filter_map(|homing| due(homing).then_some(now)));
        }
        assert_eq!(moved[..4], [5, 7, 9, 11], "{moved:?}");
    }

    proptest! {
        #[test]
        fn s39_moves_are_bounded_whatever_terms_do(
            steps in prop::collection::vec((0u64..3, 0u64..3), 1..400)
        ) {
            let (mut homing, moves) = (Homing::default(), Moves::default());
            let (mut now, mut term, mut moved) = (0, 0, 0u32);
            for (pause, terms) in steps {
                now += pause;
                term += terms;
                moved += u32::from(homing.is_due((HERE, THERE), term, at(now), &moves));
            }
            // Pauses of 10, 20, 40 … 300 s: within 1,200 s no more than 9 moves.
            prop_assert!(moved <= 9, "{moved} in {now} s");
        }
    }
}
