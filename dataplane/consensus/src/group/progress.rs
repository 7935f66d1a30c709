use std::time::Duration;

use openraft::Instant as _;
use openraft::ServerState;
use tokio::time::Instant;

use crate::raft::Metrics;

/// A leader whose entries no majority takes for so long falls silent.
const STUCK_AFTER: Duration = Duration::from_secs(2);
/// For so long at most: by then the others have elected one of them, or cannot.
const SILENT_FOR: Duration = Duration::from_secs(2);
/// After that it does not try so again for so long, unless entries were taken meanwhile.
const NOT_AGAIN_FOR: Duration = Duration::from_secs(20);
/// A majority that has answered so lately hears this leader.
const HEARD_WITHIN: Duration = Duration::from_millis(1_000);

/// What a replica knows of its log.
pub(super) struct View {
    /// Whether it leads others.
    leads: bool,
    /// They answer it, and one of them could lead.
    is_replaceable: bool,
    last: Option<u64>,
    /// What a majority has.
    committed: Option<u64>,
}

impl View {
    pub(super) fn of(metrics: &Metrics) -> Self {
        let committed = metrics.cluster_committed.map(|id| id.index);
        let is_heard =
            metrics.last_quorum_acked.is_some_and(|acked| acked.elapsed() < HEARD_WITHIN);
        let others = metrics.membership_config.voter_ids().filter(|id| *id != metrics.id);
        let matched = |id: u64| {
            let progress = metrics.replication.as_ref().and_then(|all| all.get(&id).cloned());
            progress.flatten().map(|log| log.index)
        };
        let others: Vec<Option<u64>> = others.map(matched).collect();
        Self {
            leads: metrics.state == ServerState::Leader && !others.is_empty(),
            is_replaceable: is_heard && others.iter().any(|matched| *matched >= committed),
            last: metrics.last_log_index,
            committed,
        }
    }
}

/// How far a majority has got, and when a leader that gets no further falls silent.
pub(super) struct Progress {
    committed: Option<u64>,
    silent_from: Instant,
}

impl Progress {
    pub(super) fn new(now: Instant) -> Self {
        Self { committed: None, silent_from: now + STUCK_AFTER }
    }

    /// Whether there are entries that nobody takes from this leader although it is heard, so that it is
    /// time to let somebody else try. Once it is silent nobody answers any more.
    pub(super) fn is_stuck(&mut self, now: Instant, view: &View) -> bool {
        let is_silent = now >= self.silent_from && now < self.silent_from + SILENT_FOR;
        let has_gone_on = view.committed >= view.last || view.committed != self.committed;
        let may_stay = !view.is_replaceable && !is_silent;
        if !view.leads || has_gone_on || may_stay {
            *self = Self { committed: view.committed, ..Self::new(now) };
        } else if now >= self.silent_from + SILENT_FOR {
            self.silent_from = now + NOT_AGAIN_FOR;
        }
        now >= self.silent_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(last: u64, committed: u64) -> View {
        let (last, committed) = (Some(last), Some(committed));
        View { leads: true, is_replaceable: true, last, committed }
    }

    #[test]
    fn bad_input_159_a_leader_whose_entries_nobody_takes_is_stuck_for_a_while() {
        let began = Instant::now();
        let mut progress = Progress::new(began);
        let mut is_stuck =
            |millis, view| progress.is_stuck(began + Duration::from_millis(millis), &view);
        assert!(!is_stuck(60_000, leads(7, 7)), "nothing waits");
        assert!(!is_stuck(61_000, leads(8, 7)));
        assert!(!is_stuck(61_999, leads(9, 7)));
        assert!(is_stuck(62_000, leads(9, 7)));
        assert!(is_stuck(63_900, leads(9, 7)));
        assert!(!is_stuck(64_000, leads(9, 7)), "nobody else could lead");
        assert!(!is_stuck(83_900, leads(9, 7)));
        assert!(is_stuck(84_000, leads(9, 7)), "perhaps now");
        assert!(!is_stuck(84_100, leads(9, 8)), "one was taken");
        assert!(!is_stuck(86_000, leads(9, 8)));
        assert!(is_stuck(86_100, leads(9, 8)));
        assert!(!is_stuck(86_200, View { leads: false, ..leads(9, 8) }));
    }

    /// P-A8: nobody answers it, or nobody else could lead.
    #[test]
    fn p_a8_a_leader_that_nobody_could_replace_leads_on() {
        let began = Instant::now();
        let mut progress = Progress::new(began);
        let mut is_stuck = |millis, is_replaceable| {
            let view = View { is_replaceable, ..leads(9, 7) };
            progress.is_stuck(began + Duration::from_millis(millis), &view)
        };
        assert!((1..100).all(|tenth| !is_stuck(tenth * 100, false)));
        assert!((100..119).all(|tenth| !is_stuck(tenth * 100, true)), "from now on one could");
        assert!(is_stuck(12_000, true));
        assert!(is_stuck(13_500, false), "while it is silent nobody answers");
    }
}
