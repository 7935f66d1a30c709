//! What the processes of the node say of themselves, told to the control plane in one
//! report (RV-S2): at once when a version was applied, else once a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::fleet::Voter;
use gitstratum_core::{Incarnation, NodeId};
use gitstratum_process::Drain;
use gitstratum_proto::control::v1::{ProcessReport, ReportRequest};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::watch::Known;

/// Most processes that may report: far more than there are roles.
const PROCESSES_MAX: usize = 64;

/// The last report of each process.
#[derive(Default)]
pub(crate) struct Reports {
    latest: Mutex<BTreeMap<String, ProcessReport>>,
    changed: Notify,
}

impl Reports {
    /// Takes a report in; false when there are too many processes.
    pub(crate) fn put(&self, report: ProcessReport) -> bool {
        let mut latest = self.latest.lock();
        if latest.len() >= PROCESSES_MAX && !latest.contains_key(&report.role) {
            return false;
        }
        let applied = report.applied_version;
        let before = latest.insert(report.role.clone(), report);
        if before.is_none_or(|before| before.applied_version != applied) {
            self.changed.notify_one();
        }
        true
    }

    fn all(&self) -> Vec<ProcessReport> {
        self.latest.lock().values().cloned().collect()
    }
}

/// Reports until the drain starts.
pub(crate) async fn run(
    (reports, known): (Arc<Reports>, Arc<Known>),
    (node, incarnation): (NodeId, Incarnation),
    voters: Vec<Voter>,
    every: Duration,
    drain: Drain,
) {
    let (mut refused, mut round_trip_micros) = (0, 0);
    for voter in voters.iter().cycle() {
        loop {
            let processes = reports.all();
            let request = ReportRequest {
                node: node.0,
                incarnation: incarnation.0,
                processes,
                round_trip_micros,
            };
            let sent = known.monotonic();
            let error = match voter.report(request).await {
                Ok(version) => {
                    let took = known.monotonic().saturating_sub(sent);
                    round_trip_micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
                    known.told(version);
                    None
                }
                Err(error) => Some(error),
            };
            refused = error.as_ref().map_or(0, |_| refused + 1);
            // The leader takes reports: the next voter may be it, until all have refused.
            let pause =
                if refused > 0 && refused % voters.len() > 0 { Duration::ZERO } else { every };
            tokio::select! {
                biased;
                () = drain.started() => return,
                () = reports.changed.notified(), if error.is_none() => {}
                () = tokio::time::sleep(pause) => {}
            }
            if let Some(error) = error {
                tracing::debug!(%error, "a report was not taken");
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_kept_by_role_and_bounded() {
        let reports = Reports::default();
        for number in 0..PROCESSES_MAX {
            let role = format!("role{number}");
            assert!(reports.put(ProcessReport { role, ..Default::default() }));
        }
        assert!(!reports.put(ProcessReport { role: "more".into(), ..Default::default() }));
        assert!(reports.put(ProcessReport {
            role: "role0".into(),
            applied_version: 3,
            ..Default::default()
        }));
        assert_eq!(reports.all()[0].applied_version, 3);
    }
}
