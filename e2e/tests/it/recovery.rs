//! A control plane whose state is gone from all three nodes: nothing is founded beside the
//! data, which is served on, and `cluster recover` brings users, tokens, grants and
//! repositories back (S45, issue 5 item 5).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::{Git, Member, now};
use serde_json::Value;

use crate::members::check;
use crate::metadata_members::wait_for_voters;
use crate::three_nodes::{Three, beside_others};
use crate::work::{commit, create};

const PUSH_WITHIN: Duration = Duration::from_secs(10);
/// Within what every node tells that the control plane is lost, or is back.
const TOLD_WITHIN: Duration = Duration::from_secs(20);
const LOST: &str = "ControlPlaneLost";

/// A user with a token that may write, and a role in one repository.
struct Eva {
    token: String,
    git: Git,
}

impl Eva {
    fn new(three: &Three) -> Result<Self> {
        let stratum = &three.stratum;
        stratum.cli(&["user", "create", "eva", "--email", "eva@example.org"])?;
        stratum.cli(&["grant", "eva", "write", "demo/three"])?;
        let token = stratum.cli(&["token", "create", "eva", "--scope", "write"])?;
        let token = token.split_whitespace().find(|word| word.starts_with("gst_"));
        let token = token.context("no token was printed")?.to_owned();
        Ok(Self { token, git: Git::new(stratum.scratch(), "", "") })
    }

    fn url(&self, three: &Three, path: &str) -> String {
        let url = three.url(0).replace("demo/three", path);
        url.replacen("://", &format!("://eva:{}@", self.token), 1)
    }

    /// A push by the old token, as the old grant allows.
    fn push(&self, three: &Three, text: &str) -> Result<()> {
        commit(&self.git, &three.source, "file", text)?;
        let url = self.url(three, "demo/three");
        self.git.run(&three.source, &["push", "-q", &url, "main"]).map(drop)
    }

    /// No role, no push.
    fn is_refused(&self, three: &Three, path: &str) -> Result<()> {
        let url = self.url(three, path);
        let ran = self.git.try_run(&three.source, &["push", "-q", &url, "main"])?;
        ensure!(ran.code != 0, "a push without a role was taken");
        Ok(())
    }
}

/// Stops all, empties the control plane's folders, and starts again.
fn wipe(three: &mut Three) -> Result<()> {
    ensure!(three.stratum.stop()? == 0, "it did not stop cleanly");
    for number in 1..=3 {
        let folder = three.stratum.data().join(format!("nodes/{number}/control"));
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    three.stratum.launch().map(drop)
}

/// What `status` says, once it says that the control plane is lost, or is not.
fn told(three: &Three, lost: bool) -> Result<Value> {
    let began = now();
    loop {
        let ran = three.stratum.try_cli(&["status", "-o", "json"])?;
        let status = serde_json::from_str::<Value>(&ran.out).unwrap_or_default();
        let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_lost = conditions.iter().any(|condition| condition["type"] == LOST);
        if ran.code == 0 && is_lost == lost {
            return Ok(status);
        }
        let took = began.elapsed();
        let text = format!("{}{}", ran.out, ran.err);
        ensure!(took < beside_others(TOLD_WITHIN), "{text}; its log:\n{}", three.troubles());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Clones and pushes through every node.
fn is_served(three: &mut Three) -> Result<()> {
    for index in 0..3 {
        three.push_until_taken(index, PUSH_WITHIN)?;
    }
    three.verify(&format!("served-{}", three.tip(0)?))
}

#[test]
fn s45_a_control_plane_lost_on_all_nodes_is_recovered_and_nothing_else_is_founded() -> Result<()> {
    let mut three = Three::start()?;
    let eva = Eva::new(&three)?;
    create(&three.stratum, "demo/other", "sha1")?;
    three.stratum.cli(&["repo", "rename", "demo/other", "demo/renamed"])?;
    create(&three.stratum, "demo/gone", "sha1")?;
    three.stratum.cli(&["repo", "delete", "demo/gone"])?;
    three.stratum.cli(&["config", "set", "nodeDownAfter", "11s"])?;
    eva.push(&three, "before")?;
    let before = told(&three, false)?;
    wipe(&mut three)?;

    let status = told(&three, true)?;
    ensure!(status["clusterId"] == before["clusterId"], "{status}");
    ensure!(status["repositories"] == before["repositories"], "{status}");
    is_served(&mut three)?;
    eva.push(&three, "while it is lost")?;
    let refused = three.stratum.try_cli(&["user", "create", "nobody"])?;
    ensure!(refused.code == 1 && refused.err.contains(LOST), "{}{}", refused.out, refused.err);
    // Nothing of it changes by a restart.
    ensure!(three.stratum.stop()? == 0, "it did not stop cleanly");
    three.stratum.launch()?;
    told(&three, true)?;

    let shown = three.stratum.cli(&["cluster", "recover", "--dry-run", "-o", "json"])?;
    let shown: Value = serde_json::from_str(&shown)?;
    ensure!(shown["generation"] == 0 && shown["users"] == before["users"], "{shown}");
    told(&three, true)?;
    let report = three.stratum.cli(&["cluster", "recover", "-o", "json"])?;
    let report: Value = serde_json::from_str(&report)?;
    ensure!(report["generation"] == 2 && report["version"] == before["version"], "{report}");
    after(&mut three, &eva, &before)?;
    let again = three.stratum.try_cli(&["cluster", "recover"])?;
    ensure!(again.code == 1, "a state was recovered over: {}", again.out);

    // It stays so, and the same again is the next generation.
    wipe(&mut three)?;
    told(&three, true)?;
    three.stratum.cli(&["cluster", "recover"])?;
    let status = told(&three, false)?;
    ensure!(status["generation"] == 3, "{status}");
    three.stratum.cli(&["user", "show", "adam"])?;
    is_served(&mut three)
}

/// All is as it was, and goes on.
fn after(three: &mut Three, eva: &Eva, before: &Value) -> Result<()> {
    let status = told(three, false)?;
    ensure!(status["clusterId"] == before["clusterId"], "{status}");
    for what in ["repositories", "users"] {
        ensure!(status[what] == before[what], "{what} were {}, now {status}", before[what]);
    }
    eva.push(three, "after")?;
    eva.is_refused(three, "demo/hello")?;
    let stratum = &three.stratum;
    let user = stratum.cli(&["user", "show", "eva", "-o", "json"])?;
    ensure!(user.contains("eva@example.org"), "{user}");
    let listed = stratum.cli(&["repo", "list"])?;
    ensure!(listed.contains("demo/renamed") && !listed.contains("demo/other"), "{listed}");
    let settings = stratum.cli(&["config", "get", "nodeDownAfter"])?;
    ensure!(settings.contains("11s"), "{settings}");
    stratum.cli(&["repo", "undelete", "demo/gone"])?;
    stratum.cli(&["user", "create", "adam"])?;
    create(stratum, "adam/new", "sha1")?;
    let revoked = stratum.cli(&["token", "list", "eva", "-o", "json"])?;
    let tokens: Value = serde_json::from_str(&revoked)?;
    let id = tokens[0]["id"].as_str().context("eva has no token")?.to_owned();
    is_served(three)?;
    let checked = three.stratum.try_cli(&["check"])?;
    ensure!(checked.code == 0, "check gave {}: {}{}", checked.code, checked.out, checked.err);
    // What is taken away now is away: nobody holds on to the old generation.
    three.stratum.cli(&["token", "revoke", &id])?;
    ensure!(eva.push(three, "revoked").is_err(), "a revoked token is still good");
    let git = three.stratum.git();
    git.run(&three.source, &["reset", "-q", "--hard", "HEAD~1"]).map(drop)
}

/// Partitions have moved to a node that joined, and away from a founder: what is recovered is where they
/// are, not where they began.
#[test]
fn s45_s39_voters_that_have_moved_are_where_they_were_after_a_recovery() -> Result<()> {
    let mut three = Three::start()?;
    let founders: Vec<String> = (0..3).map(|index| three.node(index).id.clone()).collect();
    let [first, second, third] = [&*founders[0], &*founders[1], &*founders[2]];
    let mut joined = Member::metadata(&three.stratum, "fourth")?;
    joined.start()?;
    let fourth = joined.id(&three.stratum)?;
    wait_for_voters(&three.stratum, &[first, second, third, &fourth])?;
    three.stratum.cli(&["node", "drain", first])?;
    wait_for_voters(&three.stratum, &[second, third, &fourth])?;
    three.push(0)?;

    wipe(&mut three)?;
    told(&three, true)?;
    is_served(&mut three)?;
    three.stratum.cli(&["cluster", "recover"])?;
    told(&three, false)?;
    wait_for_voters(&three.stratum, &[second, third, &fourth])?;
    create(&three.stratum, "demo/after", "sha1")?;
    is_served(&mut three)?;

    // Placing goes on from there.
    three.stratum.cli(&["node", "undrain", first])?;
    wait_for_voters(&three.stratum, &[first, second, third, &fourth])
        .with_context(|| crate::metadata_members::told(&three, &[&joined]))?;
    is_served(&mut three)?;
    check(&three.stratum)
}
