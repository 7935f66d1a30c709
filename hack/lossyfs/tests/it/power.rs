//! Power cuts under a mounted disk.

use std::fs::{self, File};
use std::io::Write as _;

use lossyfs::Loss;

use crate::Bench;

#[test]
fn after_a_power_cut_only_the_synced_state_is_there() {
    let Some(mut bench) = Bench::new("after_a_power_cut_only_the_synced_state_is_there") else {
        return;
    };
    let root = bench.root().to_path_buf();
    let kept = File::create(root.join("kept")).unwrap();
    (&kept).write_all(b"synced").unwrap();
    kept.sync_data().unwrap();
    File::open(&root).unwrap().sync_all().unwrap();
    (&kept).write_all(b" and not").unwrap();
    fs::write(root.join("lost"), b"words").unwrap();

    bench.control().cut_power(Loss::Everything);
    assert_eq!((&kept).write_all(b"x").unwrap_err().raw_os_error(), Some(5));
    assert!(kept.sync_all().is_err());
    assert!(File::create(root.join("new")).is_err());
    drop(kept);

    bench.remount();
    assert_eq!(fs::read(root.join("kept")).unwrap(), b"synced");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    fs::write(root.join("kept"), b"and on it goes").unwrap();
}

#[test]
fn an_orderly_unmount_keeps_everything_as_plain_files() {
    let Some(mut bench) = Bench::new("an_orderly_unmount_keeps_everything_as_plain_files") else {
        return;
    };
    fs::create_dir(bench.root().join("folder")).unwrap();
    fs::write(bench.root().join("folder/file"), b"words").unwrap();
    fs::write(bench.root().join("gone"), b"").unwrap();
    bench.remount();
    assert_eq!(fs::read(bench.root().join("folder/file")).unwrap(), b"words");
    fs::remove_file(bench.root().join("gone")).unwrap();
    bench.unmount();
    assert_eq!(fs::read(bench.backing.path().join("folder/file")).unwrap(), b"words");
    assert!(!bench.backing.path().join("gone").exists());
    assert!(!bench.root().join("folder").exists());
}

#[test]
fn an_fsync_error_shows_once_and_the_bytes_never_arrive() {
    let Some(mut bench) = Bench::new("an_fsync_error_shows_once_and_the_bytes_never_arrive") else {
        return;
    };
    let path = bench.root().join("log");
    let file = File::create(&path).unwrap();
    File::open(bench.root()).unwrap().sync_all().unwrap();
    (&file).write_all(b"entry").unwrap();
    bench.control().fail("sync EIO 1 log".parse().unwrap());
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
    file.sync_data().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"entry");
    drop(file);
    bench.control().cut_power(Loss::Everything);
    bench.remount();
    // The length was synced the second time, the bytes were not.
    assert_eq!(fs::read(&path).unwrap(), [0; 5]);
}

#[test]
fn a_writer_in_full_swing_stops_at_the_cut() {
    let Some(mut bench) = Bench::new("a_writer_in_full_swing_stops_at_the_cut") else { return };
    let root = bench.root().to_path_buf();
    for seed in 0..5 {
        let acked = std::thread::scope(|scope| {
            let writer = scope.spawn(|| append_until_error(&root.join("log"), &root));
            while bench.control().next_event() < 20 {
                std::thread::yield_now();
            }
            bench.control().cut_power(Loss::Some { seed });
            writer.join().unwrap()
        });
        bench.remount();
        let left = fs::read(root.join("log")).unwrap();
        assert!(acked > 0 && left.len() >= acked * RECORD, "{acked} acked, {} left", left.len());
        assert!(left[..acked * RECORD].iter().all(|byte| *byte == 9));
        fs::remove_file(root.join("log")).unwrap();
        bench.remount();
    }
}

const RECORD: usize = 1000;

/// Appends records, each synced; gives how many were acknowledged before the first error.
fn append_until_error(path: &std::path::Path, folder: &std::path::Path) -> usize {
    let file = File::create(path).expect("created");
    File::open(folder).and_then(|folder| folder.sync_all()).expect("synced");
    let mut acked = 0;
    while (&file).write_all(&[9; RECORD]).and_then(|()| file.sync_data()).is_ok() {
        acked += 1;
    }
    acked
}
