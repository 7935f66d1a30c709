//! Special blobs, wherever they come in a push.

use gitstratum_core::{ObjectId, ObjectKind};

use super::SHA1;
use crate::fsck::{
    GITATTRIBUTES_LINE_LEN_MAX, MessageId, Options, Session, Severity, SpecialBlob, SpecialKind,
};
use crate::pack::{Content, Visited};
use crate::testing::{id_of, tree};

fn show(session: &mut Session, kind: ObjectKind, content: &[u8]) -> ObjectId {
    let id = id_of(SHA1, kind, content);
    let size = content.len() as u64;
    let content = Content::Whole(content);
    session.visit(&Visited { ordinal: 0, id: &id, kind, size, content });
    id
}

fn rules(session: &Session) -> Vec<MessageId> {
    session.reports().iter().map(|report| report.finding.id).collect()
}

const BAD_MODULES: &[u8] = b"[submodule \"x\"]\nurl = -u./x\n";

#[test]
fn bad_input_071_a_gitmodules_blob_is_judged_before_or_after_its_tree() {
    let blob_id = id_of(SHA1, ObjectKind::Blob, BAD_MODULES);
    let root = tree(&[("100644", b".gitmodules", blob_id)]);
    let mut tree_first = Session::new(SHA1, Options::default());
    show(&mut tree_first, ObjectKind::Tree, &root);
    assert_eq!(tree_first.errors(), 0);
    show(&mut tree_first, ObjectKind::Blob, BAD_MODULES);
    show(&mut tree_first, ObjectKind::Blob, BAD_MODULES);
    assert_eq!((rules(&tree_first), tree_first.errors()), (vec![MessageId::GitmodulesUrl], 1));
    assert!(tree_first.pending().is_empty());

    let mut blob_first = Session::new(SHA1, Options::default());
    show(&mut blob_first, ObjectKind::Blob, BAD_MODULES);
    show(&mut blob_first, ObjectKind::Tree, &root);
    let blob = SpecialBlob { id: blob_id, kind: SpecialKind::Gitmodules };
    assert_eq!((blob_first.errors(), blob_first.pending()), (0, vec![blob]));
    blob_first.judge_special(&blob, Some((ObjectKind::Blob, BAD_MODULES)));
    assert_eq!(rules(&blob_first), [MessageId::GitmodulesUrl]);
    assert!(blob_first.pending().is_empty());
    let line = blob_first.reports()[0].to_string();
    let expected =
        format!("error in blob {blob_id}: gitmodulesUrl: disallowed submodule url: -u./x");
    assert_eq!(line, expected);
}

#[test]
fn bad_input_071_a_gitmodules_that_is_missing_or_no_blob_is_refused() {
    let id = id_of(SHA1, ObjectKind::Blob, b"outside");
    for (kind, missing, no_blob, large) in [
        (
            SpecialKind::Gitmodules,
            MessageId::GitmodulesMissing,
            MessageId::GitmodulesBlob,
            MessageId::GitmodulesLarge,
        ),
        (
            SpecialKind::Gitattributes,
            MessageId::GitattributesMissing,
            MessageId::GitattributesBlob,
            MessageId::GitattributesLarge,
        ),
    ] {
        let blob = SpecialBlob { id, kind };
        let mut session = Session::new(SHA1, Options::default());
        session.judge_special(&blob, None);
        session.judge_special(&blob, Some((ObjectKind::Tree, b"")));
        session.judge_too_large(&blob);
        assert_eq!((rules(&session), session.errors()), (vec![missing, no_blob, large], 3));
        session.judge_special(&blob, Some((ObjectKind::Blob, b"")));
        assert_eq!(session.errors(), 3);
    }
}

#[test]
fn bad_input_072_gitattributes_lines_are_limited() {
    for (len, is_refused) in [
        (GITATTRIBUTES_LINE_LEN_MAX - 1, false),
        (GITATTRIBUTES_LINE_LEN_MAX, true),
        (1 << 20, true),
    ] {
        let content = [b"*.c diff\n", &vec![b'x'; len][..], b"\n*.h diff\n"].concat();
        let id = id_of(SHA1, ObjectKind::Blob, &content);
        let mut session = Session::new(SHA1, Options::default());
        let root = tree(&[("100644", b".gitattributes", id)]);
        show(&mut session, ObjectKind::Tree, &root);
        show(&mut session, ObjectKind::Blob, &content);
        assert_eq!(session.errors(), u64::from(is_refused));
    }
}

#[test]
fn errors_come_first_and_reports_are_limited() {
    let mut session = Session::new(SHA1, Options::default());
    let id = id_of(SHA1, ObjectKind::Blob, b"x");
    for number in 0..200 {
        let name = format!("{number:03}");
        show(&mut session, ObjectKind::Tree, &tree(&[("100664", name.as_bytes(), id)]));
    }
    assert_eq!((session.errors(), session.reports().len()), (0, 64));
    assert!(session.reports()[0].to_string().starts_with("warning in tree "));
    for number in 0..100 {
        let name = format!("{number:03}/");
        show(&mut session, ObjectKind::Tree, &tree(&[("100644", name.as_bytes(), id)]));
    }
    assert_eq!((session.errors(), session.reports().len()), (100, 64));
    let are_errors =
        session.reports().iter().all(|report| report.finding.severity == Severity::Error);
    assert!(are_errors);
}

#[test]
fn ordinary_blobs_are_not_judged() {
    let mut session = Session::new(SHA1, Options::default());
    show(
        &mut session,
        ObjectKind::Tree,
        &tree(&[("100644", b"modules", id_of(SHA1, ObjectKind::Blob, BAD_MODULES))]),
    );
    show(&mut session, ObjectKind::Blob, BAD_MODULES);
    assert_eq!((session.errors(), session.pending()), (0, vec![]));
}
