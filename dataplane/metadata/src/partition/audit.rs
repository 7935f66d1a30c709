use gitstratum_core::Version;
use gitstratum_proto::metadata::v1::{Refusal, UpdateRefsResponse};

use super::entry::{AcceptLoss, PruneAudit, Refuse, UpdateRefs};
use super::record::{AuditChange, AuditRow, RepositoryRow, Who};
use super::{Error, SWEEP_ROWS_MAX, Scope, keys, query, rows};

/// Writes the audit line of a push: its commands with what became of each (S41).
pub(super) fn record_push(
    scope: &mut Scope<'_>,
    update: &UpdateRefs,
    response: &UpdateRefsResponse,
) -> Result<(), Error> {
    let changes = update.commands.iter().enumerate().map(|(place, command)| AuditChange {
        name: command.name.clone(),
        old: command.old.clone(),
        new: command.new.clone(),
        refusal: response.results.get(place).map_or(response.refusal, |result| result.refusal),
    });
    let line = AuditRow {
        changes: changes.collect(),
        refusal: response.refusal,
        ..line(scope, update.push.repo_id, &update.who)?
    };
    write(scope, &line);
    Ok(())
}

/// Writes the audit line of a push that the leader denied.
pub(super) fn record_refusal(scope: &mut Scope<'_>, refuse: &Refuse) -> Result<(), Error> {
    let refusal = Refusal::try_from(refuse.refusal).unwrap_or(Refusal::Denied);
    let line =
        AuditRow { refusal: refusal.into(), ..line(scope, refuse.push.repo_id, &refuse.who)? };
    write(scope, &line);
    Ok(())
}

/// Writes the audit line of a segment that was given up (S20).
pub(super) fn record_loss(
    scope: &mut Scope<'_>,
    repo_id: u64,
    accept: &AcceptLoss,
) -> Result<(), Error> {
    let line =
        AuditRow { lost_segment: accept.segment_id.clone(), ..line(scope, repo_id, &accept.who)? };
    write(scope, &line);
    Ok(())
}

fn line(scope: &Scope<'_>, repo_id: u64, who: &Who) -> Result<AuditRow, Error> {
    let repository: Option<RepositoryRow> =
        query::repository(scope.rows, gitstratum_core::RepoId(repo_id))?;
    Ok(AuditRow {
        wall_millis: scope.wall_millis,
        who: Some(who.clone()),
        repo_id,
        path: repository.map(|row| row.path).unwrap_or_default(),
        log_time: scope.group.log_time,
        ..AuditRow::default()
    })
}

fn write(scope: &mut Scope<'_>, line: &AuditRow) {
    let bytes = rows::encode(line);
    scope.group.audit_bytes += bytes.len() as u64;
    scope.rows.put(keys::audit(scope.index), bytes);
}

/// Removes lines below an index, a bounded number at a time; the floor says how far it came.
pub(super) fn prune(scope: &mut Scope<'_>, prune: &PruneAudit) -> Result<(), Error> {
    let gone = scope.rows.scan(&keys::audit_below(Version(prune.below)), SWEEP_ROWS_MAX)?;
    for (key, value) in &gone {
        scope.group.audit_bytes = scope.group.audit_bytes.saturating_sub(value.len() as u64);
        scope.group.audit_floor = keys::audit_index(key)?.0;
        scope.rows.delete(key.to_vec());
    }
    Ok(())
}
