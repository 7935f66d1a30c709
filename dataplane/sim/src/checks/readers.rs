//! S30: a pack that was replaced stays while an open session may use a version from before that.

use std::collections::BTreeMap;

use bytes::Bytes;
use gitstratum_core::SessionId;
use gitstratum_metadata::partition::query;
use gitstratum_metadata::partition::record::UnlistedRow;
use gitstratum_proto::metadata::v1::SessionRenewal;

use super::Broken;
use super::rows::{Change, number, row};

const READERS: &str = "what-sessions-use-stays";

/// Sessions by partition and number, and what each has told of the versions that it uses.
#[derive(Default)]
pub(super) struct Readers {
    /// Whether it is closed.
    closed: BTreeMap<(u64, u64), bool>,
    /// The least version that it said to use, in what it sent last.
    told: BTreeMap<(u64, u64), u64>,
}

impl Readers {
    /// A frontend is about to send `renewal`.
    pub(super) fn told(&mut self, renewal: &SessionRenewal) {
        let key = (u64::from(renewal.partition), renewal.session);
        let told = self.told.entry(key).or_default();
        *told = renewal.least_version.max(*told);
    }

    /// The row of a session is written in `group`.
    pub(super) fn session(&mut self, group: u64, change: &Change<'_>, key: &[u8]) {
        let id = number(key, 1);
        let Ok(Some(row)) = query::session(&change.after, SessionId(id)) else { return };
        // A replica that is behind opens it again.
        *self.closed.entry((group, id)).or_default() |= row.closed;
    }

    /// A pack that no manifest lists is forgotten in `group`.
    pub(super) fn purged(&self, group: u64, before: &Bytes) -> Result<(), Broken> {
        let row: UnlistedRow = row(before)?;
        let open =
            self.closed.range((group, 0)..=(group, u64::MAX)).filter(|(_, closed)| !**closed);
        for (key, _) in open {
            // It was opened by the entry that it is called after, and uses nothing older.
            let least = self.told.get(key).copied().unwrap_or_default().max(key.1);
            if least < row.since {
                let what = format!(
                    "partition {group}: a pack replaced by entry {} is purged, and session {} uses \
                     version {least}",
                    row.since, key.1
                );
                return Err(Broken::new(READERS, what));
            }
        }
        Ok(())
    }
}
