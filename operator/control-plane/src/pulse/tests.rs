use proptest::prelude::*;

use super::*;

const PATIENCE: Patience =
    Patience { suspect_after: Duration::from_secs(3), down_after: Duration::from_secs(10) };

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A node and what it is called, looked at once a second.
struct Watched {
    pulse: Pulse,
    state: NodeState,
    now: u64,
    /// When it was called something else, and what.
    changes: Vec<(u64, NodeState)>,
}

impl Watched {
    fn new() -> Self {
        Self {
            pulse: Pulse::new(Incarnation(1), at(0)),
            state: NodeState::Up,
            now: 0,
            changes: Vec::new(),
        }
    }

    fn second(&mut self, is_heard: bool) {
        self.now += 1;
        if is_heard {
            self.pulse.beat(at(self.now), &PATIENCE);
        }
        let next = self.pulse.judge(self.state, at(self.now), &PATIENCE);
        if next != self.state {
            assert!(self.state.may_become(next), "{:?} to {next:?}", self.state);
            if self.state == NodeState::Up {
                self.pulse.fell(at(self.now));
            }
            self.changes.push((self.now, next));
            self.state = next;
        }
    }

    fn seconds(&mut self, count: u64, is_heard: bool) {
        (0..count).for_each(|_| self.second(is_heard));
    }
}

#[test]
fn gs_cp_03_silence_makes_a_node_suspect_then_down_and_a_heartbeat_up() {
    let mut node = Watched::new();
    node.seconds(5, true);
    node.seconds(12, false);
    assert_eq!(node.changes, [(8, NodeState::Suspect), (15, NodeState::Down)]);
    node.second(true);
    assert_eq!(node.state, NodeState::Up, "the first time at once");
}

/// RV-S4: flap damping.
#[test]
fn gs_cp_04_a_node_that_flaps_is_held_back_longer_each_time() {
    let mut node = Watched::new();
    let mut holds = Vec::new();
    for _ in 0..7 {
        node.seconds(4, false);
        assert_eq!(node.state, NodeState::Suspect);
        let began = node.now + 1;
        while node.state != NodeState::Up {
            node.second(true);
        }
        holds.push(node.now - began);
    }
    assert_eq!(holds, [0, 2, 4, 8, 16, 32, 60]);
    node.seconds(FALLS_WITHIN.as_secs(), true);
    node.seconds(4, false);
    node.second(true);
    assert_eq!(node.state, NodeState::Up, "old falls are forgotten");
}

#[test]
fn a_node_that_has_yet_to_start_or_is_gone_is_not_judged() {
    for state in [NodeState::Joining, NodeState::Removed] {
        assert_eq!(Pulse::new(Incarnation(1), at(0)).judge(state, at(100), &PATIENCE), state);
    }
}

proptest! {
    /// Whatever the heartbeats: no more ups in any ten minutes than holds allow, every long
    /// silence is seen, and who is heard of for long enough is up.
    #[test]
    fn gs_cp_04_flapping_is_damped(beats in prop::collection::vec((1u64..12, any::<bool>()), 1..80)) {
        let mut node = Watched::new();
        for (count, is_heard) in beats {
            node.seconds(count, is_heard);
        }
        let ups: Vec<u64> =
            node.changes.iter().filter(|(_, to)| *to == NodeState::Up).map(|(at, _)| *at).collect();
        for window in ups.windows(8) {
            // 0 + 2 + 4 + 8 + 16 + 32 seconds of being heard, and the silences between.
            prop_assert!(window[7] - window[0] >= 60, "{ups:?}");
        }
        let mut silent = Watched { changes: Vec::new(), ..node };
        silent.seconds(PATIENCE.down_after.as_secs(), false);
        prop_assert_eq!(silent.state, NodeState::Down);
        silent.seconds(HOLD_LONGEST.as_secs() + 1, true);
        prop_assert_eq!(silent.state, NodeState::Up);
        silent.changes.clear();
        silent.seconds(100, true);
        prop_assert!(silent.changes.is_empty(), "a steady node stays what it is");
    }
}
