use bytes::Bytes;
use gitstratum_core::{PushNumber, RepoId, SessionId};
use gitstratum_process::sabotage;
use gitstratum_proto::common::v1::Pack;
use gitstratum_proto::metadata::v1::{Refusal, UpdateRefsResponse};
use prost::Message;

use super::entry::{PushKey, Refuse, UpdateRefs};
use super::record::{NumberRow, OutcomeRow, RepositoryRow};
use super::verdict::Verdicts;
use super::{
    Error, Scope, audit, keys, listing, owners, query, ref_change, rows, session, verdict,
};

/// Why a whole push is refused.
pub(super) struct Refused {
    /// The reason.
    pub(super) refusal: Refusal,
    /// The same for people.
    pub(super) message: String,
    /// Whether the number is closed, or only this attempt (S11).
    pub(super) closes: Closes,
}

/// What a refusal ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Closes {
    /// The push: its number is never applied.
    Number,
    /// This attempt: the frontend may check again and resend under the same number.
    Attempt,
}

impl Refused {
    /// A refusal that ends the push.
    pub(super) fn number(refusal: Refusal, message: impl Into<String>) -> Self {
        Self { refusal, message: message.into(), closes: Closes::Number }
    }

    /// A refusal that ends the attempt.
    pub(super) fn attempt(refusal: Refusal, message: impl Into<String>) -> Self {
        Self { refusal, message: message.into(), closes: Closes::Attempt }
    }
}

/// Applies a push, or answers a repeat from its record (S11, S13).
pub(super) fn update_refs(scope: &mut Scope<'_>, mut update: UpdateRefs) -> Result<Bytes, Error> {
    let key = update.push.clone();
    if let Some(answer) = settled(scope, &key)? {
        return Ok(answer);
    }
    let judged = judge(scope, &mut update)?;
    let (response, closes) = match judged {
        Ok((repository, verdicts)) => {
            (carry_out(scope, &mut update, repository, verdicts)?, Closes::Number)
        }
        Err(refused) => (refusal(scope, &refused), refused.closes),
    };
    audit::record_push(scope, &update, &response)?;
    record(scope, &key, closes, &response)
}

/// Closes a push that the leader denies (S11).
pub(super) fn refuse(scope: &mut Scope<'_>, refuse: &Refuse) -> Result<Bytes, Error> {
    if let Some(answer) = settled(scope, &refuse.push)? {
        return Ok(answer);
    }
    let reason = Refusal::try_from(refuse.refusal).unwrap_or(Refusal::Denied);
    let response = refusal(scope, &Refused::number(reason, refuse.message.clone()));
    audit::record_refusal(scope, refuse)?;
    record(scope, &refuse.push, Closes::Number, &response)
}

/// The answer of a push that needs no judging: a repeat has its record, and without one a closed
/// session or a number below the floor means that the outcome is unknown. Else raises the floor.
fn settled(scope: &mut Scope<'_>, key: &PushKey) -> Result<Option<Bytes>, Error> {
    let (session, number) = (SessionId(key.session), PushNumber(key.push_number));
    let recorded = query::outcome(scope.rows, session, number)?;
    let repeats = |row: &OutcomeRow| row.closed || key.attempt <= row.attempt;
    if let Some(row) = recorded.filter(|row| repeats(row) && !sabotage!("apply-twice")) {
        return Ok(Some(row.answer));
    }
    let open = session::open_session(scope, session)?;
    let Some(row) = open.filter(|row| number.0 >= row.floor || sabotage!("accept-below-floor"))
    else {
        let unknown = Refused::number(Refusal::Unknown, "the outcome of the push is unknown");
        return Ok(Some(refusal(scope, &unknown).encode_to_vec().into()));
    };
    session::lift(scope, session, row, PushNumber(key.floor.min(number.0)))?;
    Ok(None)
}

type Judged = Result<(RepositoryRow, Verdicts), Refused>;

/// Decides without writing: the whole push first, then its commands.
fn judge(scope: &Scope<'_>, update: &mut UpdateRefs) -> Result<Judged, Error> {
    let repo = RepoId(update.push.repo_id);
    let repository = match usable(query::repository(scope.rows, repo)?, update) {
        Ok(repository) => repository,
        Err(refused) => return Ok(Err(refused)),
    };
    if update.drop_counter != repository.drop_counter {
        let why = "objects were dropped since the push was checked";
        return Ok(Err(Refused::attempt(Refusal::DropCounter, why)));
    }
    if let Some(pack) = &mut update.pack {
        let limit = u64::from(update.live_packs_max);
        if repository.packs_count >= limit {
            let why = format!("the repository has {limit} packs: try again later");
            return Ok(Err(Refused::number(Refusal::Busy, why)));
        }
        if let Some(refused) = check_pack(scope, pack, update.replication_factor)? {
            return Ok(Err(refused));
        }
    }
    let verdicts = verdict::judge(scope.rows, repo, update)?;
    Ok(Ok((repository, verdicts)))
}

fn usable(row: Option<RepositoryRow>, update: &UpdateRefs) -> Result<RepositoryRow, Refused> {
    let gone = |why: &str| Refused::number(Refusal::Gone, why);
    let row = row.filter(RepositoryRow::is_live).ok_or_else(|| gone("repository not found"))?;
    if update.name_version < row.name_version {
        return Err(gone("the repository was renamed: try again"));
    }
    if let Some(name) = verdict::first_twice(&update.commands) {
        let why = format!("more than one command for ref {}", name.escape_ascii());
        return Err(Refused::number(Refusal::Policy, why));
    }
    Ok(row)
}

fn check_pack(
    scope: &Scope<'_>,
    pack: &mut Pack,
    replication_factor: u32,
) -> Result<Option<Refused>, Error> {
    if let Some(refused) = listing::check_ids(scope.rows, pack)? {
        return Ok(Some(refused));
    }
    owners::admit(scope.rows, pack, replication_factor)
}

/// Writes what the verdicts say and builds the answer.
fn carry_out(
    scope: &mut Scope<'_>,
    update: &mut UpdateRefs,
    mut repository: RepositoryRow,
    verdicts: Verdicts,
) -> Result<UpdateRefsResponse, Error> {
    let succeeded = verdicts.any_succeeded();
    let pack = update.pack.take().filter(|_| succeeded);
    if pack.is_some() || !verdicts.changes.is_empty() {
        repository.push_sequence += 1;
    }
    if let Some(mut pack) = pack {
        pack.session = update.push.session;
        pack.push_number = update.push.push_number;
        listing::list(scope, &mut repository, pack, update.replication_factor)?;
    }
    // One in eight, the same on every replica.
    if !(scope.index.0.is_multiple_of(8) && sabotage!("ok-then-drop")) {
        ref_change::write(scope, &mut repository, &verdicts.changes)?;
    }
    rows::store(scope.rows, keys::repository(RepoId(repository.repo_id)), &repository);
    Ok(UpdateRefsResponse {
        refusal: Refusal::None.into(),
        message: String::new(),
        results: verdicts.results,
        version: scope.index.0,
        push_sequence: repository.push_sequence,
    })
}

fn refusal(scope: &Scope<'_>, refused: &Refused) -> UpdateRefsResponse {
    UpdateRefsResponse {
        refusal: refused.refusal.into(),
        message: refused.message.clone(),
        version: scope.index.0,
        ..UpdateRefsResponse::default()
    }
}

/// Keeps the answer for repeats and returns it (S11).
fn record(
    scope: &mut Scope<'_>,
    key: &PushKey,
    closes: Closes,
    response: &UpdateRefsResponse,
) -> Result<Bytes, Error> {
    let answer = Bytes::from(response.encode_to_vec());
    let drop_refusals = drop_refusals(scope, key, response)?;
    let row = OutcomeRow {
        attempt: key.attempt,
        closed: closes == Closes::Number,
        answer: answer.clone(),
        drop_refusals,
    };
    let at = keys::outcome(SessionId(key.session), PushNumber(key.push_number));
    rows::store(scope.rows, at, &row);
    Ok(answer)
}

/// How often drop runs have refused the push by now. The second time it holds their starts back
/// until it is decided (S15).
fn drop_refusals(
    scope: &mut Scope<'_>,
    key: &PushKey,
    response: &UpdateRefsResponse,
) -> Result<u32, Error> {
    let (session, number) = (SessionId(key.session), PushNumber(key.push_number));
    let before = query::outcome(scope.rows, session, number)?.map_or(0, |row| row.drop_refusals);
    if response.refusal() != Refusal::DropCounter {
        return Ok(before);
    }
    if before > 0 {
        let row = NumberRow { number: key.attempt.into() };
        rows::store(scope.rows, keys::held_start(RepoId(key.repo_id), session, number), &row);
    }
    Ok(before + 1)
}
