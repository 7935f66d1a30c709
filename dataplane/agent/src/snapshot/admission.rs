use gitstratum_client::cluster::Snapshot;
use gitstratum_core::{ClusterId, GrantsVersion};
use gitstratum_proto::control::v1::SnapshotUpdate;

/// Why a version that the control plane sent is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The control plane went back, as one does that was restored from an old copy: users
    /// and grants that were taken since would come back.
    #[error("it is at version {}, {} is held here", sent.0, held.0)]
    Older { held: GrantsVersion, sent: GrantsVersion },
    #[error("it is of cluster {sent}, this node is of {held}")]
    OtherCluster { held: ClusterId, sent: ClusterId },
    #[error("it does not say of which cluster it is")]
    NoCluster,
    #[error("its messages are of several versions")]
    Mixed,
}

/// Whether `version`, all messages of one, may follow what is held: never behind it, never
/// another cluster's (S45, S46).
pub(super) fn admit(held: &Snapshot, version: &[SnapshotUpdate]) -> Result<(), Refusal> {
    for update in version {
        if version.first().is_some_and(|first| first.version != update.version) {
            return Err(Refusal::Mixed);
        }
        let sent = GrantsVersion(update.version);
        if sent < held.version() {
            return Err(Refusal::Older { held: held.version(), sent });
        }
        let sent = ClusterId::from_slice(&update.cluster_id).ok_or(Refusal::NoCluster)?;
        if let Some(held) = held.cluster_id().filter(|held| *held != sent) {
            return Err(Refusal::OtherCluster { held, sent });
        }
    }
    Ok(())
}
