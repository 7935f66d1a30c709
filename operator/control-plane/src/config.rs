use std::collections::BTreeSet;
use std::time::Duration;

use gitstratum_core::{ClusterId, NodeId};

/// How a control plane runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// This voter.
    pub node: NodeId,
    /// The first voters of a new control plane; ignored once there is one.
    pub voters: BTreeSet<NodeId>,
    /// All nodes with a control plane, as this one was told them last; none if it was told
    /// nothing yet. They are asked which start of it they have seen (S23), and are the voters of
    /// a control plane that is brought back (S45).
    pub known: BTreeSet<NodeId>,
    /// The cluster id that is written down beside the data, if it is: an empty state then
    /// means that the control plane was lost, not that there is none yet (S45).
    pub recorded_cluster: Option<ClusterId>,
    /// How the log behaves.
    pub consensus: gitstratum_consensus::Config,
    /// Longest wait for a leader at the start.
    pub leader_timeout: Duration,
    /// Longest a call waits for nodes to have applied something.
    pub settle_timeout: Duration,
    /// How long a process counts as up after its last report.
    pub report_lifetime: Duration,
    /// Silence after which a node is suspected: new segments go elsewhere.
    pub node_suspect_after: Duration,
    /// Silence after which it is taken for dead, unless setting `nodeDownAfter` says otherwise.
    pub node_down_after: Duration,
    /// Audit lines older than this go (S41).
    pub audit_age_max: Duration,
    /// Bytes of audit lines above which the oldest go.
    pub audit_bytes_max: u64,
}

/// Why a [`Config`] cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A field breaks its rule.
    #[error("{field} must be {rule}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its rule.
        rule: &'static str,
    },
    /// The log's part.
    #[error("consensus: {0}")]
    Consensus(#[from] gitstratum_consensus::ConfigError),
}

impl Config {
    /// Defaults for `node` as the only voter.
    pub fn single(node: NodeId) -> Self {
        Self {
            node,
            voters: BTreeSet::from([node]),
            known: BTreeSet::new(),
            recorded_cluster: None,
            consensus: gitstratum_consensus::Config::default(),
            leader_timeout: Duration::from_secs(10),
            settle_timeout: Duration::from_secs(5),
            report_lifetime: Duration::from_secs(3),
            node_suspect_after: Duration::from_secs(3),
            node_down_after: Duration::from_secs(10),
            audit_age_max: Duration::from_secs(90 * 24 * 60 * 60),
            audit_bytes_max: 1 << 30,
        }
    }

    /// Those that vote, as far as is known here, and this one.
    pub(crate) fn present(&self) -> BTreeSet<NodeId> {
        match self.known.is_empty() {
            true => self.voters.clone(),
            false => self.known.iter().copied().chain([self.node]).collect(),
        }
    }

    /// Checks that the values fit each other.
    ///
    /// # Errors
    /// Names the field and its rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.consensus.validate()?;
        let rules = [
            (matches!(self.voters.len(), 1 | 3 | 5), "voters", "1, 3 or 5 nodes"),
            (!self.leader_timeout.is_zero(), "leader_timeout", "above 0"),
            (!self.settle_timeout.is_zero(), "settle_timeout", "above 0"),
            (self.report_lifetime >= Duration::from_secs(2), "report_lifetime", "at least 2 s"),
            (
                self.node_suspect_after >= Duration::from_secs(2),
                "node_suspect_after",
                "at least 2 s",
            ),
            (
                self.node_down_after >= self.node_suspect_after,
                "node_down_after",
                "at least node_suspect_after",
            ),
            (
                self.audit_age_max >= Duration::from_secs(24 * 60 * 60),
                "audit_age_max",
                "at least 1 day",
            ),
            (self.audit_bytes_max >= 1 << 20, "audit_bytes_max", "at least 1 MiB"),
        ];
        match rules.into_iter().find(|(holds, _, _)| !holds) {
            Some((_, field, rule)) => Err(ConfigError::Field { field, rule }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s23_who_is_told_of_others_asks_those_and_not_the_founders() {
        let founders = BTreeSet::from([1, 2, 3].map(NodeId));
        let mut config = Config { voters: founders.clone(), ..Config::single(NodeId(1)) };
        assert_eq!(config.present(), founders);
        config.known = BTreeSet::from([4, 5].map(NodeId));
        assert_eq!(config.present(), BTreeSet::from([1, 4, 5].map(NodeId)));
    }

    #[test]
    fn gs_cp_26_only_odd_numbers_of_voters_are_taken() {
        let mut config = Config::single(NodeId(1));
        assert_eq!(config.validate(), Ok(()));
        for (count, good) in [(0, false), (2, false), (3, true), (4, false), (5, true)] {
            config.voters = (1..=count).map(NodeId).collect();
            assert_eq!(config.validate().is_ok(), good, "{count} voters");
        }
        let bad = Config { audit_bytes_max: 0, ..Config::single(NodeId(1)) };
        let error = bad.validate().expect_err("because the bound is too low");
        assert_eq!(error.to_string(), "audit_bytes_max must be at least 1 MiB");
    }
}
