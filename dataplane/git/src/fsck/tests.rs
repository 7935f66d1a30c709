//! fsck by the catalogue of bad inputs, and against stock git.

mod generate;
mod objects;
mod oracle;
mod sessions;

use gitstratum_core::{ObjectFormat, ObjectKind};

use super::{Finding, MessageId, Options, Severity, check};

const SHA1: ObjectFormat = ObjectFormat::Sha1;

/// The rules that an object breaks, and whether it is refused.
fn judge(kind: ObjectKind, content: &[u8]) -> (Vec<MessageId>, bool) {
    let findings = check(kind, SHA1, content, &Options::default());
    (findings.iter().map(|finding| finding.id).collect(), is_refused(&findings))
}

fn is_refused(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

#[test]
fn every_rule_has_one_name_that_is_read_back() {
    for id in MessageId::ALL {
        assert_eq!(MessageId::parse(&id.to_string().to_uppercase()), Some(*id));
    }
    assert_eq!(MessageId::parse("nonsense"), None);
}

#[test]
fn overrides_change_severities_but_not_those_of_fatal_rules() {
    let options = Options::default()
        .with(MessageId::ZeroPaddedFilemode, Severity::Warn)
        .with(MessageId::NulInHeader, Severity::Ignore)
        .with(MessageId::BadFilemode, Severity::Error);
    assert_eq!(options.severity(MessageId::ZeroPaddedFilemode), Severity::Warn);
    assert_eq!(options.severity(MessageId::NulInHeader), Severity::Error);
    assert_eq!(options.severity(MessageId::BadFilemode), Severity::Error);
    assert_eq!(options.severity(MessageId::HasDotgit), Severity::Error);
    let old = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor \ncommitter \n";
    let tolerant = [
        MessageId::MissingEmail,
        MessageId::MissingAuthor,
        MessageId::MissingCommitter,
        MessageId::MissingNameBeforeEmail,
    ]
    .into_iter()
    .fold(Options::default(), |options, id| options.with(id, Severity::Warn));
    assert!(!is_refused(&check(ObjectKind::Commit, SHA1, old, &tolerant)));
    assert!(is_refused(&check(ObjectKind::Commit, SHA1, old, &Options::default())));
}
