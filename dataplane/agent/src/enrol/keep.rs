use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::fleet::Voter;
use gitstratum_process::Drain;

use super::Enrolment;
use super::leniency::Leniency;
use crate::watch::Known;

/// How often it is looked whether something is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Pauses after a renewal that failed, doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// Renews the certificates at two thirds of their time, and judges those of others by
/// whether there is news, until the drain starts.
pub(crate) async fn keep(
    enrolment: Arc<Enrolment>,
    known: Arc<Known>,
    voters: Vec<Voter>,
    drain: Drain,
) {
    tokio::select! {
        biased;
        () = drain.started() => {}
        () = judge(&enrolment, &known) => {}
        () = renew(&enrolment, &known, &voters) => {}
    }
}

async fn judge(enrolment: &Enrolment, known: &Known) {
    let mut leniency = Leniency::default();
    loop {
        let (_, silent) = known.silence();
        let now = enrolment.clock.monotonic();
        enrolment.tolerate(leniency.judge(silent, known.offline_grace(), now));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn renew(enrolment: &Enrolment, known: &Known, voters: &[Voter]) {
    let mut pause = RETRY_FIRST;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if !enrolment.is_due() {
            continue;
        }
        match enrolment.renew(voters, known.offline_grace()).await {
            Ok(()) => pause = RETRY_FIRST,
            Err(error) => {
                tracing::warn!(%error, "certificates were not renewed");
                // As soon as there is news it is worth a try.
                let waiting = async {
                    while !known.silence().0 {
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                };
                let (connected, _) = known.silence();
                if connected {
                    tokio::time::sleep(pause).await;
                } else if tokio::time::timeout(pause, waiting).await.is_err() {
                    tracing::debug!("there is no news yet");
                }
                pause = (pause * 2).min(RETRY_LONGEST);
            }
        }
    }
}
