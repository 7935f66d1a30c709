use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

const ROWS: Family = Family("rows");
const OTHER: Family = Family("other");

fn options(path: &Path) -> RocksOptions {
    RocksOptions {
        path: path.to_owned(),
        families: vec![ROWS, OTHER],
        memory: RocksMemory::new(16 << 20, 16 << 20),
    }
}

fn open(path: &Path) -> Result<Arc<RocksEngine>, Error> {
    RocksEngine::open(options(path))
}

fn batch(number: u32) -> Batch {
    let mut batch = Batch::new();
    // Not compressible and larger than a log block now and then, so that records span blocks.
    let length = if number.is_multiple_of(7) { 40_000 } else { 900 };
    let value: Vec<u8> =
        (0..length).map(|place: u32| (place.wrapping_mul(number + 1) >> 3) as u8).collect();
    batch.put(ROWS, number.to_be_bytes().to_vec(), value);
    batch
}

/// An engine killed after `synced` batches, each synced, and `buffered` more, none synced.
/// The directory that is left, copied, so that no clean close can help.
fn killed(synced: u32, buffered: u32) -> TempDir {
    let from = tempfile::tempdir().unwrap();
    let engine = open(from.path()).unwrap();
    for number in 0..synced {
        engine.write(batch(number), Durability::Synced).unwrap();
    }
    for number in synced..synced + buffered {
        engine.write(batch(number), Durability::Buffered).unwrap();
    }
    copy(from.path())
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

/// The newest log and its bytes.
fn newest_log(directory: &Path) -> (PathBuf, Vec<u8>) {
    let logs = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let path = logs.filter(|path| path.extension().is_some_and(|found| found == "log")).max();
    let path = path.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

fn count(engine: &RocksEngine) -> usize {
    engine.scan(ROWS, &KeyRange::all(), 10_000).unwrap().len()
}

#[test]
fn what_was_written_is_there_after_a_kill_and_after_a_close() {
    let directory = killed(20, 10);
    let engine = open(directory.path()).unwrap();
    assert_eq!(count(&engine), 30);
    engine.close().unwrap();
    assert!(matches!(engine.write(batch(1), Durability::Buffered), Err(Error::Closed { .. })));
    assert!(matches!(engine.get(ROWS, b"a"), Err(Error::Closed { .. })));
    drop(engine);
    assert_eq!(count(&open(directory.path()).unwrap()), 30);
}

#[test]
fn a_second_open_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _first = open(directory.path()).unwrap();
    assert!(matches!(open(directory.path()), Err(Error::Locked { .. })));
}

#[test]
fn a_torn_tail_that_was_not_synced_is_dropped() {
    let directory = killed(10, 10);
    let (path, bytes) = newest_log(directory.path());
    let tail = bytes.len() - 500;
    // Cut short; a length that reached the disk without its bytes; bytes half written.
    let zeroed = [&bytes[..tail], &[0; 500]].concat();
    let mut half = bytes.clone();
    half[tail..].fill(0xa5);
    for torn in [bytes[..tail].to_vec(), zeroed, half] {
        std::fs::write(&path, torn).unwrap();
        let copy = copy(directory.path());
        let engine = open(copy.path()).unwrap();
        assert_eq!(count(&engine), 19);
        engine.write(batch(99), Durability::Synced).unwrap();
    }
}

#[test]
fn p_d4_any_flipped_bit_in_synced_log_bytes_is_an_error_that_names_the_log() {
    let directory = killed(20, 1);
    let (path, bytes) = newest_log(directory.path());
    let last_synced = bytes.len() - 2_000;
    for place in (0..last_synced).step_by(1_001) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        match open(directory.path()) {
            Err(Error::Corrupt { place: named, .. }) => {
                assert_eq!(named, path.display().to_string(), "{place}");
            }
            Err(other) => panic!("byte {place}: {other}"),
            Ok(_) => panic!("byte {place}: opened with damage"),
        }
        assert_eq!(std::fs::read(&path).unwrap(), damaged, "nothing is touched");
    }
}

#[test]
fn p_d4_a_log_cut_or_zeroed_before_synced_bytes_is_an_error() {
    let directory = killed(20, 1);
    // As if the watermark had caught up, which it does within a second.
    let sequence = 2 * 20 - 1;
    let kept = watermark::read(directory.path()).unwrap().unwrap();
    let watermark = Watermark::start(directory.path(), kept.engine, sequence).unwrap();
    watermark.stop(sequence);
    let (path, bytes) = newest_log(directory.path());
    for length in [0, 1, bytes.len() / 2, bytes.len() - 5_000] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(matches!(open(directory.path()), Err(Error::Corrupt { .. })), "{length}");
    }
    let mut zeroed = bytes.clone();
    let middle = bytes.len() / 2;
    zeroed[middle..middle + 4_096].fill(0);
    std::fs::write(&path, &zeroed).unwrap();
    assert!(matches!(open(directory.path()), Err(Error::Corrupt { .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(open(directory.path()), Err(Error::Corrupt { .. })));
}

#[test]
fn p_d4_damage_after_a_clean_close_is_never_served() {
    let closed = closed();
    let names = {
        let entries = std::fs::read_dir(closed.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        // RocksDB's diary, lock and record of options hold no rows.
        names.retain(|name| !name.starts_with("LOG") && name != "LOCK" && !name.starts_with("OPT"));
        names
    };
    assert!(names.iter().any(|name| name.ends_with(".sst")), "{names:?}");
    for name in names.iter().filter(|name| *name != "IDENTITY") {
        for damage in [flip, truncate, remove] {
            let directory = copy(closed.path());
            damage(&directory.path().join(name));
            check_not_served(directory.path(), name);
        }
    }
}

fn closed() -> TempDir {
    let directory = killed(20, 10);
    let engine = open(directory.path()).unwrap();
    engine.close().unwrap();
    directory
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    std::fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() * 2 / 3]).unwrap();
}

fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

/// Either the engine says that it is damaged, or every row is there.
fn check_not_served(directory: &Path, name: &str) {
    let read = open(directory).and_then(|engine| {
        (0..30u32)
            .map(|number| engine.get(ROWS, &number.to_be_bytes()))
            .collect::<Result<Vec<_>, _>>()
    });
    match read {
        Err(Error::Corrupt { .. }) => {}
        Err(other) => panic!("{name}: {other}"),
        Ok(rows) => {
            for (number, row) in (0..).zip(rows) {
                let batch = batch(number);
                let Operation::Put { value, .. } = &batch.operations()[0] else { continue };
                assert_eq!(row.as_ref(), Some(value), "{name}: row {number}");
            }
        }
    }
}

#[test]
fn p_i5_a_log_of_another_engine_is_not_replayed() {
    let (own, other) = (killed(20, 0), killed(25, 0));
    let (path, bytes) = newest_log(own.path());
    std::fs::write(&path, newest_log(other.path()).1).unwrap();
    let refused = open(own.path());
    let named = path.display().to_string();
    assert!(matches!(refused, Err(Error::Corrupt { place, .. }) if place == named));
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(count(&open(own.path()).unwrap()), 20);
}

#[test]
fn p_i5_a_lost_current_or_a_short_manifest_is_named_before_anything_is_touched() {
    let closed = closed();
    let manifest = std::fs::read_to_string(closed.path().join("CURRENT")).unwrap();
    for (name, damages) in
        [("CURRENT", &[flip, remove][..]), (manifest.trim_end(), &[truncate, remove])]
    {
        for damage in damages {
            let directory = copy(closed.path());
            let path = directory.path().join(name);
            damage(&path);
            let before = names(directory.path());
            let refused = open(directory.path());
            let named = path.display().to_string();
            assert!(
                matches!(refused, Err(Error::Corrupt { place, .. }) if place == named),
                "{name}"
            );
            assert_eq!(names(directory.path()), before, "{name}: files were made or removed");
        }
    }
}

fn names(directory: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn the_watermark_follows_syncs_and_a_close_writes_it_down() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path()).unwrap();
    engine.write(batch(1), Durability::Synced).unwrap();
    engine.close().unwrap();
    assert!(watermark::read(directory.path()).unwrap().unwrap().sequence > 0);
    std::fs::remove_file(directory.path().join("SYNCED")).unwrap();
    drop(engine);
    let refused = open(directory.path());
    assert!(matches!(refused, Err(Error::Corrupt { place, .. }) if place.ends_with("SYNCED")));
}
