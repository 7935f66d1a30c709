use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Batch, Durability, Engine, Error, Family, KeyRange, Reader, pages};

/// The families that an engine under test is opened with.
pub const FAMILIES: [Family; 2] = [ROWS, OTHER];
const ROWS: Family = Family("rows");
const OTHER: Family = Family("other");

/// Checks that the engine which `open` makes keeps the contract of [`Engine`]. `open` is
/// called for each check and must return an empty engine with [`FAMILIES`].
///
/// # Panics
/// When it does not.
pub fn check_engine(open: &dyn Fn() -> Arc<dyn Engine>) {
    a_batch_is_visible_on_return(&*open());
    a_batch_is_written_in_order(&*open());
    scans_are_ordered_and_bounded(&*open());
    range_deletes_spare_their_ends(&*open());
    a_view_shows_one_state(&*open());
    pages_show_every_row_once(&*open());
    an_unknown_family_is_a_bug(&*open());
    concurrent_writers_lose_nothing(&open());
}

fn row(key: &'static str, value: &'static str) -> (Bytes, Bytes) {
    (Bytes::from_static(key.as_bytes()), Bytes::from_static(value.as_bytes()))
}

fn write(engine: &dyn Engine, family: Family, rows: &[(&'static str, &'static str)]) {
    let mut batch = Batch::new();
    for (key, value) in rows {
        batch.put(family, *key, *value);
    }
    engine.write(batch, Durability::Buffered).expect("because the engine is sound");
}

fn all(reader: &dyn Reader, family: Family) -> Vec<(Bytes, Bytes)> {
    reader.scan(family, &KeyRange::all(), 1_000).expect("because the engine is sound")
}

fn a_batch_is_visible_on_return(engine: &dyn Engine) {
    let mut batch = Batch::new();
    batch.put(ROWS, "a", "1");
    batch.put(OTHER, "a", "2");
    engine.write(batch, Durability::Synced).expect("because the engine is sound");
    assert_eq!(
        engine.get(ROWS, b"a").expect("because it is sound"),
        Some(Bytes::from_static(b"1"))
    );
    assert_eq!(
        engine.get(OTHER, b"a").expect("because it is sound"),
        Some(Bytes::from_static(b"2"))
    );
    assert_eq!(engine.get(ROWS, b"b").expect("because it is sound"), None);
    engine.write(Batch::new(), Durability::Synced).expect("because an empty batch is fine");
    engine.flush().expect("because the engine is sound");
    assert_eq!(
        engine.get(ROWS, b"a").expect("because it is sound"),
        Some(Bytes::from_static(b"1"))
    );
}

fn a_batch_is_written_in_order(engine: &dyn Engine) {
    let mut batch = Batch::new();
    batch.put(ROWS, "a", "1");
    batch.delete(ROWS, "a");
    batch.put(ROWS, "b", "1");
    batch.delete_range(ROWS, KeyRange::all());
    batch.put(ROWS, "b", "2");
    batch.put(ROWS, "empty", "");
    engine.write(batch, Durability::Buffered).expect("because the engine is sound");
    assert_eq!(all(engine, ROWS), [row("b", "2"), row("empty", "")]);
}

fn scans_are_ordered_and_bounded(engine: &dyn Engine) {
    write(engine, ROWS, &[("b", "2"), ("a", "1"), ("ab", "3"), ("c", "4")]);
    let scan =
        |range: KeyRange, limit| engine.scan(ROWS, &range, limit).expect("because it is sound");
    assert_eq!(scan(KeyRange::all(), 2), [row("a", "1"), row("ab", "3")]);
    assert_eq!(scan(KeyRange::prefix("a"), 9), [row("a", "1"), row("ab", "3")]);
    assert_eq!(scan(KeyRange::between("ab", "c"), 9), [row("ab", "3"), row("b", "2")]);
    assert_eq!(scan(KeyRange::from("b"), 9), [row("b", "2"), row("c", "4")]);
    assert_eq!(scan(KeyRange::between("c", "a"), 9), []);
    assert_eq!(scan(KeyRange::all(), 0), []);
    let last = |range: KeyRange| engine.last(ROWS, &range).expect("because it is sound");
    assert_eq!(last(KeyRange::all()), Some(row("c", "4")));
    assert_eq!(last(KeyRange::prefix("a")), Some(row("ab", "3")));
    assert_eq!(last(KeyRange::between("bb", "c")), None);
    assert_eq!(last(KeyRange::from("d")), None);
}

fn range_deletes_spare_their_ends(engine: &dyn Engine) {
    write(engine, ROWS, &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
    write(engine, OTHER, &[("b", "2")]);
    let delete = |range: KeyRange| {
        let mut batch = Batch::new();
        batch.delete_range(ROWS, range);
        engine.write(batch, Durability::Buffered).expect("because the engine is sound");
    };
    delete(KeyRange::between("b", "c"));
    delete(KeyRange::between("d", "a"));
    assert_eq!(all(engine, ROWS), [row("a", "1"), row("c", "3"), row("d", "4")]);
    delete(KeyRange::from("d"));
    assert_eq!(all(engine, ROWS), [row("a", "1"), row("c", "3")]);
    assert_eq!(all(engine, OTHER), [row("b", "2")]);
}

fn a_view_shows_one_state(engine: &dyn Engine) {
    write(engine, ROWS, &[("a", "1")]);
    let mut seen = Vec::new();
    engine
        .view(&mut |view| {
            write(engine, ROWS, &[("a", "2"), ("b", "2")]);
            seen = all(view, ROWS);
            assert_eq!(view.get(ROWS, b"b")?, None);
            assert_eq!(view.last(ROWS, &KeyRange::all())?, Some(row("a", "1")));
            Ok(())
        })
        .expect("because the engine is sound");
    assert_eq!(seen, [row("a", "1")]);
    assert_eq!(all(engine, ROWS), [row("a", "2"), row("b", "2")]);
    let refused = engine.view(&mut |_| Err(Error::Closed { place: String::new() }));
    assert!(refused.is_err(), "the reader's error comes through");
}

fn pages_show_every_row_once(engine: &dyn Engine) {
    write(engine, ROWS, &[("a", "1"), ("a\0", "2"), ("b", "3"), ("b\u{1}", "4"), ("c", "5")]);
    for page in 1..7 {
        let rows: Result<Vec<_>, _> = pages(engine, ROWS, KeyRange::all(), page).collect();
        assert_eq!(rows.expect("because it is sound"), all(engine, ROWS), "{page}");
    }
}

fn an_unknown_family_is_a_bug(engine: &dyn Engine) {
    let unknown = Family("unknown");
    assert!(matches!(engine.get(unknown, b"a"), Err(Error::Family { .. })));
    let mut batch = Batch::new();
    batch.put(ROWS, "a", "1");
    batch.put(unknown, "a", "1");
    assert!(matches!(engine.write(batch, Durability::Buffered), Err(Error::Family { .. })));
    assert_eq!(engine.get(ROWS, b"a").expect("because it is sound"), None, "all of it or nothing");
}

fn concurrent_writers_lose_nothing(engine: &Arc<dyn Engine>) {
    const WRITERS: u8 = 4;
    const ROWS_EACH: u8 = 50;
    std::thread::scope(|threads| {
        for writer in 0..WRITERS {
            threads.spawn(move || {
                for number in 0..ROWS_EACH {
                    let mut batch = Batch::new();
                    batch.put(ROWS, vec![writer, number], vec![number]);
                    let durability =
                        if number % 8 == 0 { Durability::Synced } else { Durability::Buffered };
                    engine.write(batch, durability).expect("because the engine is sound");
                }
            });
        }
    });
    assert_eq!(all(&**engine, ROWS).len(), usize::from(WRITERS) * usize::from(ROWS_EACH));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::RecordingEngine;
    use crate::{FaultyEngine, MemoryEngine, RocksEngine, RocksMemory, RocksOptions};

    #[test]
    fn the_memory_engine_keeps_the_contract() {
        check_engine(&|| MemoryEngine::new(&FAMILIES));
    }

    #[test]
    fn wrappers_keep_the_contract() {
        check_engine(&|| FaultyEngine::new(MemoryEngine::new(&FAMILIES)));
        check_engine(&|| RecordingEngine::new(MemoryEngine::new(&FAMILIES)));
    }

    #[test]
    fn the_rocks_engine_keeps_the_contract() {
        let directories = std::cell::RefCell::new(Vec::new());
        check_engine(&|| {
            let directory = tempfile::tempdir().expect("because there is room for one");
            let path = directory.path().join("engine");
            directories.borrow_mut().push(directory);
            let memory = RocksMemory::new(1 << 20, 1 << 20);
            let options = RocksOptions { path, families: FAMILIES.to_vec(), memory };
            RocksEngine::open(options).expect("because the directory is new")
        });
    }
}
