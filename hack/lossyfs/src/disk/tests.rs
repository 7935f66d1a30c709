use std::ffi::OsStr;

use super::names::{Entry, Make};
use super::*;
use crate::fault::Fault;

const OWNER: Owner = Owner { mode: 0o755, uid: 0, gid: 0 };

fn disk() -> Disk {
    Disk::new(OWNER)
}

fn at(parent: Ino, name: &str) -> Entry<'_> {
    Entry { parent, name: OsStr::new(name) }
}

fn file(disk: &mut Disk, parent: Ino, name: &str, bytes: &[u8]) -> Ino {
    let ino = disk.create(at(parent, name), Make::File, OWNER).expect("made");
    disk.write(ino, 0, bytes).expect("written");
    ino
}

fn directory(disk: &mut Disk, parent: Ino, name: &str) -> Ino {
    disk.create(at(parent, name), Make::Directory, OWNER).expect("made")
}

fn sync(disk: &mut Disk, ino: Ino) {
    disk.sync(ino, Extent::Bytes).expect("synced");
}

fn cut(disk: &mut Disk) {
    disk.cut_power(Loss::Everything);
    disk.power = Power::On;
}

fn bytes(disk: &mut Disk, parent: Ino, name: &str) -> Option<Vec<u8>> {
    let ino = disk.lookup(at(parent, name)).ok()?;
    Some(disk.read(ino, 0, usize::MAX).expect("read"))
}

fn names(disk: &Disk, ino: Ino) -> Vec<String> {
    let directory = disk.node(ino).expect("there").directory().expect("a directory");
    directory.live.keys().map(|name| name.to_string_lossy().into_owned()).collect()
}

#[test]
fn a_file_needs_its_own_sync_and_its_directorys() {
    for (sync_file, sync_names, left) in [
        (false, false, None),
        (true, false, None),
        (false, true, Some(b"".to_vec())),
        (true, true, Some(b"words".to_vec())),
    ] {
        let mut disk = disk();
        let ino = file(&mut disk, ROOT, "a", b"words");
        if sync_file {
            sync(&mut disk, ino);
        }
        if sync_names {
            disk.sync_directory(ROOT).expect("synced");
        }
        cut(&mut disk);
        assert_eq!(bytes(&mut disk, ROOT, "a"), left, "{sync_file} {sync_names}");
    }
}

#[test]
fn what_was_written_after_the_sync_is_lost() {
    let mut disk = disk();
    let ino = file(&mut disk, ROOT, "a", &[1; 10_000]);
    sync(&mut disk, ino);
    disk.sync_directory(ROOT).expect("synced");
    disk.write(ino, 4_000, &[2; 9_000]).expect("written");
    cut(&mut disk);
    assert_eq!(bytes(&mut disk, ROOT, "a"), Some(vec![1; 10_000]));

    let ino = disk.lookup(at(ROOT, "a")).expect("there");
    disk.set_len(ino, 10).expect("cut");
    disk.set_len(ino, 9_000).expect("extended");
    cut(&mut disk);
    assert_eq!(bytes(&mut disk, ROOT, "a"), Some(vec![1; 10_000]));
}

#[test]
fn a_length_is_synced_with_the_bytes() {
    let mut disk = disk();
    let ino = file(&mut disk, ROOT, "a", &[1; 10_000]);
    sync(&mut disk, ino);
    disk.sync_directory(ROOT).expect("synced");
    disk.set_len(ino, 10).expect("cut");
    disk.set_len(ino, 9_000).expect("extended");
    sync(&mut disk, ino);
    cut(&mut disk);
    let mut left = vec![0; 9_000];
    left[..10].fill(1);
    assert_eq!(bytes(&mut disk, ROOT, "a"), Some(left));
}

#[test]
fn a_rename_over_a_file_happens_when_the_directory_is_synced() {
    for synced in [false, true] {
        let mut disk = disk();
        let old = file(&mut disk, ROOT, "current", b"old");
        sync(&mut disk, old);
        disk.sync_directory(ROOT).expect("synced");
        let new = file(&mut disk, ROOT, "next", b"new");
        sync(&mut disk, new);
        disk.rename(at(ROOT, "next"), at(ROOT, "current")).expect("renamed");
        assert_eq!(bytes(&mut disk, ROOT, "current"), Some(b"new".to_vec()));
        if synced {
            disk.sync_directory(ROOT).expect("synced");
        }
        cut(&mut disk);
        let left: &[u8] = if synced { b"new" } else { b"old" };
        assert_eq!(bytes(&mut disk, ROOT, "current"), Some(left.to_vec()));
        assert_eq!(names(&disk, ROOT), ["current"]);
    }
}

#[test]
fn a_removed_file_comes_back_unless_its_directory_was_synced() {
    let mut disk = disk();
    let ino = file(&mut disk, ROOT, "a", b"words");
    sync(&mut disk, ino);
    disk.sync_directory(ROOT).expect("synced");
    disk.remove(at(ROOT, "a"), Make::File).expect("removed");
    assert_eq!(names(&disk, ROOT).len(), 0);
    cut(&mut disk);
    assert_eq!(bytes(&mut disk, ROOT, "a"), Some(b"words".to_vec()));
    disk.remove(at(ROOT, "a"), Make::File).expect("removed");
    disk.sync_directory(ROOT).expect("synced");
    cut(&mut disk);
    assert_eq!(bytes(&mut disk, ROOT, "a"), None);
}

#[test]
fn a_directory_needs_its_parents_sync_and_its_own() {
    let mut disk = disk();
    let inner = directory(&mut disk, ROOT, "inner");
    let ino = file(&mut disk, inner, "a", b"words");
    sync(&mut disk, ino);
    disk.sync_directory(inner).expect("synced");
    cut(&mut disk);
    assert_eq!(names(&disk, ROOT).len(), 0);

    let inner = directory(&mut disk, ROOT, "inner");
    file(&mut disk, inner, "a", b"words");
    disk.sync_directory(ROOT).expect("synced");
    cut(&mut disk);
    assert_eq!(names(&disk, inner).len(), 0);
}

#[test]
fn a_directory_moved_while_one_side_was_synced_stays_in_one_place() {
    let mut disk = disk();
    let (left, right) = (directory(&mut disk, ROOT, "left"), directory(&mut disk, ROOT, "right"));
    let moved = directory(&mut disk, left, "moved");
    for ino in [ROOT, left, right, moved] {
        disk.sync_directory(ino).expect("synced");
    }
    disk.rename(at(left, "moved"), at(right, "moved")).expect("renamed");
    disk.sync_directory(right).expect("synced");
    cut(&mut disk);
    assert_eq!(names(&disk, left).len() + names(&disk, right).len(), 1);
}

#[test]
fn after_a_failed_sync_the_bytes_are_seen_but_never_synced() {
    let mut disk = disk();
    let ino = file(&mut disk, ROOT, "a", b"old");
    sync(&mut disk, ino);
    disk.sync_directory(ROOT).expect("synced");
    disk.write(ino, 0, b"new").expect("written");
    disk.faults.plan("sync EIO 1".parse::<Fault>().expect("a fault"));
    assert_eq!(disk.sync(ino, Extent::Bytes), Err(Errno::IO));
    assert_eq!(bytes(&mut disk, ROOT, "a"), Some(b"new".to_vec()));
    sync(&mut disk, ino);
    cut(&mut disk);
    assert_eq!(bytes(&mut disk, ROOT, "a"), Some(b"old".to_vec()));
}

#[test]
fn a_full_disk_reads_and_removes_but_does_not_write() {
    let mut disk = disk();
    let ino = file(&mut disk, ROOT, "a", b"words");
    disk.space = Space::Full;
    assert_eq!(disk.write(ino, 0, b"more"), Err(Errno::NOSPC));
    assert_eq!(disk.create(at(ROOT, "b"), Make::File, OWNER), Err(Errno::NOSPC));
    assert_eq!(bytes(&mut disk, ROOT, "a"), Some(b"words".to_vec()));
    sync(&mut disk, ino);
    disk.remove(at(ROOT, "a"), Make::File).expect("removed");
    disk.space = Space::Free;
    file(&mut disk, ROOT, "b", b"again");
}

#[test]
fn without_power_every_call_fails() {
    let mut disk = disk();
    let ino = file(&mut disk, ROOT, "a", b"words");
    disk.cut_power(Loss::Everything);
    assert_eq!(disk.read(ino, 0, 1), Err(Errno::IO));
    assert_eq!(disk.write(ino, 0, b"x"), Err(Errno::IO));
    assert_eq!(disk.sync(ino, Extent::Bytes), Err(Errno::IO));
    assert_eq!(disk.sync_directory(ROOT), Err(Errno::IO));
    assert_eq!(disk.lookup(at(ROOT, "a")), Err(Errno::IO));
    assert_eq!(disk.create(at(ROOT, "b"), Make::File, OWNER), Err(Errno::IO));
}

#[test]
fn what_nobody_can_reach_costs_nothing() {
    let mut disk = disk();
    for _ in 0..100 {
        let ino = file(&mut disk, ROOT, "a", b"words");
        disk.open(ino).expect("opened");
        disk.sync_directory(ROOT).expect("synced");
        disk.remove(at(ROOT, "a"), Make::File).expect("removed");
        assert_eq!(disk.read(ino, 0, 9).expect("still open"), b"words");
        disk.sync_directory(ROOT).expect("synced");
        disk.close(ino);
    }
    assert_eq!(disk.nodes.len(), 1);
}

/// What is left of a file whose old bytes were synced and whose new ones were not.
fn left_with(seed: u64) -> Option<Vec<u8>> {
    let mut disk = disk();
    let ino = file(&mut disk, ROOT, "a", &[1; 8 * 4096]);
    sync(&mut disk, ino);
    disk.sync_directory(ROOT).expect("synced");
    disk.write(ino, 0, &[2; 12 * 4096]).expect("written");
    disk.cut_power(Loss::Some { seed });
    disk.power = Power::On;
    bytes(&mut disk, ROOT, "a")
}

#[test]
fn chance_spares_some_pages_and_never_touches_synced_ones() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let left = left_with(seed).expect("its name was synced");
        assert_eq!(left_with(seed).as_ref(), Some(&left), "the same seed takes the same");
        assert!(left.len() == 8 * 4096 || left.len() == 12 * 4096);
        assert!(left[..8 * 4096].iter().all(|byte| *byte == 1 || *byte == 2));
        for sector in left.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "sectors are whole");
        }
        seen.insert(left);
    }
    assert!(seen.len() > 32, "only {} outcomes", seen.len());
}

#[test]
fn events_tell_the_order_of_calls() {
    let mut disk = disk();
    let inner = directory(&mut disk, ROOT, "inner");
    let ino = file(&mut disk, inner, "a", b"words");
    disk.sync_directory(inner).expect("synced");
    disk.sync(ino, Extent::Bytes).expect("synced");
    disk.sync(ino, Extent::Everything).expect("synced");
    disk.rename(at(inner, "a"), at(inner, "b")).expect("renamed");
    disk.remove(at(inner, "b"), Make::File).expect("removed");
    let events = disk.events.since(0);
    let told: Vec<String> =
        events.iter().map(|event| format!("{} {}", event.kind, event.path)).collect();
    assert_eq!(
        told,
        [
            "mkdir inner",
            "create inner/a",
            "fsyncdir inner",
            "fdatasync inner/a",
            "fsync inner/a",
            "rename inner/b",
            "remove inner/b"
        ]
    );
    assert!(events.is_sorted_by_key(|event| (event.number, event.at)));
    assert_eq!(disk.events.since(5).len(), 2);
}
