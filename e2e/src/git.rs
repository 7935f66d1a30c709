use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What a finished command printed, and its exit code.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The exit code; 128 plus the signal when it was killed.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Stock git in a home of its own: no configuration of the machine reaches it.
#[derive(Clone, Debug)]
pub struct Git {
    home: PathBuf,
    helper: String,
    ssh_command: String,
    variables: Vec<(String, String)>,
}

impl Git {
    /// Git whose credentials come from `helper` (a `credential.helper` value) and whose ssh
    /// is `ssh_command`.
    pub fn new(home: &Path, helper: &str, ssh_command: &str) -> Self {
        Self {
            home: home.to_owned(),
            helper: helper.to_owned(),
            ssh_command: ssh_command.to_owned(),
            variables: Vec::new(),
        }
    }

    /// The same with one more environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs `git ARGS` in `directory`, whatever it returns.
    ///
    /// # Errors
    /// When git cannot be started.
    pub fn try_run(&self, directory: &Path, args: &[&str]) -> Result<Ran> {
        let output = self.command(directory, args).output().context("starting git")?;
        Ok(Ran {
            code: code(output.status),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs `git ARGS` in `directory` and returns what it printed.
    ///
    /// # Errors
    /// When git does not exit with 0.
    pub fn run(&self, directory: &Path, args: &[&str]) -> Result<String> {
        let ran = self.try_run(directory, args)?;
        if ran.code != 0 {
            bail!("git {} gave {}:\n{}{}", args.join(" "), ran.code, ran.out, ran.err);
        }
        Ok(ran.out)
    }

    /// The command, for callers that need its pipes or want to kill it.
    pub fn command(&self, directory: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .current_dir(directory)
            .args(["-c", "credential.helper=", "-c"])
            .arg(format!("credential.helper={}", self.helper))
            .args(["-c", "protocol.file.allow=always", "-c", "gc.auto=0"])
            .args(args)
            .stdin(Stdio::null())
            .env("HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_SSH_COMMAND", &self.ssh_command)
            .env("GIT_AUTHOR_NAME", "Ann Author")
            .env("GIT_AUTHOR_EMAIL", "ann@example.com")
            .env("GIT_COMMITTER_NAME", "Ann Author")
            .env("GIT_COMMITTER_EMAIL", "ann@example.com");
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }
}

pub(crate) fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
