use gitstratum_consensus::State as Rows;
use gitstratum_state::State;
use gitstratum_state::command::PruneAudit;
use gitstratum_state::record::AuditLine;
use gitstratum_state::row::{AUDIT_KIND, Key};
use gitstratum_store::KeyRange;

use crate::error::Error;

/// Lines read at a time.
pub(crate) const PAGE_LINES: usize = 256;
/// Lines that one command drops at most.
const PRUNE_LINES_MAX: usize = 10_000;

/// When lines are to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Lines from before this wall-clock time, milliseconds since the Unix epoch.
    pub(crate) oldest: u64,
    /// The oldest lines while there are more bytes than this.
    pub(crate) bytes_max: u64,
}

/// The first lines behind log index `after`, in order.
pub(crate) fn page(rows: &Rows<'_>, after: u64, limit: usize) -> Result<Vec<AuditLine>, Error> {
    let range = KeyRange::prefix(vec![AUDIT_KIND]).after(&Key::Audit(after).to_bytes());
    let page = rows.scan(&range, limit).map_err(Error::Engine)?;
    let line = |(key, value): &(bytes::Bytes, bytes::Bytes)| AuditLine::from_row(key, value);
    page.iter().map(line).collect::<Result<_, _>>().map_err(Error::Audit)
}

/// The command that drops what is too old or too much, if anything is (S41).
pub(crate) fn prune(
    state: &State,
    rows: &Rows<'_>,
    limits: &Limits,
) -> Result<Option<PruneAudit>, Error> {
    let (_, total) = state.audit_extent();
    let all = KeyRange::prefix(vec![AUDIT_KIND]);
    let oldest = rows.scan(&all, PRUNE_LINES_MAX).map_err(Error::Engine)?;
    let (mut floor, mut bytes) = (None, 0_u64);
    for (key, value) in &oldest {
        let line = AuditLine::from_row(key, value).map_err(Error::Audit)?;
        let too_many = total.saturating_sub(bytes) > limits.bytes_max;
        if line.wall.0 >= limits.oldest && !too_many {
            break;
        }
        floor = Some(line.index + 1);
        bytes += u64::try_from(value.len()).unwrap_or(u64::MAX);
    }
    Ok(floor.map(|floor| PruneAudit { floor, bytes }))
}
