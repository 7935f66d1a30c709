use gitstratum_core::UnixMillis;

/// One administrative command: done or refused (GS-CP-14). Kept as a row of its own,
/// keyed by the log index that made it (S41), never in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// Log index.
    pub index: u64,
    /// The proposer's wall clock, for people.
    pub wall: UnixMillis,
    /// Name of the user, `system`, `node ID`, or `-` for nobody known.
    pub actor: String,
    /// What was asked, as `noun.verb`.
    pub action: String,
    /// What it was asked of.
    pub subject: String,
    /// `ok`, or the kind of refusal and why.
    pub result: String,
    /// One id for the request in every role's log.
    pub request_id: String,
    /// Where it came from.
    pub client_addr: String,
}
