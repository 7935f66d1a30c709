use std::time::Duration;

/// How the metadata service behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of refs and manifests kept in memory for repositories in use (GS-MD-08, GS-OP-28).
    pub hot_refs_bytes: u64,
    /// Live packs of a repository above which pushes with a pack wait, then get busy (S35).
    pub live_packs_max: u32,
    /// How long such a push waits for the number to fall.
    pub live_packs_wait: Duration,
    /// How long a session stays open without renewal (S10).
    pub session_timeout: Duration,
    /// How often a leader looks after its partition: sessions, floors, log time.
    pub keep_interval: Duration,
    /// How often a leader looks after copies of segments (S21).
    pub upkeep_interval: Duration,
    /// How often it compares all owner lists with the ring when nothing has changed (S20).
    pub walk_interval: Duration,
    /// Least time between two entries that only raise floors.
    pub floor_interval: Duration,
    /// How long a request waits for this node to learn what its caller already knows: grants, a
    /// repository's name, a version (S44).
    pub catch_up_wait: Duration,
    /// Age in log time after which audit lines go (S41).
    pub audit_age_max: Duration,
    /// Bytes of audit lines in a partition after which the oldest go (S41).
    pub audit_bytes_max: u64,
    /// How long dropped objects are kept, in log time, where the cluster's settings say nothing
    /// (S37).
    pub cruft_window: Duration,
}

/// Why a [`Config`] cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {rule}")]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// What it breaks.
    pub rule: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hot_refs_bytes: 128 << 20,
            live_packs_max: 1_000,
            live_packs_wait: Duration::from_secs(2),
            session_timeout: Duration::from_secs(10),
            keep_interval: Duration::from_secs(1),
            upkeep_interval: Duration::from_secs(1),
            walk_interval: Duration::from_secs(600),
            floor_interval: Duration::from_secs(5),
            catch_up_wait: Duration::from_secs(2),
            audit_age_max: Duration::from_secs(90 * 24 * 3_600),
            audit_bytes_max: 1 << 30,
            cruft_window: Duration::from_secs(7 * 24 * 3_600),
        }
    }
}

impl Config {
    /// Checks that the values make sense together.
    ///
    /// # Errors
    /// Names the field and its rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rules = [
            (self.live_packs_max > 0, "live_packs_max", "above 0"),
            (!self.keep_interval.is_zero(), "keep_interval", "above 0"),
            (
                self.keep_interval * 2 < self.session_timeout,
                "keep_interval",
                "below half of session_timeout",
            ),
            (!self.upkeep_interval.is_zero(), "upkeep_interval", "above 0"),
            (self.audit_bytes_max > 0, "audit_bytes_max", "above 0"),
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
    fn a_keeper_slower_than_a_session_is_refused() {
        assert_eq!(Config::default().validate(), Ok(()));
        let slow = Config { keep_interval: Duration::from_secs(5), ..Config::default() };
        assert_eq!(slow.validate().map_err(|error| error.field), Err("keep_interval"));
    }
}
