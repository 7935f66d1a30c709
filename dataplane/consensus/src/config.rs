use std::time::Duration;

/// How the groups of a host behave.
#[derive(Clone, Debug)]
pub struct Config {
    /// Time between two heartbeats of a leader.
    pub heartbeat_interval: Duration,
    /// Longest wait for a follower's answer to a heartbeat: with longer round trips nobody can lead.
    pub answer_timeout: Duration,
    /// Shortest silence of a leader after which a follower stands for election.
    pub election_timeout_min: Duration,
    /// Longest such silence; each follower draws its own in between. Also a leader's
    /// lease: without a quorum's answers for that long it takes no more proposals.
    pub election_timeout_max: Duration,
    /// Without a sign of a majority for so long proposals and reads end, and new ones are
    /// refused (P-A8).
    pub quorum_silence_max: Duration,
    /// Longest a read waits for the quorum or for the log to be applied.
    pub read_timeout: Duration,
    /// Longest a proposal waits to be applied; whether it will be is unknown afterwards.
    pub propose_timeout: Duration,
    /// Longest that opening a group, beginning it or handing it over waits for its task.
    pub call_timeout: Duration,
    /// Bytes of one command; larger ones are refused (S13).
    pub command_bytes_max: usize,
    /// Entries of a log after which it is compacted (GS-CP-25).
    pub log_entries_max: u64,
    /// Bytes of a log after which it is compacted.
    pub log_bytes_max: u64,
    /// Entries that compaction leaves, for peers that are a little behind.
    pub log_entries_kept: u64,
    /// Bytes of entries that compaction leaves at most.
    pub log_bytes_kept: u64,
    /// Bytes of rows in one chunk of a snapshot; a larger row is a chunk of its own.
    pub snapshot_chunk_bytes: usize,
    /// Longest the whole transfer of a snapshot may take.
    pub snapshot_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(100),
            answer_timeout: Duration::from_millis(300),
            election_timeout_min: Duration::from_millis(350),
            election_timeout_max: Duration::from_millis(650),
            quorum_silence_max: Duration::from_millis(1_400),
            read_timeout: Duration::from_secs(2),
            propose_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            command_bytes_max: 16 << 20,
            log_entries_max: 8_192,
            log_bytes_max: 16 << 20,
            log_entries_kept: 512,
            log_bytes_kept: 2 << 20,
            snapshot_chunk_bytes: 512 << 10,
            snapshot_timeout: Duration::from_secs(600),
        }
    }
}

/// Why a [`Config`] cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {rule}")]
pub struct ConfigError {
    field: &'static str,
    rule: &'static str,
}

impl Config {
    /// Checks that the values fit each other (GS-OP-18).
    ///
    /// # Errors
    /// Names the field and its rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rules = [
            (
                self.heartbeat_interval >= Duration::from_millis(1),
                "heartbeat_interval",
                "at least 1 ms",
            ),
            (
                self.heartbeat_interval < self.election_timeout_min,
                "heartbeat_interval",
                "below election_timeout_min",
            ),
            (
                // The next heartbeat waits for the last one's answer.
                self.answer_timeout < self.election_timeout_min,
                "answer_timeout",
                "below election_timeout_min",
            ),
            (
                self.heartbeat_interval <= self.answer_timeout,
                "answer_timeout",
                "at least heartbeat_interval",
            ),
            (
                self.election_timeout_min < self.election_timeout_max,
                "election_timeout_min",
                "below election_timeout_max",
            ),
            (
                self.log_entries_kept < self.log_entries_max,
                "log_entries_kept",
                "below log_entries_max",
            ),
            (self.log_bytes_kept < self.log_bytes_max, "log_bytes_kept", "below log_bytes_max"),
            (
                // A lease that runs out, then an election: who has a majority is not refused
                // while that goes on.
                2 * self.election_timeout_max < self.quorum_silence_max,
                "quorum_silence_max",
                "above twice election_timeout_max",
            ),
            (!self.propose_timeout.is_zero(), "propose_timeout", "above 0"),
            (!self.call_timeout.is_zero(), "call_timeout", "above 0"),
            (self.command_bytes_max > 0, "command_bytes_max", "above 0"),
            (self.snapshot_chunk_bytes > 0, "snapshot_chunk_bytes", "above 0"),
        ];
        match rules.into_iter().find(|(holds, _, _)| !holds) {
            Some((_, field, rule)) => Err(ConfigError { field, rule }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gs_op_18_a_heartbeat_above_the_election_timeout_is_refused() {
        assert_eq!(Config::default().validate(), Ok(()));
        let slow = Config { heartbeat_interval: Duration::from_millis(600), ..Config::default() };
        let error = slow.validate().unwrap_err();
        assert_eq!(error.to_string(), "heartbeat_interval must be below election_timeout_min");
    }
}
