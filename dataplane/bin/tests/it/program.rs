//! Runs the program beside a control plane in memory.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use gitstratum_ctl::testing::{Double, World};
use gitstratum_proto::control::v1 as wire;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Longest that one command may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// A data directory with a control plane that answers in it, and a home.
pub(crate) struct Rig {
    pub(crate) double: Double,
    folder: tempfile::TempDir,
}

impl Rig {
    pub(crate) fn start(world: World) -> Self {
        let folder = tempfile::tempdir().expect("because a folder can be made");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("because it is new");
        let double = Double::start(&data, world).expect("because the folder is new");
        Self { double, folder }
    }

    /// The user's home.
    pub(crate) fn home(&self) -> &Path {
        self.folder.path()
    }

    /// The program, to be started in the data directory's folder.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = command(self.home());
        command.arg("--data").arg(self.double.data()).args(words.split_whitespace());
        command
    }

    /// Runs the words of a command.
    pub(crate) async fn run(&self, words: &str) -> Ended {
        self.feed(words, "").await
    }

    /// Runs the words of a command, with `input` on its standard input.
    pub(crate) async fn feed(&self, words: &str, input: &str) -> Ended {
        end(self.command(words), input).await
    }
}

/// The program with nothing of the environment of whoever runs the tests.
pub(crate) fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gitstratum"));
    command.env_clear().env("HOME", home).current_dir(home).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `command` to its end.
pub(crate) async fn end(mut command: Command, input: &str) -> Ended {
    let mut child = command.spawn().expect("because the program was built");
    let mut stdin = child.stdin.take().expect("because it is piped");
    // A program that does not read its input may have closed it.
    drop(stdin.write_all(input.as_bytes()).await);
    drop(stdin);
    let output = tokio::time::timeout(COMMAND_DEADLINE, child.wait_with_output()).await;
    let output = output.expect("because the deadline is generous");
    Ended::of(&output.expect("because a child can be waited for"))
}

/// What became of a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), errors: text(&output.stderr) }
    }

    /// The output of a command that was done.
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// The output of a command that was done, as JSON.
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.done()).expect("because JSON was asked for")
    }
}

/// A control plane with a cluster admin and two repositories.
pub(crate) fn world() -> World {
    let repository = |id: u64, path: &str| wire::Repository {
        id,
        path: path.to_owned(),
        object_format: 1,
        default_branch: "main".to_owned(),
        state: 1,
        created_millis: 1_769_860_800_000,
        ..wire::Repository::default()
    };
    let admin = wire::UserRecord {
        id: 1,
        name: "admin".to_owned(),
        cluster_admin: true,
        ..wire::UserRecord::default()
    };
    World {
        users: vec![admin],
        repositories: vec![repository(1, "demo/hello"), repository(2, "team/engine")],
        ..World::default()
    }
}
