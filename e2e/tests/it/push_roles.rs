//! What each role may do, by every door (GS-CP-08), and what a login that is refused leaves.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::wire::Program;
use gitstratum_e2e::wire::http::{Credentials, Http};
use gitstratum_e2e::wire::ssh::{Key, Ssh};
use gitstratum_e2e::{Git, Stratum, now};
use serde_json::Value;

use crate::clone_tls::Certified;
use crate::shared::Up;
use crate::work::{commit, create, folder, history};

const REPO: &str = "demo/matrix";
/// Users, each called as the role that they have; `nobody` has none.
const USERS: [&str; 5] = ["nobody", "read", "write", "maintain", "admin"];
/// From which user on each of these goes through.
const DEEDS: [(&str, Deed); 5] = [
    ("read", Deed::Fetch),
    ("write", Deed::Push),
    ("write", Deed::Delete),
    ("maintain", Deed::Force),
    ("admin", Deed::Set),
];

/// What somebody tries.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// A clone.
    Fetch,
    /// A new branch.
    Push,
    /// Away with a branch that is not the default one.
    Delete,
    /// The default branch to a commit that does not follow.
    Force,
    /// A setting of the repository.
    Set,
}

/// A user by one door.
struct Visitor {
    git: Git,
    url: String,
    /// Sets a part of the branches' names that is its own.
    name: String,
    token_file: PathBuf,
}

/// A repository and its visitors.
struct Matrix {
    stratum: Stratum,
    certified: Certified,
    source: PathBuf,
}

impl Matrix {
    fn new() -> Result<Self> {
        let certified = Certified::make()?;
        let stratum = Stratum::start_with(certified.options(&certified.path("tls.key")?)?)?;
        stratum.trust_host_key()?;
        create(&stratum, REPO, "sha1")?;
        let (git, source) = (stratum.git(), folder(&stratum, "source"));
        history(&git, &source, 3, "sha1")?;
        git.run(&source, &["branch", "other", "HEAD~1"])?;
        commit(&git, &source, "file", "the tip\n")?;
        Ok(Self { stratum, certified, source })
    }

    /// Makes a user with a role, and their visit by each door.
    fn invite(&self, user: &str) -> Result<[Visitor; 3]> {
        let name = format!("{user}-user");
        self.stratum.cli(&["user", "create", &name])?;
        if user != "nobody" {
            self.stratum.cli(&["grant", &name, user, REPO])?;
        }
        let token = self.stratum.cli(&["token", "create", &name, "--scope", "admin"])?;
        let token = token.split_whitespace().find(|word| word.starts_with("gst_"));
        let token = token.context("no token was printed")?;
        let token_file = self.stratum.scratch().join(format!("{name}.token"));
        std::fs::write(&token_file, token)?;
        let endpoint = self.stratum.endpoint();
        let https = endpoint.https.as_ref().context("no https")?.replace("127.0.0.1", "localhost");
        let login = |url: &str| url.replacen("://", &format!("://{name}:{token}@"), 1);
        let git = || -> Result<Git> {
            let git = Git::new(self.stratum.scratch(), "", &self.ssh_command(&name)?);
            Ok(git.with("GIT_SSL_CAINFO", &self.certified.path("tls.crt")?))
        };
        let visit = |door: &str, url: String| -> Result<Visitor> {
            let (name, token_file) = (format!("{user}-{door}"), token_file.clone());
            Ok(Visitor { git: git()?, url, name, token_file })
        };
        let visits = [
            visit("http", login(&self.stratum.http(REPO)))?,
            visit("https", login(&format!("{https}/{REPO}")))?,
            visit("ssh", self.stratum.ssh(REPO))?,
        ];
        Ok(visits)
    }

    /// The way of ssh with a new key, registered for `user`.
    fn ssh_command(&self, user: &str) -> Result<String> {
        let key = self.stratum.scratch().join(format!("{user}.key"));
        let text = key.to_str().context("a path that is no text")?;
        if !key.exists() {
            let args = ["-q", "-t", "ed25519", "-N", "", "-f", text];
            let made = std::process::Command::new("ssh-keygen").args(args).status()?;
            ensure!(made.success(), "ssh-keygen failed");
            self.stratum.cli(&["user", "key", "add", user, &format!("{text}.pub")])?;
        }
        let known = self.stratum.scratch().join("known_hosts");
        Ok(format!(
            "ssh -F none -i {text} -o IdentitiesOnly=yes -o UserKnownHostsFile={} -o BatchMode=yes",
            known.display()
        ))
    }

    /// Everything is as it was: `main` at the tip, and a branch for each visitor.
    fn reset(&self, visitor: &Visitor) -> Result<()> {
        let branch = format!("other:refs/heads/{}", visitor.name);
        let url = self.stratum.http(REPO);
        let pushed = ["push", "-q", "--force", &url, "main", &branch];
        self.stratum.git().run(&self.source, &pushed)?;
        Ok(())
    }

    fn is_done(&self, visitor: &Visitor, deed: Deed) -> Result<(bool, String)> {
        let Visitor { git, url, name, token_file } = visitor;
        let pushed = |what: &str| git.try_run(&self.source, &["push", "-q", url, what]);
        let ran = match deed {
            Deed::Fetch => git.try_run(&self.source, &["fetch", "-q", url, "main"])?,
            Deed::Push => pushed(&format!("other:refs/heads/new-{name}"))?,
            Deed::Force => pushed("+other:refs/heads/main")?,
            Deed::Delete => pushed(&format!(":refs/heads/{name}"))?,
            Deed::Set => {
                let file = token_file.to_str().context("a path that is no text")?;
                let set = ["repo", "set", REPO, "--description", name, "--token-file", file];
                self.stratum.try_cli(&set)?
            }
        };
        Ok((ran.code == 0, ran.err))
    }
}

#[test]
fn gs_cp_08_each_role_may_what_it_may_by_every_door() -> Result<()> {
    let matrix = Matrix::new()?;
    for (rank, user) in USERS.iter().enumerate() {
        let may = |from: &str| USERS[..=rank].contains(&from);
        for visitor in matrix.invite(user)? {
            for (from, deed) in DEEDS {
                matrix.reset(&visitor)?;
                let allowed = may(from);
                let (done, said) = matrix.is_done(&visitor, deed)?;
                ensure!(done == allowed, "{deed:?} by {}: {done}: {said}", visitor.name);
            }
        }
    }
    Ok(())
}

#[test]
fn gs_fe_04_a_writer_pushes_many_commits_to_the_default_branch_and_forces_none() -> Result<()> {
    let matrix = Matrix::new()?;
    let [visitor, ..] = matrix.invite("write")?;
    matrix.reset(&visitor)?;
    let git = matrix.stratum.git();
    for name in ["one", "two", "three"] {
        commit(&git, &matrix.source, name, "more\n")?;
    }
    visitor.git.run(&matrix.source, &["push", "-q", &visitor.url, "main"])?;
    let (done, said) = matrix.is_done(&visitor, Deed::Force)?;
    ensure!(!done && said.contains("maintain"), "{said}");
    Ok(())
}

#[test]
fn gs_cp_14_a_login_that_was_refused_has_a_durable_line() -> Result<()> {
    let mut up = Up::start()?;
    let token = up.stratum.cli(&["token", "create", "admin", "-o", "json"])?;
    let token: Value = serde_json::from_str(&token)?;
    let (secret, id) = (token["token"].as_str(), token["id"].as_str());
    let (secret, id) = (secret.context("no token")?.to_owned(), id.context("no id")?.to_owned());
    // Returns once the frontend has it (P-S3).
    up.stratum.cli(&["token", "revoke", &id])?;
    let http = Http::new(&up.stratum.frontend().http, "demo/hello");
    let path = "/demo/hello.git/info/refs?service=git-upload-pack";
    for credentials in [Credentials::Bearer(secret), Credentials::Bearer("gst_nonsense".into())] {
        let answer = http.clone().with(credentials).request("GET", path, &[], b"")?;
        ensure!(answer.status == 401, "{}", answer.status);
    }
    let stranger = Key::generate()?;
    let endpoint = up.stratum.endpoint();
    let ssh = Ssh::new(&endpoint.ssh, &endpoint.ssh_host_key, &stranger, "demo/hello");
    let ran = ssh.run(ssh.line(Program::UploadPack).as_bytes(), b"");
    ensure!(ran.is_err(), "a stranger's key was taken");
    let subjects = wait_for_lines(&up.stratum, 3)?;
    up.stratum.kill()?;
    up.stratum.launch()?;
    ensure!(wait_for_lines(&up.stratum, 3)? == subjects, "they are not durable");
    ensure!(subjects[0] == format!("http {id}") && subjects[1] == "http", "{subjects:?}");
    ensure!(subjects[2].starts_with("ssh SHA256:"), "{subjects:?}");
    Ok(())
}

fn wait_for_lines(stratum: &Stratum, count: usize) -> Result<Vec<String>> {
    let began = now();
    loop {
        // Nodes that have just started serve Git before their control plane has a leader.
        let lines = refused_logins(stratum);
        match lines {
            Ok(lines) if lines.len() >= count => return Ok(lines),
            lines => ensure!(began.elapsed().as_secs() < 10, "{count} are wanted: {lines:?}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// What the audit log says of logins that were refused.
fn refused_logins(stratum: &Stratum) -> Result<Vec<String>> {
    let text = stratum.cli(&["audit", "-o", "json"])?;
    let lines = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let refused = lines.iter().filter(|line| line["action"] == "login.refused");
    let checked = refused.map(|line| {
        let (client, result) =
            (&line["clientAddress"], line["result"].as_str().unwrap_or_default());
        ensure!(client == "127.0.0.1" && result.starts_with("denied"), "{line}");
        Ok(line["subject"].as_str().unwrap_or_default().to_owned())
    });
    checked.collect()
}
