use std::collections::BTreeSet;

use bytes::Bytes;
use gitstratum_core::RepoId;
use gitstratum_process::sabotage;
use gitstratum_proto::metadata::v1::ClaimKind;

use super::entry::{CloseClaim, OpenClaim};
use super::record::{ClaimRow, RepositoryRow, TipsRow};
use super::{Error, SWEEP_ROWS_MAX, Scope, keys, query, rows};

/// Ids in one row of what a drop run marks from.
const TIPS_PER_ROW: usize = 4_096;
/// Ids that a drop run may mark from: `apply` copies them.
const TIPS_MAX: u64 = 250_000;

/// Answer to a claim.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ClaimAnswer {
    /// Whether the claim is the asker's.
    #[prost(bool, tag = "1")]
    pub granted: bool,
    /// The claim that is open now, the asker's or another's.
    #[prost(message, optional, tag = "2")]
    pub claim: Option<ClaimRow>,
    /// Why it was not granted; empty when it was.
    #[prost(string, tag = "3")]
    pub refused: String,
}

impl ClaimAnswer {
    fn granted(claim: ClaimRow) -> Self {
        Self { granted: true, claim: Some(claim), refused: String::new() }
    }

    fn refused(claim: Option<ClaimRow>, why: impl Into<String>) -> Self {
        Self { granted: false, claim, refused: why.into() }
    }
}

/// Opens a claim, or hands the open one over (S35): its number and what was written under it stay.
pub(super) fn open(scope: &mut Scope<'_>, open: &OpenClaim) -> Result<ClaimAnswer, Error> {
    let repo = RepoId(open.repo_id);
    let found = query::repository(scope.rows, repo)?.filter(RepositoryRow::is_live);
    let Some(repository) = found else {
        return Ok(ClaimAnswer::refused(None, "repository not found"));
    };
    if let Some(held) = query::open_claim(scope.rows, repo)? {
        return Ok(hand_over(scope, repo, held, open));
    }
    if open.takes_over != 0 {
        return Ok(ClaimAnswer::refused(None, "the claim has ended"));
    }
    if open.kind == i32::from(ClaimKind::Drop)
        && let Some(why) = start_drop(scope, repository)?
    {
        return Ok(ClaimAnswer::refused(None, why));
    }
    let number = scope.index.0;
    let claim = ClaimRow { number, kind: open.kind, node: open.node, ..ClaimRow::default() };
    rows::store(scope.rows, keys::claim(repo), &claim);
    Ok(ClaimAnswer::granted(claim))
}

fn hand_over(scope: &mut Scope<'_>, repo: RepoId, held: ClaimRow, open: &OpenClaim) -> ClaimAnswer {
    if open.takes_over != held.number || open.kind != held.kind {
        return ClaimAnswer::refused(Some(held), "another run is under way");
    }
    let claim = ClaimRow { node: open.node, ..held };
    rows::store(scope.rows, keys::claim(repo), &claim);
    ClaimAnswer::granted(claim)
}

/// Raises the drop counter and keeps what refs point at in this very state (S15). Why not, if so.
fn start_drop(
    scope: &mut Scope<'_>,
    mut repository: RepositoryRow,
) -> Result<Option<&'static str>, Error> {
    let repo = RepoId(repository.repo_id);
    if is_held_back(scope, repo)? {
        return Ok(Some("a push was refused twice by drop runs; it goes first"));
    }
    let graces = query::replaced_tips(scope.rows, repo)?;
    if repository.refs_count + graces.len() as u64 > TIPS_MAX {
        return Ok(Some("the repository has too many refs for a drop run"));
    }
    let mut tips: BTreeSet<Bytes> =
        graces.iter().map(|tip| Bytes::copy_from_slice(tip.id.as_bytes())).collect();
    query::references(scope.rows, repo, b"", &mut |_, row| {
        tips.insert(row.target);
    })?;
    let tips: Vec<Bytes> = tips.into_iter().collect();
    for (run, ids) in (0..).zip(tips.chunks(TIPS_PER_ROW)) {
        rows::store(scope.rows, keys::tips(repo, run), &TipsRow { ids: ids.to_vec() });
    }
    repository.drop_counter += u64::from(!sabotage!("drop-without-counter"));
    rows::store(scope.rows, keys::repository(repo), &repository);
    Ok(None)
}

/// Whether a push that two drop runs refused has yet to be decided (S15).
fn is_held_back(scope: &mut Scope<'_>, repo: RepoId) -> Result<bool, Error> {
    let mut holding = Vec::new();
    rows::walk(scope.rows, keys::held_starts(repo), &mut |key, _| {
        holding.push(keys::held_start_of(key)?);
        Ok(())
    })?;
    let mut is_held = false;
    for (session, number) in holding {
        let is_open = query::session(scope.rows, session)?.is_some_and(|row| !row.closed);
        let waits = query::outcome(scope.rows, session, number)?.is_some_and(|row| !row.closed);
        if is_open && waits {
            is_held = true;
        } else {
            scope.rows.delete(keys::held_start(repo, session, number));
        }
    }
    Ok(is_held)
}

/// Ends a claim, if it is the open one.
pub(super) fn close(scope: &mut Scope<'_>, close: &CloseClaim) -> Result<(), Error> {
    let repo = RepoId(close.repo_id);
    match query::open_claim(scope.rows, repo)?.filter(|row| row.number == close.claim) {
        Some(row) => end(scope, repo, row),
        None => Ok(()),
    }
}

/// Writes `row` as a claim that has ended.
pub(super) fn end(scope: &mut Scope<'_>, repo: RepoId, row: ClaimRow) -> Result<(), Error> {
    rows::remove_range(scope.rows, &keys::tips_of(repo), SWEEP_ROWS_MAX)?;
    rows::store(scope.rows, keys::claim(repo), &ClaimRow { closed: true, ..row });
    Ok(())
}
