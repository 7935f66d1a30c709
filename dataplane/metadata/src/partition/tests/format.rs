//! The example of `docs/formats/partition.md`, entry by entry and byte by byte.

use gitstratum_core::{Version, decode_hex, encode_hex};

use super::rig::{MAIN, MapRows, REPO, Rig, command, key, update};
use crate::partition::apply;

const PAGE: &str = include_str!("../../../../../docs/formats/partition.md");

/// The lines of the block called `name`, without its borders.
fn block(name: &str) -> Vec<&'static str> {
    let start = format!("```{name}");
    let lines = PAGE.lines().skip_while(|line| *line != start).skip(1);
    lines.take_while(|line| *line != "```").collect()
}

fn hex(text: &str) -> Vec<u8> {
    decode_hex(text.as_bytes()).expect("because the page has hex there")
}

#[test]
fn s49_the_pages_log_gives_the_pages_rows() {
    let mut rows = MapRows::default();
    for (place, entry) in block("log").iter().enumerate() {
        apply(Version(place as u64 + 1), &hex(entry), &mut rows).unwrap();
    }
    let found: Vec<_> = rows
        .0
        .iter()
        .map(|(key, value)| format!("{} {}", encode_hex(key), encode_hex(value)))
        .collect();
    assert!(!found.is_empty());
    assert_eq!(found, block("rows"), "rows of the page");
}

#[test]
fn s49_this_program_writes_the_pages_log() {
    let mut rig = Rig::new();
    let session = rig.open();
    rig.push(update(key(session, 1, 1), vec![command(MAIN, 0, 7)]));
    let written: Vec<_> = rig.log.iter().map(|entry| encode_hex(entry)).collect();
    assert_eq!(written, block("log"), "log of the page, repository {REPO}");
}
