use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_core::SegmentId;
use gitstratum_store::File;

/// Ending of segment files.
const ENDING: &str = ".seg";

/// Where a sealed segment's bytes are.
pub(crate) enum Place {
    /// All of them, from a row.
    Row(Bytes),
    /// In a file.
    File(Arc<dyn File>),
}

/// Name of the folder for ids that begin with `shard`.
pub(super) fn shard_name(shard: u8) -> String {
    format!("{shard:02x}")
}

/// Path of a segment's file below `directory`.
pub(super) fn path(directory: &Path, segment: SegmentId) -> PathBuf {
    directory.join(shard_name(segment.0[0])).join(format!("{segment}{ENDING}"))
}

/// The segment that a file name names.
pub(super) fn segment_of(name: &str) -> Option<SegmentId> {
    SegmentId::parse(name.strip_suffix(ENDING)?)
}
