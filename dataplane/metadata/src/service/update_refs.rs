//! A push at the leader: authorised again, checked against the history, then proposed
//! as one entry (S13, S16, S44). A denial is proposed too, for the attempt may already
//! be in the log (S11).

mod hand_over;
mod objects;
mod policy;
mod request;

use std::time::Duration;

use gitstratum_client::cluster::Snapshot;
use gitstratum_core::{
    ErrorKind, GrantsVersion, NodeId, PartitionId, PushNumber, RepoId, Role, SessionId, Version,
};
use gitstratum_process::{failpoint, sabotage};
use gitstratum_proto::common::v1::RepoKey;
use gitstratum_proto::metadata::v1::{Refusal, UpdateRefsRequest, UpdateRefsResponse};
use prost::Message;

use super::Service;
use super::access::Admitted;
use super::hosted::Hosted;
use crate::error::Error;
use crate::partition::entry::{Command, PushKey, Refuse, UpdateRefs};
use crate::partition::record::{OutcomeRow, RepositoryRow};
use crate::partition::{Change, query};

use request::{Parsed, Push};

/// Pause between two looks at the number of packs.
const PACKS_PAUSE: Duration = Duration::from_millis(100);
const GRANTS_BEHIND: &str = "the server has yet to hear of the latest grants; try again";

/// Why the leader denies a whole push.
#[derive(Debug, PartialEq, Eq)]
struct Denial {
    refusal: Refusal,
    message: String,
}

impl Denial {
    fn new(refusal: Refusal, message: impl Into<String>) -> Self {
        Self { refusal, message: message.into() }
    }
}

/// What checking a push came to. The outer error is a failure to check, which may be a denial too.
type Checked<T> = Result<Result<T, Denial>, Error>;

impl Service {
    /// Applies a push of the frontend `node` as one log entry, or answers a repeat (S11, S13).
    ///
    /// # Errors
    /// Retryable ones, after which the same request may be sent again; its outcome is unknown until
    /// then. Every refusal is in the answer.
    pub async fn update_refs(
        &self,
        node: NodeId,
        request: UpdateRefsRequest,
    ) -> Result<UpdateRefsResponse, Error> {
        let key = super::repo_key(request.repo)?;
        let hosted = self.hosted(PartitionId(key.partition))?;
        hosted.leading_term()?;
        if let Some(answer) = recorded(&hosted, &request).await? {
            return Ok(answer);
        }
        let push = Push::new(key, request);
        let checked = match standing(&hosted, node, SessionId(push.key.session)).await? {
            Standing::Open => self.check_push(&hosted, &push).await,
            Standing::Closed => Ok(Err(Denial::new(Refusal::Unknown, "the session is closed"))),
            Standing::Foreign => return Err(Error::Denied { action: "use another's session" }),
        };
        #[cfg(any(test, feature = "test-util"))]
        crate::testing::tap::pass(&push.request).await;
        let are_grants_old = matches!(checked, Err(Error::GrantsBehind { .. }));
        let (change, grants) = match checked.or_else(denied)? {
            Ok((update, grants)) => (Change::UpdateRefs(update), grants),
            Err(denial) => (Change::Refuse(refuse(&push, denial)), GrantsVersion(0)),
        };
        let answer = propose(&hosted, change, grants).await;
        if are_grants_old {
            self.hand_over(&hosted);
        }
        answer
    }

    /// Everything that is decided before the entry is made.
    async fn check_push(
        &self,
        hosted: &Hosted,
        push: &Push,
    ) -> Checked<(UpdateRefs, GrantsVersion)> {
        let admitted = match self.admit_push(hosted, push).await? {
            Ok(admitted) => admitted,
            Err(denial) => return Ok(Err(denial)),
        };
        let seen = Version(push.request.checked_version);
        hosted.catch_up(seen, self.config.catch_up_wait).await?;
        let Parsed { pack, rests_on, mut commands } = match push.parse(admitted.row.format()) {
            Ok(parsed) => parsed,
            Err(denial) => return Ok(Err(denial)),
        };
        if pack.is_some() {
            self.wait_for_room(hosted, &admitted.row).await?;
        }
        let (head, role) = (admitted.row.head(), admitted.access.role);
        policy::judge(&mut commands, &head);
        let mut history = objects::History::new(self, hosted, push.repo(), head);
        if let Err(denial) = history.judge(rests_on, &mut commands, (role, pack)).await? {
            return Ok(Err(denial));
        }
        let snapshot = admitted.access.snapshot;
        let commands = commands.into_iter().map(|command| command.entry).collect();
        Ok(Ok((self.entry(push, commands, &snapshot), snapshot.version())))
    }

    /// Grants and names.
    async fn admit_push(&self, hosted: &Hosted, push: &Push) -> Checked<Admitted> {
        let actor = push.request.actor.clone().unwrap_or_default();
        let admitted = self.admit(hosted, &push.repo, &actor).await?;
        if admitted.access.role < Role::Write {
            return Ok(Err(Denial::new(Refusal::Denied, "not allowed to push")));
        }
        Ok(Ok(admitted))
    }

    /// Waits a little while the repository has too many packs; `apply` decides (S35).
    async fn wait_for_room(&self, hosted: &Hosted, row: &RepositoryRow) -> Result<(), Error> {
        let repo = RepoId(row.repo_id);
        let limit = u64::from(self.config.live_packs_max);
        let mut packs = row.packs_count;
        let freed = async {
            while packs >= limit {
                tokio::time::sleep(PACKS_PAUSE).await;
                let row = hosted.read(move |rows| query::repository(rows, repo)).await?;
                packs = row.map_or(0, |row| row.packs_count);
            }
            Ok(())
        };
        let waited = tokio::time::timeout(self.config.live_packs_wait, freed).await;
        waited.unwrap_or(Ok(()))
    }

    fn entry(&self, push: &Push, commands: Vec<Command>, snapshot: &Snapshot) -> UpdateRefs {
        UpdateRefs {
            push: push.key.clone(),
            name_version: push.repo.name_version,
            commands,
            atomic: push.request.atomic,
            pack: push.request.pack.clone(),
            drop_counter: push.request.drop_counter,
            replication_factor: snapshot.layout().replication_factor.max(1),
            live_packs_max: self.config.live_packs_max,
            who: push.who(),
        }
    }
}

/// What a session is to the node that names it.
enum Standing {
    Open,
    Closed,
    Foreign,
}

async fn standing(hosted: &Hosted, node: NodeId, session: SessionId) -> Result<Standing, Error> {
    let row = hosted.read(move |rows| query::session(rows, session)).await?;
    Ok(match row {
        Some(row) if row.node != node.0 => Standing::Foreign,
        Some(row) if !row.closed || sabotage!("accept-closed-session") => Standing::Open,
        Some(_) | None => Standing::Closed,
    })
}

/// The answer that the rows already have. What `apply` recorded is final, so no entry is needed to
/// say it again.
async fn recorded(
    hosted: &Hosted,
    request: &UpdateRefsRequest,
) -> Result<Option<UpdateRefsResponse>, Error> {
    let (session, number) = (SessionId(request.session), PushNumber(request.push_number));
    let attempt = request.attempt;
    let row = hosted.read(move |rows| query::outcome(rows, session, number)).await?;
    let repeats = |row: &OutcomeRow| row.closed || attempt <= row.attempt;
    let Some(row) = row.filter(|row| repeats(row) && !sabotage!("apply-twice")) else {
        return Ok(None);
    };
    decode(hosted, &row.answer).map(Some)
}

async fn propose(
    hosted: &Hosted,
    change: Change,
    grants: GrantsVersion,
) -> Result<UpdateRefsResponse, Error> {
    let lost = || Error::CutOff { partition: hosted.partition };
    failpoint!("metadata.update_refs.before_propose", return Err(lost()));
    let answer = hosted.propose(change, grants).await?;
    failpoint!("metadata.update_refs.after_propose", return Err(lost()));
    decode(hosted, &answer)
}

fn decode(hosted: &Hosted, answer: &[u8]) -> Result<UpdateRefsResponse, Error> {
    let undecodable = |_| Error::Answer { partition: hosted.partition };
    UpdateRefsResponse::decode(answer).map_err(undecodable)
}

fn refuse(push: &Push, denial: Denial) -> Refuse {
    Refuse {
        push: push.key.clone(),
        refusal: denial.refusal.into(),
        message: denial.message,
        who: push.who(),
    }
}

/// What of the errors of checking is a denial. So is what cannot be checked now: an earlier try may
/// be in the log, and only an entry tells that the push was not carried out (S11).
fn denied<T>(error: Error) -> Checked<T> {
    let (refusal, message) = match error {
        Error::NoRepository { .. } => (Refusal::Gone, "repository not found"),
        Error::Renamed { .. } => (Refusal::Gone, "the repository was renamed: try again"),
        Error::Denied { .. } => (Refusal::Denied, "not allowed to push"),
        Error::GrantsBehind { .. } => (Refusal::Busy, GRANTS_BEHIND),
        error if error.kind() == ErrorKind::Busy => {
            (Refusal::Busy, "the server is busy; try again")
        }
        other => return Err(other),
    };
    Ok(Err(Denial::new(refusal, message)))
}

/// The key that names a push in entries.
fn push_key(repo: &RepoKey, request: &UpdateRefsRequest) -> PushKey {
    PushKey {
        session: request.session,
        push_number: request.push_number,
        attempt: request.attempt,
        floor: request.floor,
        repo_id: repo.repo_id,
    }
}
