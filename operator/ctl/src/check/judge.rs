use std::collections::HashMap;

use gitstratum_core::{NodeId, SegmentId};
use gitstratum_proto::object::v1::VerifyResult;

use super::subjects::Expected;
use crate::text::printable;

/// What an object node says of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) segment: SegmentId,
    /// Empty when sound.
    pub(super) problem: String,
    pub(super) bytes: u64,
}

impl Found {
    /// None when the answer names no segment: it then counts as not given.
    pub(super) fn of(result: &VerifyResult) -> Option<Self> {
        let segment = SegmentId::from_slice(&result.segment_id)?;
        Some(Self { segment, problem: printable(&result.problem), bytes: result.bytes })
    }
}

/// Something wrong with a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) segment: SegmentId,
    pub(super) node: NodeId,
    pub(super) problem: String,
}

/// Compares what `node` is to hold by the manifest with what it found. A segment of which
/// nothing was said is as bad as a missing one.
pub(super) fn judge(node: NodeId, expected: &[&Expected], found: &[Found]) -> Vec<Finding> {
    let found: HashMap<SegmentId, &Found> =
        found.iter().map(|found| (found.segment, found)).collect();
    let findings = expected.iter().filter_map(|Expected { id, length, .. }| {
        let text = problem(*length, found.get(id).copied())?;
        let problem = format!("node {node}: {}", name_segment(*id, text));
        Some(Finding { segment: *id, node, problem })
    });
    findings.collect()
}

fn problem(length: u64, found: Option<&Found>) -> Option<String> {
    let Some(found) = found else {
        return Some("is listed in the manifest, but the object node does not have it".to_owned());
    };
    if !found.problem.is_empty() {
        return Some(found.problem.clone());
    }
    (found.bytes != length)
        .then(|| format!("has {} bytes, but the manifest says {length}", found.bytes))
}

fn name_segment(id: SegmentId, problem: String) -> String {
    let name = id.to_string();
    if problem.contains(&name) { problem } else { format!("segment {name}: {problem}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);

    fn expected(id: u8) -> Expected {
        Expected { id: SegmentId([id; 16]), length: 10, owners: vec![NODE] }
    }

    fn judged(expected: &[Expected], found: &[Found]) -> Vec<String> {
        let expected: Vec<&Expected> = expected.iter().collect();
        judge(NODE, &expected, found).into_iter().map(|finding| finding.problem).collect()
    }

    fn found(id: u8, problem: &str, bytes: u64) -> Found {
        Found { segment: SegmentId([id; 16]), problem: problem.to_owned(), bytes }
    }

    #[test]
    fn p_i6_planted_damage_is_reported_exactly() {
        let all = [expected(1), expected(2), expected(3), expected(4)];
        let answers = [
            found(4, "", 10),
            found(1, "", 10),
            found(2, "block 7 is damaged", 0),
            found(9, "x", 0),
        ];
        let told = judged(&all, &answers);
        let [second, third] = [expected(2), expected(3)].map(|segment| segment.id.to_string());
        assert_eq!(
            told,
            [
                format!("node {NODE}: segment {second}: block 7 is damaged"),
                format!(
                    "node {NODE}: segment {third}: is listed in the manifest, but the object node \
                     does not have it"
                ),
            ]
        );
    }

    #[test]
    fn another_length_than_the_manifest_says_is_damage() {
        let told = judged(&[expected(1)], &[found(1, "", 9)]);
        assert!(told[0].ends_with("has 9 bytes, but the manifest says 10"));
    }

    #[test]
    fn a_segment_is_named_once() {
        let id = SegmentId([1; 16]);
        let told = judged(&[expected(1)], &[found(1, &format!("segment {id} is torn"), 0)]);
        assert_eq!(told, [format!("node {NODE}: segment {id} is torn")]);
    }
}
