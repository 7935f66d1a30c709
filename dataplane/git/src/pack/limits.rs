use gitstratum_core::ObjectKind;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What one pushed pack may cost (`promises.md` §6, S17). Every number is
/// checked before the memory or the work that it guards is spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the pack, header and trailer included.
    pub pack_bytes_max: u64,
    /// Entries of the pack, duplicates included.
    pub objects_max: u32,
    /// Bytes of one object; also of one delta's instructions.
    pub object_bytes_max: u64,
    /// Bytes of one commit or tag.
    pub commit_bytes_max: u64,
    /// Bytes that all entries together may inflate to while being scanned.
    pub inflated_bytes_max: u64,
    /// Bytes that resolving may make in all, work done twice included.
    pub resolved_bytes_max: u64,
    /// Deltas between an object and the whole object its chain rests on.
    pub chain_max: u16,
    /// Bytes of delta bases held while resolving.
    pub base_cache_bytes: u64,
    /// Trees between a tree and its deepest one inside the pack, both counted.
    pub tree_depth_max: u16,
    /// Tags between a tag and what it finally names, inside the pack.
    pub tag_depth_max: u16,
    /// References from trees to trees whose depth is not known yet that are
    /// held at once, 4 bytes each.
    pub tree_links_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pack_bytes_max: 2 * GIB,
            objects_max: 4_000_000,
            object_bytes_max: 100 * MIB,
            commit_bytes_max: 16 * MIB,
            inflated_bytes_max: 32 * GIB,
            resolved_bytes_max: 256 * GIB,
            chain_max: 4095,
            base_cache_bytes: 96 * MIB,
            tree_depth_max: 2048,
            tag_depth_max: 100,
            tree_links_max: 16 << 20,
        }
    }
}

impl Limits {
    /// Bytes that an object of this kind may have.
    pub fn bytes_max(&self, kind: ObjectKind) -> u64 {
        match kind {
            ObjectKind::Commit | ObjectKind::Tag => {
                self.commit_bytes_max.min(self.object_bytes_max)
            }
            ObjectKind::Tree | ObjectKind::Blob => self.object_bytes_max,
        }
    }
}
