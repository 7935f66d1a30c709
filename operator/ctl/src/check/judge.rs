use std::collections::HashMap;

use gitstratum_core::SegmentId;
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
    pub(super) problem: String,
}

/// How much was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) segments: usize,
    pub(super) bytes: u64,
}

impl Tally {
    pub(super) const fn add(&mut self, more: Self) {
        self.segments += more.segments;
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

/// Compares what the manifest expects with what was found. A segment of which nothing was
/// said is as bad as a missing one.
pub(super) fn judge(expected: &[Expected], found: &[Found]) -> (Vec<Finding>, Tally) {
    let found: HashMap<SegmentId, &Found> =
        found.iter().map(|found| (found.segment, found)).collect();
    let (mut findings, mut tally) = (Vec::new(), Tally::default());
    for Expected { id, length } in expected {
        let found = found.get(id).copied();
        match problem(*length, found) {
            Some(text) => {
                let problem = name_segment(*id, text);
                findings.push(Finding { segment: *id, problem });
            }
            None => tally.add(Tally { segments: 1, bytes: *length }),
        }
    }
    (findings, tally)
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

    fn expected(id: u8) -> Expected {
        Expected { id: SegmentId([id; 16]), length: 10 }
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
        let (findings, tally) = judge(&all, &answers);
        let told: Vec<_> = findings.iter().map(|finding| finding.problem.as_str()).collect();
        let [second, third] = [expected(2), expected(3)].map(|segment| segment.id.to_string());
        assert_eq!(
            told,
            [
                format!("segment {second}: block 7 is damaged"),
                format!(
                    "segment {third}: is listed in the manifest, but the object node does not have it"
                ),
            ]
        );
        assert_eq!(tally, Tally { segments: 2, bytes: 20 });
    }

    #[test]
    fn another_length_than_the_manifest_says_is_damage() {
        let (findings, _) = judge(&[expected(1)], &[found(1, "", 9)]);
        assert!(findings[0].problem.ends_with("has 9 bytes, but the manifest says 10"));
    }

    #[test]
    fn a_segment_is_named_once() {
        let id = SegmentId([1; 16]);
        let (findings, _) = judge(&[expected(1)], &[found(1, &format!("segment {id} is torn"), 0)]);
        assert_eq!(findings[0].problem, format!("segment {id} is torn"));
    }
}
