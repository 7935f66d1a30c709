//! Stock git and OpenSSH in a home of their own.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use gitstratum_frontend::testing::{RepoState, Running};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::within;

/// A home folder with an SSH key and nobody's settings.
pub struct Home {
    folder: TempDir,
    pub fingerprint: String,
}

impl Home {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("id");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
            .arg(&key)
            .stdin(Stdio::null())
            .output();
        assert!(made.await.unwrap().status.success());
        let shown = Command::new("ssh-keygen").arg("-lf").arg(&key).output().await.unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let fingerprint = shown.split(' ').nth(1).unwrap().to_owned();
        Self { folder, fingerprint }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The ssh command line that knows the frontend's host key and shows our key.
    fn ssh_command(&self, running: &Running) -> String {
        let known = self.path().join("known_hosts");
        let address = running.ssh();
        let line = format!("[{}]:{} {}\n", address.ip(), address.port(), running.host_key);
        std::fs::write(&known, line).unwrap();
        format!(
            "ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes \
             -o UserKnownHostsFile={} -i {}",
            known.display(),
            self.path().join("id").display()
        )
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Ann")))
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "ann@test")))
            .envs(
                ["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_DATE"), "1700000000 +0000")),
            )
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs git here, over SSH where an address says so.
    pub async fn git(&self, running: Option<&Running>, arguments: &[&str]) -> Output {
        let mut command = self.command("git");
        if let Some(running) = running {
            command.env("GIT_SSH_COMMAND", self.ssh_command(running));
        }
        within(command.args(arguments).current_dir(self.path()).output()).await.unwrap()
    }

    /// The standard output of a git command that succeeds.
    pub async fn git_text(&self, running: Option<&Running>, arguments: &[&str]) -> String {
        let output = self.git(running, arguments).await;
        assert!(output.status.success(), "git {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs ssh with `arguments` behind the address.
    pub async fn ssh(&self, running: &Running, options: &[&str], command: &[&str]) -> Output {
        let address = running.ssh();
        let mut ssh = self.command("sh");
        // The command line holds options with spaces, which a shell takes apart.
        let line = format!("exec {} -p {} \"$@\"", self.ssh_command(running), address.port());
        ssh.args(["-c", &line, "ssh"]).args(options).args(command);
        within(ssh.output()).await.unwrap()
    }

    /// A repository with branches, a lightweight and an annotated tag, and other refs.
    pub async fn sample(&self, format: &str) -> PathBuf {
        let folder = self.path().join(format!("sample-{format}"));
        let path = folder.to_str().unwrap().to_owned();
        let format = format!("--object-format={format}");
        self.git_text(None, &["init", "-q", "-b", "main", &format, &path]).await;
        for step in [
            &["commit", "-q", "--allow-empty", "-m", "one"][..],
            &["branch", "topic/a"],
            &["tag", "light"],
            &["commit", "-q", "--allow-empty", "-m", "two"],
            &["tag", "-a", "v1", "-m", "one"],
            &["tag", "-a", "v2", "-m", "tag of a tag", "v1"],
            &["update-ref", "refs/notes/commits", "HEAD~1"],
            &["update-ref", "refs/changes/01/1", "HEAD"],
        ] {
            self.git_text(None, &[&["-C", &path], step].concat()).await;
        }
        folder
    }

    /// Copies the refs of a stock repository into the double.
    pub async fn copy_refs(&self, from: &Path, to: &mut RepoState) {
        let form = "--format=%(refname) %(objectname) %(*objectname)";
        let path = from.to_str().unwrap();
        let listed = self.git_text(None, &["-C", path, "for-each-ref", form]).await;
        for line in listed.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let peeled = if words[2].is_empty() {
                String::new()
            } else {
                let target = format!("{}^{{}}", words[0]);
                let found = self.git_text(None, &["-C", path, "rev-parse", &target]).await;
                found.trim().to_owned()
            };
            to.set(words[0], words[1], &peeled);
        }
    }

    /// What stock git's `program` answers to `request`, as HTTP would run it.
    pub async fn stock(&self, program: &[&str], protocol: &str, request: &[u8]) -> Vec<u8> {
        let mut child = self
            .command("git")
            .args(program)
            .env("GIT_PROTOCOL", protocol)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(request).await.unwrap();
        drop(stdin);
        let output = within(child.wait_with_output()).await.unwrap();
        assert!(output.status.success());
        output.stdout
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
