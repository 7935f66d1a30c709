use gitstratum_core::{Version, encode_hex};
use gitstratum_proto::metadata::v1::{AuditLine, Refusal};

use crate::partition::record::{AuditChange, AuditRow};

/// The lines that people see of one entry: one for each command, or one for a push that was refused
/// before its commands were looked at.
pub(super) fn lines(index: Version, row: &AuditRow) -> Vec<AuditLine> {
    let who = row.who.clone().unwrap_or_default();
    let line = AuditLine {
        index: index.0,
        wall_millis: row.wall_millis,
        actor: who.user_name,
        action: "push".to_owned(),
        subject: row.path.clone(),
        result: result(row.refusal),
        request_id: who.request_id,
        client_addr: who.client_addr,
    };
    if !row.lost_segment.is_empty() {
        let subject = format!("{} segment {}", row.path, encode_hex(&row.lost_segment));
        return vec![AuditLine { action: "segment.accept-loss".to_owned(), subject, ..line }];
    }
    if row.changes.is_empty() {
        return vec![line];
    }
    let of = |change: &AuditChange| AuditLine {
        action: action(change).to_owned(),
        subject: subject(&row.path, change),
        result: result(change.refusal),
        ..line.clone()
    };
    row.changes.iter().map(of).collect()
}

fn action(change: &AuditChange) -> &'static str {
    match (change.old.is_empty(), change.new.is_empty()) {
        (_, true) => "ref.delete",
        (true, false) => "ref.create",
        (false, false) => "ref.update",
    }
}

fn subject(path: &str, change: &AuditChange) -> String {
    let id = |bytes: &[u8]| if bytes.is_empty() { "none".to_owned() } else { encode_hex(bytes) };
    format!("{path} {} {} {}", change.name.escape_ascii(), id(&change.old), id(&change.new))
}

fn result(refusal: i32) -> String {
    let word = match Refusal::try_from(refusal).unwrap_or(Refusal::Denied) {
        Refusal::None => "ok",
        Refusal::Stale => "stale",
        Refusal::NameConflict => "name_conflict",
        Refusal::Atomic => "atomic",
        Refusal::Denied => "denied",
        Refusal::MissingObject => "missing_object",
        Refusal::Kind => "kind",
        Refusal::Policy => "policy",
        Refusal::Busy => "busy",
        Refusal::UnderQuorum => "under_quorum",
        Refusal::Unknown => "unknown",
        Refusal::DropCounter => "drop_counter",
        Refusal::Gone => "gone",
    };
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_of_an_entry_is_a_line() {
        let change = |name: &str, old: &[u8], new: &[u8], refusal: Refusal| AuditChange {
            name: name.to_owned().into(),
            old: old.to_vec().into(),
            new: new.to_vec().into(),
            refusal: refusal.into(),
        };
        let row = AuditRow {
            path: "ann/x".to_owned(),
            changes: vec![
                change("refs/heads/a", &[], &[1; 2], Refusal::None),
                change("refs/heads/b", &[2; 2], &[], Refusal::Stale),
            ],
            ..AuditRow::default()
        };
        let found = lines(Version(7), &row);
        let seen: Vec<_> =
            found.iter().map(|l| (&l.action[..], &l.subject[..], &l.result[..])).collect();
        assert_eq!(
            seen,
            [
                ("ref.create", "ann/x refs/heads/a none 0101", "ok"),
                ("ref.delete", "ann/x refs/heads/b 0202 none", "stale"),
            ]
        );
        let refused = AuditRow { refusal: Refusal::Denied.into(), ..AuditRow::default() };
        assert_eq!(lines(Version(7), &refused)[0].result, "denied");
    }
}
