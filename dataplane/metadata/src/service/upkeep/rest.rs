use std::sync::Arc;
use std::time::Duration;

use super::Nodes;
use super::back_off::Pauses;

/// Between two rounds of the repair list that changed nothing.
const PAUSES: Pauses = Pauses { first: Duration::ZERO, longest: Duration::from_secs(20) };
const STEP: Duration = Duration::from_secs(1);

/// When the repair list is read from its beginning again: at once when there is something new,
/// ever more rarely while nothing can be done, for all of it is read each time.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// What the last round found: entries of the list, and the nodes.
    seen: Option<(u64, Arc<Nodes>)>,
    pause: Duration,
    until: Duration,
}

impl Rest {
    /// A copy was made.
    pub(super) fn note_change(&mut self) {
        self.seen = None;
    }

    /// Whether to begin a round at `now`.
    pub(super) fn is_over(&mut self, (count, nodes): (u64, &Arc<Nodes>), now: Duration) -> bool {
        let same = |seen: &(u64, Arc<Nodes>)| seen.0 == count && Arc::ptr_eq(&seen.1, nodes);
        if !self.seen.as_ref().is_some_and(same) {
            self.seen = Some((count, Arc::clone(nodes)));
            self.pause = PAUSES.first;
        } else if now < self.until {
            return false;
        } else {
            self.pause = (self.pause * 2).clamp(STEP, PAUSES.longest);
        }
        self.until = now + self.pause;
        true
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_proto::control::v1 as wire;

    use super::*;

    fn nodes() -> Arc<Nodes> {
        let node = |id| wire::Node {
            id,
            roles: vec!["object".to_owned()],
            weight: 1,
            in_ring: true,
            ..wire::Node::default()
        };
        let nodes = [1, 2].map(node).to_vec();
        let layout =
            wire::Layout { epoch: 1, replication_factor: 2, nodes, ..wire::Layout::default() };
        Arc::new(Nodes::new(&layout, [].into()).unwrap())
    }

    #[test]
    fn a_list_on_which_nothing_can_be_done_is_read_ever_more_rarely_until_something_is_new() {
        let (mut rest, here) = (Rest::default(), nodes());
        let rounds = |rest: &mut Rest, from: u64| -> Vec<u64> {
            let is_over = |at: &u64| rest.is_over((9, &here), Duration::from_secs(*at));
            (from..from + 100).filter(is_over).collect()
        };
        assert_eq!(rounds(&mut rest, 0), [0, 1, 2, 4, 8, 16, 32, 52, 72, 92]);
        let at = |at| Duration::from_secs(at);
        assert!(rest.is_over((10, &here), at(100)), "one more lacks a copy");
        assert!(rest.is_over((10, &nodes()), at(100)), "other nodes");
        rest.note_change();
        assert!(rest.is_over((10, &nodes()), at(100)), "a copy was made");
    }
}
