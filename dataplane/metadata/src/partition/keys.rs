//! Keys of a partition's rows. The prefix (group, generation) is consensus's; below
//! it one byte names the table, then fixed-width big-endian numbers and ids, and at
//! most one name of variable length, always last or closed by a zero byte (ref names
//! hold none). So two different things never share a key (GS-MD-15).

use std::ops::Range;

use gitstratum_core::{LogTime, NodeId, PackId, PushNumber, RepoId, SegmentId, SessionId, Version};
use gitstratum_store::KeyRange;

use super::Error;

/// Tables, by the first byte of their keys.
const GROUP: u8 = b'!';
const AUDIT: u8 = b'a';
const CLAIM: u8 = b'c';
const FENCE: u8 = b'f';
const GRACE: u8 = b'g';
const GRACE_QUEUE: u8 = b'G';
const HELD_START: u8 = b'h';
const INCARNATION: u8 = b'i';
const TIPS: u8 = b'k';
const REF_LOG: u8 = b'l';
const MANIFEST: u8 = b'm';
/// Right after [`MANIFEST`]: one range holds every pack that is kept.
const UNLISTED: u8 = b'n';
const PACK: u8 = b'p';
const OUTCOME: u8 = b'o';
const REF: u8 = b'r';
const REPOSITORY: u8 = b'R';
const SEGMENT: u8 = b's';
const SESSION: u8 = b'S';
const REPAIR: u8 = b'w';

/// Separates a repository from a name, and a name from what follows.
const END: u8 = 0;

/// The group's own row.
pub(crate) fn group() -> Vec<u8> {
    vec![GROUP]
}

/// The record of a repository.
pub(crate) fn repository(repo: RepoId) -> Vec<u8> {
    number(REPOSITORY, repo.0)
}

/// Every repository record.
pub(crate) fn repositories() -> KeyRange {
    KeyRange::prefix(vec![REPOSITORY])
}

/// One ref.
pub(crate) fn reference(repo: RepoId, name: &[u8]) -> Vec<u8> {
    joined(references_start(repo), name)
}

/// Refs of a repository whose names begin with `prefix`, by name.
pub(crate) fn references(repo: RepoId, prefix: &[u8]) -> KeyRange {
    KeyRange::prefix(joined(references_start(repo), prefix))
}

/// The name in a ref's key.
pub(crate) fn reference_name(key: &[u8]) -> &[u8] {
    key.get(10..).unwrap_or_default()
}

fn references_start(repo: RepoId) -> Vec<u8> {
    joined(number(REF, repo.0), &[END])
}

/// The changes that one entry made to the refs of a repository (S31).
pub(crate) fn ref_log(repo: RepoId, version: Version) -> Vec<u8> {
    joined(number(REF_LOG, repo.0), &version.0.to_be_bytes())
}

/// Changes to a repository's refs after `version`, oldest first.
pub(crate) fn ref_log_after(repo: RepoId, version: Version) -> KeyRange {
    after(number(REF_LOG, repo.0), version)
}

/// The version in the key of a refs log row.
///
/// # Errors
/// When it is no such key.
pub(crate) fn ref_log_version(key: &[u8]) -> Result<Version, Error> {
    version_at(key, 9, "refs log key")
}

/// A live pack. Ordered by the entry that listed it, so that changes are a range.
pub(crate) fn manifest(repo: RepoId, listed: Version, pack: PackId) -> Vec<u8> {
    joined(joined(number(MANIFEST, repo.0), &listed.0.to_be_bytes()), &pack.0)
}

/// Every pack of every repository that is kept: live ones, then those that no manifest lists.
pub(crate) fn kept_packs() -> KeyRange {
    KeyRange::between(vec![MANIFEST], vec![UNLISTED + 1])
}

/// Whether the key of a kept pack is one that no manifest lists.
pub(crate) fn is_unlisted(key: &[u8]) -> bool {
    key.first() == Some(&UNLISTED)
}

/// A pack that is kept though no manifest lists it.
pub(crate) fn unlisted(repo: RepoId, listed: Version, pack: PackId) -> Vec<u8> {
    joined(joined(number(UNLISTED, repo.0), &listed.0.to_be_bytes()), &pack.0)
}

/// Every such pack.
pub(crate) fn unlisted_all() -> KeyRange {
    KeyRange::prefix(vec![UNLISTED])
}

/// Every such pack of one repository.
pub(crate) fn unlisted_of(repo: RepoId) -> KeyRange {
    KeyRange::prefix(number(UNLISTED, repo.0))
}

/// The last claim on a repository.
pub(crate) fn claim(repo: RepoId) -> Vec<u8> {
    number(CLAIM, repo.0)
}

/// A run of the ids that the open drop run of a repository marks from.
pub(crate) fn tips(repo: RepoId, run: u64) -> Vec<u8> {
    joined(number(TIPS, repo.0), &run.to_be_bytes())
}

/// All of them.
pub(crate) fn tips_of(repo: RepoId) -> KeyRange {
    KeyRange::prefix(number(TIPS, repo.0))
}

/// A push that holds starts of drop runs back.
pub(crate) fn held_start(repo: RepoId, session: SessionId, push: PushNumber) -> Vec<u8> {
    joined(joined(number(HELD_START, repo.0), &session.0.to_be_bytes()), &push.0.to_be_bytes())
}

/// All pushes that do so for a repository.
pub(crate) fn held_starts(repo: RepoId) -> KeyRange {
    KeyRange::prefix(number(HELD_START, repo.0))
}

/// The push in such a key.
///
/// # Errors
/// When it is no such key.
pub(crate) fn held_start_of(key: &[u8]) -> Result<(SessionId, PushNumber), Error> {
    let what = "held start key";
    Ok((SessionId(version_at(key, 9, what)?.0), PushNumber(version_at(key, 17, what)?.0)))
}

/// The repository in the key of a kept pack.
///
/// # Errors
/// When it is no such key.
pub(crate) fn manifest_repo(key: &[u8]) -> Result<RepoId, Error> {
    version_at(key, 1, "manifest key").map(|number| RepoId(number.0))
}

/// Packs listed after `version`, in the order they were listed.
pub(crate) fn manifest_after(repo: RepoId, version: Version) -> KeyRange {
    after(number(MANIFEST, repo.0), version)
}

/// Where a pack is listed.
pub(crate) fn pack(pack: PackId) -> Vec<u8> {
    joined(vec![PACK], &pack.0)
}

/// Where a segment is listed.
pub(crate) fn segment(segment: SegmentId) -> Vec<u8> {
    joined(vec![SEGMENT], &segment.0)
}

/// A segment that has too few owners.
pub(crate) fn repair(segment: SegmentId) -> Vec<u8> {
    joined(vec![REPAIR], &segment.0)
}

/// Every segment that has too few owners.
pub(crate) fn repairs() -> KeyRange {
    KeyRange::prefix(vec![REPAIR])
}

/// A session.
pub(crate) fn session(session: SessionId) -> Vec<u8> {
    number(SESSION, session.0)
}

/// The session in a session's key.
///
/// # Errors
/// When it is no such key.
pub(crate) fn session_of(key: &[u8]) -> Result<SessionId, Error> {
    version_at(key, 1, "session key").map(|number| SessionId(number.0))
}

/// Every session.
pub(crate) fn sessions() -> KeyRange {
    KeyRange::prefix(vec![SESSION])
}

/// The outcome of a push.
pub(crate) fn outcome(session: SessionId, push: PushNumber) -> Vec<u8> {
    joined(number(OUTCOME, session.0), &push.0.to_be_bytes())
}

/// Outcomes of a session's pushes from one floor up to the next.
pub(crate) fn outcomes_between(session: SessionId, floors: Range<PushNumber>) -> KeyRange {
    KeyRange::between(outcome(session, floors.start), outcome(session, floors.end))
}

/// Every outcome of a session.
pub(crate) fn outcomes(session: SessionId) -> KeyRange {
    KeyRange::prefix(number(OUTCOME, session.0))
}

/// The incarnation that a node last showed (S23).
pub(crate) fn incarnation(node: NodeId) -> Vec<u8> {
    number(INCARNATION, node.0)
}

/// The fence of a leaving node (S20).
pub(crate) fn fence(node: NodeId) -> Vec<u8> {
    number(FENCE, node.0)
}

/// Every fence.
pub(crate) fn fences() -> KeyRange {
    KeyRange::prefix(vec![FENCE])
}

/// The node in a fence's key.
///
/// # Errors
/// When it is no such key.
pub(crate) fn fenced_node(key: &[u8]) -> Result<NodeId, Error> {
    version_at(key, 1, "fence key").map(|number| NodeId(number.0))
}

/// The audit line of the entry at `index` (S41).
pub(crate) fn audit(index: Version) -> Vec<u8> {
    number(AUDIT, index.0)
}

/// Audit lines after `index`.
pub(crate) fn audit_after(index: Version) -> KeyRange {
    after(vec![AUDIT], index)
}

/// Audit lines below `index`.
pub(crate) fn audit_below(index: Version) -> KeyRange {
    KeyRange::between(vec![AUDIT], audit(index))
}

/// The index in the key of an audit line.
///
/// # Errors
/// When it is no such key.
pub(crate) fn audit_index(key: &[u8]) -> Result<Version, Error> {
    version_at(key, 1, "audit key")
}

/// A target that a ref was moved away from (S24).
pub(crate) fn grace(repo: RepoId, name: &[u8], id: &[u8]) -> Vec<u8> {
    joined(joined(grace_start(repo, name), &[END]), id)
}

/// What the ref called `name` was moved away from.
pub(crate) fn graces_of(repo: RepoId, name: &[u8]) -> KeyRange {
    KeyRange::prefix(joined(grace_start(repo, name), &[END]))
}

/// The object id at the end of a grace row's key.
pub(crate) fn grace_id(key: &[u8]) -> Option<&[u8]> {
    let end = key.get(9..)?.iter().position(|byte| *byte == END)?;
    key.get(9 + end + 1..)
}

/// Everything that refs of a repository were moved away from.
pub(crate) fn graces(repo: RepoId) -> KeyRange {
    KeyRange::prefix(number(GRACE, repo.0))
}

fn grace_start(repo: RepoId, name: &[u8]) -> Vec<u8> {
    joined(number(GRACE, repo.0), name)
}

/// The same row by the time at which it was written: the order in which graces end.
pub(crate) fn grace_queue(at: LogTime, grace: &[u8]) -> Vec<u8> {
    joined(number(GRACE_QUEUE, at.0), grace)
}

/// Graces that began before `time`.
pub(crate) fn grace_queue_before(time: LogTime) -> KeyRange {
    KeyRange::between(vec![GRACE_QUEUE], number(GRACE_QUEUE, time.0))
}

/// Every grace, oldest first.
pub(crate) fn grace_queue_all() -> KeyRange {
    KeyRange::prefix(vec![GRACE_QUEUE])
}

/// The grace row that a queue row stands for.
pub(crate) fn grace_of_queue(key: &[u8]) -> &[u8] {
    key.get(9..).unwrap_or_default()
}

fn version_at(key: &[u8], at: usize, what: &'static str) -> Result<Version, Error> {
    let bytes = key.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    bytes.map(|bytes| Version(u64::from_be_bytes(bytes))).ok_or(Error::Damaged { what })
}

fn number(table: u8, value: u64) -> Vec<u8> {
    joined(vec![table], &value.to_be_bytes())
}

fn joined(mut start: Vec<u8>, rest: &[u8]) -> Vec<u8> {
    start.extend_from_slice(rest);
    start
}

/// Rows under `start` whose next eight bytes are above `version`.
fn after(start: Vec<u8>, version: Version) -> KeyRange {
    let all = KeyRange::prefix(start.clone());
    let first = joined(start, &version.0.saturating_add(1).to_be_bytes());
    all.end().map_or_else(
        || KeyRange::from(first.clone()),
        |end| KeyRange::between(first.clone(), end.to_vec()),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gs_md_15_a_repository_is_no_prefix_of_another() {
        let range = references(RepoId(1), b"");
        assert!(range.contains(&reference(RepoId(1), b"refs/heads/a")));
        assert!(!range.contains(&reference(RepoId(256), b"refs/heads/a")));
        assert_eq!(reference_name(&reference(RepoId(1), b"refs/heads/a")), b"refs/heads/a");
    }

    #[test]
    fn a_grace_belongs_to_one_name_only() {
        let range = graces_of(RepoId(1), b"refs/heads/a");
        assert!(range.contains(&grace(RepoId(1), b"refs/heads/a", &[7; 20])));
        assert!(!range.contains(&grace(RepoId(1), b"refs/heads/ab", &[7; 20])));
        let queued = grace_queue(LogTime(5), &grace(RepoId(1), b"refs/heads/a", &[7; 20]));
        assert_eq!(grace_of_queue(&queued), grace(RepoId(1), b"refs/heads/a", &[7; 20]));
        assert!(grace_queue_before(LogTime(6)).contains(&queued));
        assert!(!grace_queue_before(LogTime(5)).contains(&queued));
    }

    #[test]
    fn changes_after_a_version_leave_it_out() {
        let range = manifest_after(RepoId(1), Version(9));
        assert!(!range.contains(&manifest(RepoId(1), Version(9), PackId([255; 16]))));
        assert!(range.contains(&manifest(RepoId(1), Version(10), PackId([0; 16]))));
        assert!(!range.contains(&manifest(RepoId(2), Version(10), PackId([0; 16]))));
    }

    proptest! {
        #[test]
        fn gs_md_15_different_refs_have_different_keys(
            a in (any::<u64>(), "[a-c/]{0,6}"), b in (any::<u64>(), "[a-c/]{0,6}"),
        ) {
            let key = |(repo, name): &(u64, String)| reference(RepoId(*repo), name.as_bytes());
            prop_assert_eq!(key(&a) == key(&b), a == b);
        }
    }
}
