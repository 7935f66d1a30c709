use bytes::Bytes;
use gitstratum_core::{ClusterId, GrantsVersion};
use gitstratum_proto::control::v1::UserRecord;
use gitstratum_store::MemoryFiles;
use proptest::prelude::*;

use super::*;

const OWN: ClusterId = ClusterId([1; 16]);
const OTHER: ClusterId = ClusterId([2; 16]);

fn update(version: u64, reset: bool) -> SnapshotUpdate {
    let name = format!("user{version}");
    let users = vec![UserRecord { id: version, name, ..Default::default() }];
    let cluster_id = OWN.0.to_vec().into();
    SnapshotUpdate { version, reset, cluster_id, users, ..Default::default() }
}

fn directory(files: &MemoryFiles) -> &'static Path {
    let directory = Path::new("/agent");
    files.create_directory(directory).unwrap();
    files.sync_directory(Path::new("/")).unwrap();
    directory
}

#[test]
fn s42_rv_m2_every_version_told_is_there_after_a_power_cut() {
    let files = MemoryFiles::new();
    let directory = directory(&files);
    let mut store = Store::open(files.clone(), directory).unwrap();
    for version in 1..=5 {
        store.advance(&[update(version, version == 1)]).unwrap();
    }
    files.crash();
    let store = Store::open(files, directory).unwrap();
    assert_eq!(store.current().version(), GrantsVersion(5));
    assert!(store.current().user_by_name("user1").is_some());
    assert!(store.current().user_by_name("user5").is_some());
}

#[test]
fn a_reset_forgets_what_was_before() {
    let files = MemoryFiles::new();
    let directory = directory(&files);
    let mut store = Store::open(files.clone(), directory).unwrap();
    store.advance(&[update(1, true)]).unwrap();
    store.advance(&[update(2, true)]).unwrap();
    let store = Store::open(files, directory).unwrap();
    assert!(store.current().user_by_name("user1").is_none());
    assert!(store.current().user_by_name("user2").is_some());
}

#[test]
fn a_flipped_bit_is_never_taken_for_a_snapshot() {
    let files = MemoryFiles::new();
    let directory = directory(&files);
    let mut store = Store::open(files.clone(), directory).unwrap();
    store.advance(&[update(1, true)]).unwrap();
    let path = directory.join(FILE);
    let mut bytes = read_whole(files.as_ref(), &path, BYTES_MAX).unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    write_atomically(files.as_ref(), &path, &bytes, Permissions::Private).unwrap();
    let store = Store::open(files, directory).unwrap();
    assert_eq!(store.current().version(), GrantsVersion(0));
}

fn of_cluster(cluster: ClusterId, update: SnapshotUpdate) -> SnapshotUpdate {
    SnapshotUpdate { cluster_id: cluster.0.to_vec().into(), ..update }
}

fn refused(store: &mut Store, version: &[SnapshotUpdate]) -> Refusal {
    match store.advance(version) {
        Err(AdvanceError::Refused(refusal)) => refusal,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[test]
fn s45_a_version_behind_the_one_held_is_refused_also_after_a_restart() {
    let files = MemoryFiles::new();
    let directory = directory(&files);
    let mut store = Store::open(files.clone(), directory).unwrap();
    store.advance(&[update(7, true)]).unwrap();
    for _ in 0..2 {
        for reset in [true, false] {
            let refusal = refused(&mut store, &[update(6, reset)]);
            let (held, sent) = (GrantsVersion(7), GrantsVersion(6));
            assert_eq!(refusal, Refusal::Older { held, sent });
        }
        files.crash();
        store = Store::open(files.clone(), directory).unwrap();
        assert!(store.current().user_by_name("user7").is_some());
        assert!(store.current().user_by_name("user6").is_none());
    }
    store.advance(&[update(7, true)]).unwrap();
    store.advance(&[update(8, false)]).unwrap();
    assert_eq!(store.current().version(), GrantsVersion(8));
}

#[test]
fn s45_a_recovered_control_plane_is_ahead_by_its_generation() {
    let files = MemoryFiles::new();
    let directory = directory(&files);
    let mut store = Store::open(files, directory).unwrap();
    let stamp = |generation: u64, index: u64| generation << 48 | index;
    store.advance(&[update(stamp(1, 900), true)]).unwrap();
    store.advance(&[update(stamp(2, 3), true)]).unwrap();
    assert!(matches!(refused(&mut store, &[update(stamp(1, 901), true)]), Refusal::Older { .. }));
}

#[test]
fn s46_a_snapshot_of_another_cluster_is_refused() {
    let files = MemoryFiles::new();
    let directory = directory(&files);
    let mut store = Store::open(files.clone(), directory).unwrap();
    let nameless = SnapshotUpdate { cluster_id: Bytes::new(), ..update(1, true) };
    assert_eq!(refused(&mut store, std::slice::from_ref(&nameless)), Refusal::NoCluster);
    store.advance(&[update(1, true)]).unwrap();
    assert_eq!(refused(&mut store, &[nameless]), Refusal::NoCluster);
    let foreign = of_cluster(OTHER, update(9, true));
    let expected = Refusal::OtherCluster { held: OWN, sent: OTHER };
    assert_eq!(refused(&mut store, std::slice::from_ref(&foreign)), expected);
    let own = SnapshotUpdate { more: true, ..update(9, true) };
    assert_eq!(refused(&mut store, &[own, foreign]), expected, "the last message counts too");
    let store = Store::open(files, directory).unwrap();
    assert_eq!(store.current().version(), GrantsVersion(1));
    assert_eq!(store.current().cluster_id(), Some(OWN));
}

proptest! {
    /// Whatever is sent, and whenever the power goes: no way back, no other cluster.
    #[test]
    fn s45_s46_versions_never_fall_and_the_cluster_never_changes(
        sent in prop::collection::vec(
            (1u64..40, any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2)),
            1..40,
        ),
    ) {
        let files = MemoryFiles::new();
        let directory = directory(&files);
        let mut store = Store::open(files.clone(), directory).unwrap();
        store.advance(&[update(1, true)]).unwrap();
        for (version, reset, is_foreign, is_cut) in sent {
            let before = store.current().version();
            let cluster = if is_foreign { OTHER } else { OWN };
            let offered = of_cluster(cluster, update(version, reset));
            let is_good = !is_foreign && version >= before.0;
            prop_assert_eq!(store.advance(&[offered]).is_ok(), is_good);
            let expected = if is_good { GrantsVersion(version) } else { before };
            if is_cut {
                files.crash();
                store = Store::open(files.clone(), directory).unwrap();
            }
            prop_assert_eq!(store.current().version(), expected);
            prop_assert_eq!(store.current().cluster_id(), Some(OWN));
        }
    }
}
