use bytes::Bytes;
use gitstratum_core::{ErrorKind, ObjectFormat, PackId};
use proptest::prelude::*;

use super::*;
use crate::part::example::{bytes_of, flips};
use crate::part::{Error, Kind, Prefix};

const PACK: PackId = PackId([0x22; 16]);

fn id(byte: u8) -> ObjectId {
    ObjectId::from_bytes(ObjectFormat::Sha1, &[byte; 20]).unwrap()
}

/// An id as good as a hash's, of any format.
fn hashed(format: ObjectFormat, seed: u64) -> ObjectId {
    let hash = blake3::hash(&seed.to_be_bytes());
    ObjectId::from_bytes(format, &hash.as_bytes()[..format.id_len()]).unwrap()
}

fn built(format: ObjectFormat, commits: Vec<Commit>, tags: Vec<Tag>) -> Result<Bytes, Error> {
    let mut builder = Builder::new(PACK, format);
    commits.into_iter().try_for_each(|commit| builder.add_commit(commit))?;
    tags.into_iter().try_for_each(|tag| builder.add_tag(tag))?;
    builder.finish()
}

fn example_commits() -> Vec<Commit> {
    let merge = Commit {
        id: id(0x10),
        ordinal: Ordinal(0),
        tree: id(0xa1),
        parents: vec![id(0x01), id(0xee), id(0xef)],
        date: CommitDate(2_000),
    };
    let root = Commit {
        id: id(0x01),
        ordinal: Ordinal(2),
        tree: id(0xa2),
        parents: vec![],
        date: CommitDate(1_000),
    };
    vec![merge, root]
}

fn example_tag() -> Tag {
    Tag { id: id(0x50), ordinal: Ordinal(1), target: id(0x10), target_kind: ObjectKind::Commit }
}

fn example() -> Bytes {
    built(ObjectFormat::Sha1, example_commits(), vec![example_tag()]).unwrap()
}

#[test]
fn s49_the_pages_example_is_what_is_written_and_read() {
    let page = bytes_of(include_str!("../../../../docs/formats/graph.md"));
    assert_eq!(page, example());
    let graph = Reader::open(PACK, page.into()).unwrap();
    let commits: Vec<_> = graph.rows().map(|row| graph.commit(row)).collect();
    assert_eq!(commits, example_commits());
    assert_eq!(graph.row_of(&id(0x01)), Some(CommitRow(1)));
    assert_eq!(graph.row_of(&id(0xee)), None, "a parent outside has no row");
    assert!(graph.parents(CommitRow(0)).eq([
        Parent::Row(CommitRow(1)),
        Parent::Outside(id(0xee)),
        Parent::Outside(id(0xef)),
    ]));
    assert_eq!(graph.generation(CommitRow(0)), Generation::UNKNOWN);
    assert_eq!(graph.generation(CommitRow(1)), Generation(1_000));
    assert!(graph.tags().eq([example_tag()]));
    assert_eq!(graph.tag(&id(0x50)), Some(example_tag()));
    assert_eq!(graph.tag(&id(0x51)), None);
}

#[test]
fn damage_and_parts_of_other_packs_are_found() {
    let bytes = example();
    for damaged in flips(&bytes) {
        assert_eq!(Reader::open(PACK, damaged.into()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    for len in 0..bytes.len() {
        assert!(Reader::open(PACK, bytes.slice(..len)).is_err());
    }
    let other = PackId([1; 16]);
    let refused = Reader::open(other, bytes).unwrap_err();
    assert_eq!(refused, Error::OtherPack { part: Kind::Graph, pack: other, found: PACK });
}

/// The example with other bytes at `at`, under a checksum that holds.
fn contradiction(at: usize, bytes: &[u8]) -> Bytes {
    let mut part = example().to_vec();
    part[at..at + bytes.len()].copy_from_slice(bytes);
    let prefix = Prefix::decode(Kind::Graph, PACK, &part).unwrap();
    part.truncate(part.len() - 4);
    prefix.close(&mut part);
    part.into()
}

#[test]
fn a_part_that_contradicts_itself_is_damaged_whatever_its_checksum() {
    assert!(Reader::open(PACK, contradiction(104, &[0, 0, 0, 1])).is_ok(), "as it was");
    let impossible = [
        (104, 9u32),        // a row by id that is not there
        (104, 0),           // a row by id twice
        (132, 5),           // ordinals that fall
        (136, 2),           // a parent's row that is not there
        (136, 0x4000_0002), // an outside parent that is not there
        (136, u32::MAX),    // a second parent without a first
        (140, 0x8000_0002), // further parents that are not there
        (252, 0),           // further parents without an end
        (280, 0x0910_1010), // a tag of something unheard of
    ];
    for (at, word) in impossible {
        let refused = Reader::open(PACK, contradiction(at, &word.to_be_bytes())).unwrap_err();
        assert!(matches!(refused, Error::Damaged { .. }), "{word:x} at {at}");
    }
}

#[test]
fn s6_gs_md_18_generations_are_corrected_commit_dates() {
    let commit = |byte: u8, parents: &[u8], date| Commit {
        id: id(byte),
        ordinal: Ordinal(byte.into()),
        tree: id(0xaa),
        parents: parents.iter().map(|byte| id(*byte)).collect(),
        date: CommitDate(date),
    };
    let commits = vec![
        commit(1, &[], 100),
        commit(2, &[1], 50),
        commit(3, &[1, 2], 101),
        commit(4, &[0xee], 300),
        commit(5, &[3, 4], 400),
        commit(6, &[], 0),
    ];
    let bytes = built(ObjectFormat::Sha1, commits, vec![]).unwrap();
    let graph = Reader::open(PACK, bytes).unwrap();
    let found: Vec<_> = graph.rows().map(|row| graph.generation(row).0).collect();
    assert_eq!(found, [100, 101, 102, 0, 0, 1]);
}

#[test]
fn a_history_longer_than_a_stack_is_no_problem() {
    let count = 200_000u64;
    let format = ObjectFormat::Sha1;
    let commits = (0..count).map(|at| Commit {
        id: hashed(format, at),
        ordinal: Ordinal(at as u32),
        tree: id(0xaa),
        parents: (at + 1 < count).then(|| hashed(format, at + 1)).into_iter().collect(),
        date: CommitDate(5),
    });
    let bytes = built(format, commits.collect(), vec![]).unwrap();
    let graph = Reader::open(PACK, bytes).unwrap();
    assert_eq!(graph.generation(CommitRow(0)), Generation(5 + count - 1));
}

#[test]
fn an_empty_graph_and_a_row_beyond_the_end_are_plain() {
    let graph = Reader::open(PACK, built(ObjectFormat::Sha256, vec![], vec![]).unwrap()).unwrap();
    assert!(graph.is_empty());
    assert_eq!(graph.row_of(&hashed(ObjectFormat::Sha256, 1)), None);
    assert_eq!(graph.row(0), None);
    let graph = Reader::open(PACK, example()).unwrap();
    assert_eq!((graph.row(1), graph.row(2)), (Some(CommitRow(1)), None));
}

#[test]
fn what_was_added_twice_or_is_of_another_format_is_refused() {
    let [merge, root] = example_commits().try_into().unwrap();
    let moved = Commit { ordinal: Ordinal(9), ..root.clone() };
    let renamed = Commit { id: id(0x77), ..root.clone() };
    let foreign = Commit { tree: hashed(ObjectFormat::Sha256, 1), ..root.clone() };
    for commits in [vec![root.clone(), moved], vec![root.clone(), renamed], vec![merge, foreign]] {
        let refused = built(ObjectFormat::Sha1, commits, vec![]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Bug);
    }
    let tags = vec![example_tag(), example_tag()];
    assert!(built(ObjectFormat::Sha1, vec![], tags).is_err());
}

fn histories() -> impl Strategy<Value = Vec<Vec<u64>>> {
    let parents = prop::collection::vec(any::<u64>(), 0..6);
    prop::collection::vec(parents, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn s6_any_history_comes_back(picks in histories(), sha256 in any::<bool>()) {
        let format = if sha256 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
        let mut commits = Vec::new();
        for (at, picks) in picks.iter().enumerate() {
            let at = at as u64;
            // Ids below `at` are in the pack; those from a million on are outside.
            let parent = |pick: &u64| match pick % (at + 2) {
                inside if inside < at => hashed(format, inside),
                _ => hashed(format, 1_000_000 + pick % 5),
            };
            commits.push(Commit {
                id: hashed(format, at),
                ordinal: Ordinal(1_000 - 3 * at as u32),
                tree: hashed(format, 2_000_000 + at),
                parents: picks.iter().map(parent).collect(),
                date: CommitDate(picks.first().copied().unwrap_or(3) % 1_000),
            });
        }
        let bytes = built(format, commits.clone(), vec![]).unwrap();
        let graph = Reader::open(PACK, bytes).unwrap();
        commits.sort_by_key(|commit| commit.ordinal);
        let found: Vec<_> = graph.rows().map(|row| graph.commit(row)).collect();
        prop_assert_eq!(&found, &commits);
        for row in graph.rows() {
            prop_assert_eq!(graph.row_of(&graph.id(row)), Some(row));
            let parents = graph.parents(row).map(|parent| match parent {
                Parent::Row(row) => graph.generation(row),
                Parent::Outside(_) => Generation::UNKNOWN,
            });
            prop_assert_eq!(graph.generation(row), Generation::of(graph.date(row), parents));
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Reader::open(PACK, bytes.into()).is_err());
    }
}
