//! The help of every verb, as files: a change of words is seen in review.

use std::path::PathBuf;

use crate::program::{command, end};

/// Every verb that has a help of its own, and the file it is kept in.
const VERBS: &[&str] = &[
    "",
    "up",
    "repo",
    "repo create",
    "repo list",
    "repo show",
    "repo set",
    "repo rename",
    "repo delete",
    "repo undelete",
    "user",
    "user create",
    "user list",
    "user show",
    "user delete",
    "user key",
    "user key add",
    "user key list",
    "user key remove",
    "token",
    "token create",
    "token list",
    "token revoke",
    "grant",
    "revoke",
    "grants",
    "status",
    "node",
    "node list",
    "node show",
    "node drain",
    "node undrain",
    "node remove",
    "node stop",
    "node start",
    "node token",
    "node token rotate",
    "ring",
    "ring show",
    "ring plan",
    "rebalance",
    "rebalance status",
    "rebalance start",
    "rebalance stop",
    "config",
    "config get",
    "config set",
    "flag",
    "flag list",
    "flag set",
    "check",
    "compact",
    "gc",
    "audit",
    "cluster",
    "cluster recover",
    "login",
    "credential",
    "control",
    "frontend",
    "metadata",
    "object",
];

fn golden(verb: &str) -> PathBuf {
    let name = format!("gitstratum {verb}").trim().replace(' ', "-");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"))
}

/// To take new words over: `gitstratum VERB --help > dataplane/bin/tests/golden/gitstratum-VERB.txt`.
#[tokio::test]
async fn help_says_what_the_files_say() {
    let home = tempfile::tempdir().unwrap();
    let mut changed = Vec::new();
    for verb in VERBS {
        let mut command = command(home.path());
        command.args(verb.split_whitespace()).arg("--help");
        let shown = end(command, "").await.done();
        let path = golden(verb);
        if std::fs::read_to_string(&path).unwrap_or_default() != shown {
            changed.push(format!("{}:\n{shown}", path.display()));
        }
    }
    assert!(changed.is_empty(), "help differs from\n{}", changed.join("\n"));
    let files = std::fs::read_dir(golden("").parent().unwrap()).unwrap().count();
    assert_eq!(files, VERBS.len(), "a file of no verb");
}

#[tokio::test]
async fn verbs_of_later_versions_say_so() {
    let home = tempfile::tempdir().unwrap();
    for verb in ["limit", "agent"] {
        let mut command = command(home.path());
        command.args([verb, "list", "--dry-run"]);
        let ended = end(command, "").await;
        assert_eq!(ended.code, Some(2));
        let expected = format!(
            "error: `gitstratum {verb}` is not in this version\nhint: `gitstratum --help` shows what is\n"
        );
        assert_eq!(ended.errors, expected);
    }
}

#[tokio::test]
async fn wrong_usage_ends_with_2() {
    let home = tempfile::tempdir().unwrap();
    for words in ["", "repoo", "repo create", "repo set a/b", "-o xml status", "up --nodes 2"] {
        let mut command = command(home.path());
        command.args(words.split_whitespace());
        let ended = end(command, "").await;
        assert_eq!(ended.code, Some(2), "{words}: {ended:?}");
        assert!(ended.out.is_empty(), "{words}: {ended:?}");
    }
}

#[tokio::test]
async fn version_is_told() {
    let home = tempfile::tempdir().unwrap();
    let mut command = command(home.path());
    command.arg("--version");
    let expected = concat!("gitstratum ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(end(command, "").await.done(), expected);
}
