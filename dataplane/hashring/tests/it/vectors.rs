use gitstratum_core::{Epoch, NodeId, SegmentId};
use gitstratum_hashring::{Key, Layout, NodeState, Ring, RingNode};

/// One line a vector, written by `make_vectors.py` beside it, which shares no code
/// with the ring.
const VECTORS: &str = include_str!("ring-1.txt");

/// The page that describes the ring, with some vectors of its own.
const PAGE: &str = include_str!("../../../../docs/formats/ring.md");

fn lines(kind: &str) -> Vec<Vec<&'static str>> {
    lines_of(VECTORS, kind)
}

fn lines_of(text: &'static str, kind: &str) -> Vec<Vec<&'static str>> {
    let words = |line: &'static str| line.split(' ').collect::<Vec<_>>();
    text.lines().map(words).filter(|words| words[0] == kind).map(|w| w[1..].to_vec()).collect()
}

fn layout() -> Layout {
    let nodes = lines("node").into_iter().map(|words| RingNode {
        id: NodeId::parse(words[0]).unwrap(),
        weight: words[1].parse().unwrap(),
        zone: words[2].to_owned(),
        region: String::new(),
        state: NodeState::Active,
    });
    Layout { epoch: Epoch(1), replication_factor: 3, nodes: nodes.collect() }
}

#[test]
fn s48_keys_match_the_vectors() {
    let vectors = lines("key");
    assert!(vectors.len() >= 4);
    for words in vectors {
        let segment = SegmentId::parse(words[0]).unwrap();
        assert_eq!(format!("{:016x}", Key::of(&segment).0), words[1], "{segment}");
    }
}

#[test]
fn s48_rv_m4_owners_match_the_vectors() {
    let ring = Ring::new(&layout()).unwrap();
    let vectors = lines("owners");
    assert!(vectors.len() >= 100);
    for words in vectors {
        let segment = SegmentId::parse(words[0]).unwrap();
        let expected: Vec<_> = words[1..].iter().map(|id| NodeId::parse(id).unwrap()).collect();
        assert_eq!(ring.owners(Key::of(&segment), expected.len()), expected, "{segment}");
    }
}

#[test]
fn s48_points_match_the_vectors() {
    for words in lines("point") {
        assert_point(&words);
    }
}

fn assert_point(words: &[&str]) {
    let node = NodeId::parse(words[0]).unwrap();
    let mut name = b"gs-ring-1".to_vec();
    name.extend(node.0.to_be_bytes());
    name.extend(words[1].parse::<u32>().unwrap().to_be_bytes());
    assert_eq!(format!("{:016x}", Key::from_bytes(&name).0), words[2]);
}

#[test]
fn s48_the_page_tells_the_ring_as_it_is() {
    let (points, keys) = (lines_of(PAGE, "point"), lines_of(PAGE, "key"));
    assert_eq!((points.len(), keys.len()), (2, 2));
    points.iter().for_each(|words| assert_point(words));
    assert!(keys.iter().all(|words| lines("key").contains(words)));
}
