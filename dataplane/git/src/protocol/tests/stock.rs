//! Stock git, as oracle and as client. Nothing but these tests runs it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bytes::{Bytes, BytesMut};
use gitstratum_core::{ObjectFormat, ObjectId, RefName};
use tempfile::TempDir;

use super::super::AdvertisedRef;
use super::super::capabilities::AGENT;
use super::{decode, line_of};
use crate::pktline::Packet;

/// A folder with a repository `server` that stock git made.
pub(super) struct Stock {
    folder: TempDir,
    format: ObjectFormat,
}

/// A ref of the repository.
pub(super) struct Listed {
    pub(super) name: RefName,
    pub(super) id: ObjectId,
    pub(super) peeled: Option<ObjectId>,
}

impl Stock {
    /// A bare repository without a commit, whose `HEAD` is `refs/heads/main`.
    pub(super) fn empty(format: ObjectFormat) -> Self {
        let stock = Self { folder: tempfile::tempdir().unwrap(), format };
        let format = format!("--object-format={format}");
        stock.git(&["init", "-q", "--bare", "-b", "main", &format, "server"]);
        for (key, value) in [
            ("uploadpack.allowFilter", "true"),
            ("uploadpack.allowTipSHA1InWant", "true"),
            ("uploadpack.allowReachableSHA1InWant", "true"),
        ] {
            stock.server(&["config", key, value]);
        }
        stock
    }

    /// The same with a work tree `work`, in it three commits on `main` of which the second
    /// is `side` and tagged.
    pub(super) fn with_history(format: ObjectFormat) -> Self {
        let stock = Self::empty(format);
        let format = format!("--object-format={format}");
        stock.git(&["init", "-q", "-b", "main", &format, "work"]);
        stock.work(&["remote", "add", "origin", "../server"]);
        stock.commit("one");
        stock.commit("two");
        stock.work(&["branch", "side"]);
        stock.work(&["tag", "-a", "-m", "annotated", "v1"]);
        stock.work(&["tag", "light"]);
        stock.commit("three");
        stock.work(&["push", "-q", "origin", "main", "side", "--tags"]);
        stock
    }

    pub(super) const fn format(&self) -> ObjectFormat {
        self.format
    }

    pub(super) fn commit(&self, text: &str) {
        fs::write(self.path("work").join("file"), text).unwrap();
        self.work(&["add", "file"]);
        self.work(&["commit", "-q", "-m", text]);
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(super) fn git(&self, args: &[&str]) -> String {
        self.git_in(".", args)
    }

    pub(super) fn server(&self, args: &[&str]) -> String {
        self.git_in("server", args)
    }

    pub(super) fn work(&self, args: &[&str]) -> String {
        self.git_in("work", args)
    }

    pub(super) fn id_of(&self, revision: &str) -> ObjectId {
        let text = self.server(&["rev-parse", revision]);
        ObjectId::from_hex(self.format, text.trim().as_bytes()).unwrap()
    }

    /// All refs of the server, with what tags peel to.
    pub(super) fn refs(&self) -> Vec<Listed> {
        let format = "%(refname) %(objectname) %(*objectname)";
        let listing = self.server(&["for-each-ref", &format!("--format={format}")]);
        let listed = |line: &str| {
            let mut words = line.split(' ');
            let name = RefName::parse(words.next().unwrap().to_owned()).unwrap();
            let mut id = || ObjectId::from_hex(self.format, words.next().unwrap().as_bytes());
            Listed { name, id: id().unwrap(), peeled: id().ok() }
        };
        listing.lines().map(listed).collect()
    }

    /// What a server program of git says to `input` under a `GIT_PROTOCOL` value.
    pub(super) fn serve(&self, args: &[&str], git_protocol: &str, input: &[u8]) -> Vec<u8> {
        let mut command = self.command(self.folder.path(), args);
        command.env("GIT_PROTOCOL", git_protocol);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap().stdout
    }

    /// Runs git as a client, whether it succeeds or not.
    pub(super) fn client(&self, args: &[&str]) -> Output {
        self.command(self.folder.path(), args).stdin(Stdio::null()).output().unwrap()
    }

    fn git_in(&self, folder: &str, args: &[&str]) -> String {
        let output = self.command(&self.path(folder), args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?} failed: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// git, free of the machine's and the user's settings.
    fn command(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(folder).args(args);
        command.env("HOME", self.folder.path()).env("LC_ALL", "C");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@b");
            command.env(format!("GIT_{role}_DATE"), "1700000000 +0000");
        }
        for inherited in ["GIT_DIR", "GIT_WORK_TREE", "GIT_PROTOCOL", "GIT_TRACE_PACKET"] {
            command.env_remove(inherited);
        }
        command
    }
}

impl Listed {
    pub(super) fn entry(&self) -> AdvertisedRef<'_> {
        AdvertisedRef { name: &self.name, id: self.id, peeled: self.peeled, symref_target: None }
    }
}

/// The packets of stock git's `bytes` with our agent's name in place of its own.
pub(super) fn with_our_agent(bytes: &[u8]) -> Vec<Packet> {
    let rename = |packet: Packet| {
        let line = line_of(&packet);
        let Some(at) = line.find("agent=git/") else { return packet };
        Packet::Data(Bytes::from(format!("{}agent={AGENT}\n", &line[..at])))
    };
    decode(bytes).into_iter().map(rename).collect()
}

/// `lines` as packets on the wire.
pub(super) fn request(lines: &[&str]) -> Vec<u8> {
    use crate::pktline::{data, delim, flush};
    let mut out = BytesMut::new();
    for line in lines {
        match *line {
            "0000" => flush(&mut out),
            "0001" => delim(&mut out),
            text => data(&mut out, format!("{text}\n").as_bytes()).unwrap(),
        }
    }
    out.to_vec()
}
