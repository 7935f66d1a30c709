//! Stock git as oracle and maker of packs, in a folder of its own.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use gitstratum_core::ObjectFormat;
use tempfile::TempDir;

/// A bare repository that stock git works on.
pub(crate) struct StockGit {
    dir: TempDir,
    pub(crate) format: ObjectFormat,
}

impl StockGit {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        let git = Self { dir: TempDir::new().unwrap(), format };
        let init = format!("--object-format={format}");
        git.run(&["init", "-q", "--bare", &init, "."], b"");
        git
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Output of a command that must succeed.
    pub(crate) fn run(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.try_run(args, input);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {errors}");
        output.stdout
    }

    /// The one line that a command prints.
    pub(crate) fn line(&self, args: &[&str], input: &[u8]) -> String {
        String::from_utf8(self.run(args, input)).unwrap().trim_end().to_owned()
    }

    /// What a command does, whether or not it succeeds.
    pub(crate) fn try_run(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(args).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // Fed from a thread: git may fill its output before it has read all.
        let feeder = std::thread::spawn(move || {
            // A command that has seen enough closes its end.
            let _closed_early = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        output
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(args)
            .current_dir(self.path())
            .env_remove("GIT_DIR")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("HOME", self.path())
            .env("LC_ALL", "C")
            .env("GIT_AUTHOR_NAME", "A U Thor")
            .env("GIT_AUTHOR_EMAIL", "author@example.org")
            .env("GIT_AUTHOR_DATE", "1700000000 +0000")
            .env("GIT_COMMITTER_NAME", "C O Mitter")
            .env("GIT_COMMITTER_EMAIL", "committer@example.org")
            .env("GIT_COMMITTER_DATE", "1700000000 +0000")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A history with deltas, nested trees, tags, and large and small blobs:
    /// made in one stream, every commit on the last. Returns the tip.
    pub(crate) fn make_history(&self, commits: usize) -> String {
        let mut stream = Vec::new();
        for number in 0..commits {
            write_commit(&mut stream, number);
        }
        let tag = format!(
            "tag v1\nfrom refs/heads/main\ntagger T <t@example.org> {} +0000\ndata 3\nv1\n",
            1_700_000_000 + commits
        );
        stream.extend_from_slice(tag.as_bytes());
        self.run(&["fast-import", "--quiet"], &stream);
        self.line(&["rev-parse", "refs/heads/main"], b"")
    }

    /// A pack of everything, as `git pack-objects` makes it with these options.
    pub(crate) fn pack_all(&self, options: &[&str]) -> Vec<u8> {
        let mut args = vec!["pack-objects", "-q", "--stdout", "--all", "--no-reuse-delta"];
        args.extend_from_slice(options);
        self.run(&args, b"")
    }

    /// Whether `index-pack --strict` takes the pack, and what it says.
    pub(crate) fn accepts(&self, pack: &[u8]) -> Result<(), String> {
        let args = ["index-pack", "--stdin", "--fix-thin", "--strict"];
        let output = self.try_run(&args, pack);
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

fn write_commit(stream: &mut Vec<u8>, number: usize) {
    let seconds = 1_700_000_000 + number;
    let head = format!(
        "commit refs/heads/main\ncommitter C <c@example.org> {seconds} +0100\ndata 8\n{number:08}"
    );
    stream.extend_from_slice(head.as_bytes());
    stream.push(b'\n');
    let large: String =
        (0..3000).map(|line| format!("{} {line}\n", line * (number / 7 + 1))).collect();
    let small = format!("small {number}\n").repeat(20);
    for (path, content) in [
        ("large.txt".to_owned(), large),
        (format!("src/deep/er/file{}.rs", number % 9), small.clone()),
        (format!("docs/{number}.md"), small),
    ] {
        let file = format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len());
        stream.extend_from_slice(file.as_bytes());
    }
}
