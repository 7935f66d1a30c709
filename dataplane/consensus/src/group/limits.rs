use std::time::Duration;

use crate::config::Config;

/// How much, and for how long, a caller may ask of a group.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of one command.
    pub(super) command_bytes: usize,
    /// Longest wait for what became of a proposal.
    pub(super) propose: Duration,
    /// Longest wait for the group's own task.
    pub(super) call: Duration,
    /// Longest wait for a change of the membership: a new member may need a snapshot.
    pub(super) membership: Duration,
}

impl Limits {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            command_bytes: config.command_bytes_max,
            propose: config.propose_timeout,
            call: config.call_timeout,
            membership: config.snapshot_timeout,
        }
    }
}
