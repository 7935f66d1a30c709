//! Calls that data bases make of a file system.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};

use lossyfs::{EventKind, Space};
use rustix::fs::FallocateFlags;

use crate::Bench;

#[test]
fn files_and_directories_behave_as_ever() {
    let Some(bench) = Bench::new("files_and_directories_behave_as_ever") else { return };
    let root = bench.root();
    fs::create_dir_all(root.join("a/b")).unwrap();
    let path = root.join("a/b/file");
    fs::write(&path, vec![7; 3_000_000]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), vec![7; 3_000_000]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 3_000_000);

    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"end").unwrap();
    let mut end = [0; 4];
    File::open(&path).unwrap().read_exact_at(&mut end, 2_999_999).unwrap();
    assert_eq!(&end, b"\x07end");

    fs::rename(&path, root.join("moved")).unwrap();
    assert!(!path.exists());
    fs::hard_link(root.join("moved"), root.join("linked")).unwrap();
    fs::remove_file(root.join("moved")).unwrap();
    assert_eq!(fs::metadata(root.join("linked")).unwrap().len(), 3_000_003);
    fs::set_permissions(root.join("linked"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(fs::metadata(root.join("linked")).unwrap().permissions().mode() & 0o777, 0o600);

    assert!(fs::remove_dir(root.join("a")).is_err());
    fs::remove_dir_all(root.join("a")).unwrap();
    assert_eq!(fs::read_dir(root).unwrap().count(), 1);
}

#[test]
fn processes_meet_at_sockets_which_go_with_the_mount() {
    let Some(mut bench) = Bench::new("processes_meet_at_sockets_which_go_with_the_mount") else {
        return;
    };
    let path = bench.root().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    let mut near = UnixStream::connect(&path).unwrap();
    near.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    listener.accept().unwrap().0.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    fs::rename(&path, bench.root().join("moved")).unwrap();
    fs::remove_file(bench.root().join("moved")).unwrap();
    let again = UnixListener::bind(&path).unwrap();
    drop((listener, near, again));
    bench.remount();
    assert!(!bench.root().join("socket").exists());
}

#[test]
fn many_entries_are_listed_and_removed_while_listing() {
    let Some(bench) = Bench::new("many_entries_are_listed_and_removed_while_listing") else {
        return;
    };
    let folder = bench.root().join("many");
    fs::create_dir(&folder).unwrap();
    for n in 0..3_000 {
        fs::write(folder.join(format!("file-{n:04}")), b"").unwrap();
    }
    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 3_000);
    for entry in fs::read_dir(&folder).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    fs::remove_dir(&folder).unwrap();
}

#[test]
fn an_unlinked_file_lives_until_it_is_closed() {
    let Some(bench) = Bench::new("an_unlinked_file_lives_until_it_is_closed") else { return };
    let path = bench.root().join("spool");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    file.write_all(b"words").unwrap();
    file.sync_all().unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "words");
}

#[test]
fn space_is_reserved_and_holes_are_punched() {
    let Some(bench) = Bench::new("space_is_reserved_and_holes_are_punched") else { return };
    let path = bench.root().join("file");
    let file = File::create(&path).unwrap();
    rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 1 << 20).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 0);
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 10_000).unwrap();
    assert_eq!(fs::read(&path).unwrap(), vec![0; 10_000]);
    file.write_all_at(&[1; 10_000], 0).unwrap();
    let punch = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE;
    rustix::fs::fallocate(&file, punch, 4096, 4096).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.iter().filter(|byte| **byte == 0).count(), 4096);
    file.set_len(5).unwrap();
    assert_eq!(fs::read(&path).unwrap(), [1; 5]);
}

#[test]
fn locks_keep_a_second_one_out() {
    let Some(bench) = Bench::new("locks_keep_a_second_one_out") else { return };
    let path = bench.root().join("lock");
    let first = File::create(&path).unwrap();
    first.try_lock().unwrap();
    let second = File::open(&path).unwrap();
    assert!(second.try_lock().is_err());
    drop(first);
    second.try_lock().unwrap();
}

#[test]
fn a_full_disk_says_so_and_recovers() {
    let Some(bench) = Bench::new("a_full_disk_says_so_and_recovers") else { return };
    let path = bench.root().join("file");
    fs::write(&path, b"before").unwrap();
    bench.control().set_space(Space::Full);
    let error = fs::write(bench.root().join("other"), b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(rustix::fs::statvfs(bench.root()).unwrap().f_bavail, 0);
    assert_eq!(fs::read(&path).unwrap(), b"before");
    bench.control().set_space(Space::Free);
    fs::write(&path, b"after").unwrap();
    assert!(rustix::fs::statvfs(bench.root()).unwrap().f_bavail > 0);
}

#[test]
fn syncs_are_told_in_their_order() {
    let Some(bench) = Bench::new("syncs_are_told_in_their_order") else { return };
    let control = bench.control();
    let file = File::create(bench.root().join("segment")).unwrap();
    (&file).write_all(b"words").unwrap();
    File::open(bench.root()).unwrap().sync_all().unwrap();
    let before = lossyfs::monotonic_now();
    file.sync_data().unwrap();
    let events = control.events_since(0);
    let syncs: Vec<_> = events.iter().filter(|event| event.kind.is_sync()).collect();
    assert_eq!(syncs.len(), 2);
    assert_eq!((syncs[0].kind, syncs[0].path.as_str()), (EventKind::DirectorySync, ""));
    assert_eq!((syncs[1].kind, syncs[1].path.as_str()), (EventKind::DataSync, "segment"));
    assert!(syncs[0].at <= before && before <= syncs[1].at);
    assert_eq!(control.events_since(control.next_event()).len(), 0);
}
