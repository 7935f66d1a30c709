use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use gitstratum_core::{PartitionId, Version};
use gitstratum_process::Drain;
use gitstratum_proto::metadata::v1::{
    CloseSessionRequest, RenewSessionsRequest, RenewSessionsResponse,
};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Sessions, Standing, UNRENEWED_MAX};

/// Sessions are renewed so often (S10).
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for one answer: others must still be renewed in time.
const RENEW_DEADLINE: Duration = Duration::from_secs(3);
/// Longest time that closing all sessions may take.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

type Held = BTreeMap<PartitionId, Arc<Standing>>;

impl Sessions {
    /// Opens a session with every partition of the layout, as far as they answer.
    pub(crate) async fn open_all(&self) {
        let openings: FuturesUnordered<_> =
            self.partitions.all().into_iter().map(|id| self.standing(id)).collect();
        let failed = openings.filter(|opened| std::future::ready(opened.is_err())).count().await;
        if failed > 0 {
            tracing::info!(failed, "partitions without a session yet; opened when first used");
        }
    }

    /// Renews the sessions until `drain` starts, then closes them. `drain` is to start
    /// when no push and no fetch runs any more.
    pub(crate) async fn run(&self, drain: Drain) {
        let mut tick = interval(RENEW_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = drain.started() => break,
                _ = tick.tick() => self.renew_all().await,
            }
        }
        if timeout(CLOSE_DEADLINE, self.close_all()).await.is_err() {
            tracing::info!("not all sessions were closed; they end by themselves");
        }
    }

    /// One round of renewals: a call to each leader, as leaders answer for all the
    /// partitions that they lead.
    pub(super) async fn renew_all(&self) {
        let mut waiting: Held = self.held().into_iter().collect();
        self.drop_lost(&mut waiting);
        while let Some(&asked) = waiting.keys().next() {
            self.renew_with_leader_of(asked, &mut waiting).await;
            waiting.remove(&asked);
        }
    }

    /// What has not been renewed for too long is over, whatever a leader says later.
    fn drop_lost(&self, held: &mut Held) {
        held.retain(|partition, standing| {
            let good = standing.is_good();
            if !good {
                let limit = UNRENEWED_MAX.as_secs();
                tracing::warn!(%partition, limit, "session lost: not renewed in time");
                self.forget(*partition, standing);
            }
            good
        });
    }

    /// Asks the leader of `asked` and takes whatever it answers for out of `waiting`.
    async fn renew_with_leader_of(&self, asked: PartitionId, waiting: &mut Held) {
        let renewals = waiting.iter().map(|(id, standing)| standing.renewal(id.0)).collect();
        let request = RenewSessionsRequest { renewals };
        let sent_at = self.clock.monotonic();
        let call = self.partitions.renew_sessions(asked, request);
        match timeout(RENEW_DEADLINE, call).await {
            Ok(Ok(answer)) => self.take_answer(&answer, sent_at, waiting),
            Ok(Err(error)) => tracing::debug!(partition = %asked, %error, "renewal failed"),
            Err(_) => tracing::debug!(partition = %asked, "renewal not answered in time"),
        }
    }

    fn take_answer(&self, answer: &RenewSessionsResponse, sent_at: Duration, waiting: &mut Held) {
        for state in &answer.states {
            let partition = PartitionId(state.partition);
            let Some(standing) = waiting.get(&partition) else { continue };
            if standing.session().0 != state.session {
                continue;
            }
            if state.open {
                standing.renewed(sent_at, Version(state.version));
            } else {
                tracing::warn!(%partition, "the partition has closed our session");
                self.forget(partition, standing);
            }
            waiting.remove(&partition);
        }
    }

    async fn close_all(&self) {
        let closing: FuturesUnordered<_> =
            self.held().into_iter().map(|(id, standing)| self.close(id, standing)).collect();
        closing.collect::<()>().await;
    }

    async fn close(&self, partition: PartitionId, standing: Arc<Standing>) {
        self.forget(partition, &standing);
        let session = standing.session().0;
        let request = CloseSessionRequest { partition: partition.0, session };
        if let Err(error) = self.partitions.close_session(partition, request).await {
            tracing::debug!(%partition, %error, "session not closed; it ends by itself");
        }
    }
}
