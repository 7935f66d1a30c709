use prost::Message;

use crate::control::v1::SnapshotUpdate;

/// Bytes of one message of a snapshot stream; a larger record is a message of its own.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1024 * 1024;

/// Cuts `update` into messages of at most about `bytes_max` bytes, all but the last
/// marked `more`. Only the first says `reset`; each names the version that all of them
/// lead to, so whoever loses the stream in between is still at the version before.
pub fn split_snapshot(update: SnapshotUpdate, bytes_max: usize) -> Vec<SnapshotUpdate> {
    if update.encoded_len() <= bytes_max {
        return vec![update];
    }
    let (version, cluster_id) = (update.version, update.cluster_id);
    let first = SnapshotUpdate {
        version,
        cluster_id: cluster_id.clone(),
        reset: update.reset,
        layout: update.layout,
        ..SnapshotUpdate::default()
    };
    let blank = SnapshotUpdate { version, cluster_id, ..SnapshotUpdate::default() };
    let mut cutter = Cutter { bytes: first.encoded_len(), chunks: vec![first], blank, bytes_max };
    cutter.take(update.settings, |chunk| &mut chunk.settings);
    cutter.take(update.users, |chunk| &mut chunk.users);
    cutter.take_numbers(update.users_gone, |chunk| &mut chunk.users_gone);
    cutter.take(update.tokens, |chunk| &mut chunk.tokens);
    for hash in update.tokens_gone {
        let bytes = hash.len();
        cutter.chunk(bytes).tokens_gone.push(hash);
    }
    cutter.take(update.grants, |chunk| &mut chunk.grants);
    cutter.take(update.grants_gone, |chunk| &mut chunk.grants_gone);
    cutter.take(update.repositories, |chunk| &mut chunk.repositories);
    cutter.take_numbers(update.repositories_gone, |chunk| &mut chunk.repositories_gone);
    let last = cutter.chunks.len() - 1;
    for chunk in &mut cutter.chunks[..last] {
        chunk.more = true;
    }
    cutter.chunks
}

struct Cutter {
    chunks: Vec<SnapshotUpdate>,
    /// What every chunk says.
    blank: SnapshotUpdate,
    /// Bytes in the last chunk so far.
    bytes: usize,
    bytes_max: usize,
}

impl Cutter {
    /// Tag and length in front of a record, at most.
    const FRAME_BYTES: usize = 12;

    /// The chunk that a record of `bytes` goes to.
    fn chunk(&mut self, bytes: usize) -> &mut SnapshotUpdate {
        let bytes = bytes + Self::FRAME_BYTES;
        if self.bytes + bytes > self.bytes_max {
            self.chunks.push(self.blank.clone());
            self.bytes = self.blank.encoded_len();
        }
        self.bytes += bytes;
        self.chunks.last_mut().expect("because there is a first chunk from the start")
    }

    fn take<R: Message>(&mut self, records: Vec<R>, field: fn(&mut SnapshotUpdate) -> &mut Vec<R>) {
        for record in records {
            let bytes = record.encoded_len();
            field(self.chunk(bytes)).push(record);
        }
    }

    fn take_numbers(&mut self, numbers: Vec<u64>, field: fn(&mut SnapshotUpdate) -> &mut Vec<u64>) {
        for number in numbers {
            field(self.chunk(0)).push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::v1::{Layout, Repository, UserRecord};

    fn update(repositories: u64) -> SnapshotUpdate {
        let repository =
            |id| Repository { id, path: "demo/hello".to_owned(), ..Default::default() };
        SnapshotUpdate {
            version: 9,
            reset: true,
            cluster_id: vec![7; 16].into(),
            layout: Some(Layout { epoch: 3, ..Default::default() }),
            repositories: (0..repositories).map(repository).collect(),
            users: vec![UserRecord { name: "x".repeat(500), ..Default::default() }],
            users_gone: (1..40).collect(),
            tokens_gone: vec![vec![1; 32].into(), vec![2; 32].into()],
            ..SnapshotUpdate::default()
        }
    }

    #[test]
    fn a_small_update_stays_one_message() {
        assert_eq!(split_snapshot(update(1), SNAPSHOT_CHUNK_BYTES), [update(1)]);
    }

    #[test]
    fn a_large_update_is_cut_and_nothing_is_lost() {
        let whole = update(300);
        let chunks = split_snapshot(whole.clone(), 400);
        assert!(chunks.len() > 10);
        let mut joined = SnapshotUpdate::default();
        for (place, chunk) in chunks.iter().enumerate() {
            let alone = chunk.users.len() == 1;
            assert!(chunk.encoded_len() <= 410 || alone, "{}", chunk.encoded_len());
            assert_eq!(chunk.more, place + 1 < chunks.len());
            assert_eq!(chunk.reset, place == 0);
            // Protobuf joins messages by concatenation.
            joined.merge(chunk.encode_to_vec().as_slice()).expect("because we wrote it");
        }
        joined.more = false;
        assert_eq!(joined, whole);
    }
}
