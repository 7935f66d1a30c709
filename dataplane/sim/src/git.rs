//! A git client: reads refs, fetches, pushes one commit on top of what it read.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use gitstratum_core::{NodeId, ObjectFormat, ObjectId, ObjectKind};
use gitstratum_git::pktline::{self, Decoder, Limits, Packet};
use gitstratum_git::testing::{PackBuilder, id_of, tree};
use gitstratum_process::spawn;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use turmoil::net::TcpStream;

use crate::network::{HTTP, host};

const SHA1: ObjectFormat = ObjectFormat::Sha1;
/// Longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The refs of a repository.
pub(crate) type Refs = BTreeMap<String, ObjectId>;

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// `ok` for the ref.
    Acked,
    /// `ng`, or refused before: it must never become visible.
    Refused(String),
    /// Nobody said: it may have happened.
    Unknown(String),
}

/// What came of asking for objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// These.
    Pack(Vec<u8>),
    /// They are not given.
    Refused(String),
}

/// A ref command: name, old and new value.
pub(crate) type Command = (String, Option<ObjectId>, Option<ObjectId>);

/// A commit that was made here.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) id: ObjectId,
    pub(crate) pack: Vec<u8>,
    /// Commit, tree and blob.
    objects: [(ObjectKind, Vec<u8>); 3],
}

/// A pack without objects: for a push of what is there.
pub(crate) fn empty() -> Vec<u8> {
    PackBuilder::new(SHA1).build()
}

/// One commit with one file on top of `parent`.
pub(crate) fn commit(parent: Option<ObjectId>, text: &str) -> Commit {
    let blob = id_of(SHA1, ObjectKind::Blob, text.as_bytes());
    let tree = tree(&[("100644", b"file", blob)]);
    let root = id_of(SHA1, ObjectKind::Tree, &tree);
    let parent = parent.map(|id| format!("parent {id}\n")).unwrap_or_default();
    let who = "S <s@example.org> 1700000000 +0000";
    let content = format!("tree {root}\n{parent}author {who}\ncommitter {who}\n\n{text}\n");
    let id = id_of(SHA1, ObjectKind::Commit, content.as_bytes());
    let objects = [
        (ObjectKind::Commit, content.into_bytes()),
        (ObjectKind::Tree, tree),
        (ObjectKind::Blob, text.as_bytes().to_vec()),
    ];
    Commit { id, pack: built(&objects), objects }
}

/// One pack of all objects of `commits`.
pub(crate) fn packed(commits: &[Commit]) -> Vec<u8> {
    built(commits.iter().flat_map(|commit| &commit.objects))
}

fn built<'a>(objects: impl IntoIterator<Item = &'a (ObjectKind, Vec<u8>)>) -> Vec<u8> {
    let begun = PackBuilder::new(SHA1);
    let pack = objects.into_iter().fold(begun, |pack, (kind, body)| pack.object(*kind, body));
    pack.build()
}

/// Speaks to frontends as one user.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    authorization: String,
    repository: String,
}

impl Client {
    pub(crate) fn new(token: &str, repository: &str) -> Self {
        let authorization = format!("Basic {}", STANDARD.encode(format!("admin:{token}")));
        Self { authorization, repository: repository.to_owned() }
    }

    /// The refs as the frontend of `node` shows them.
    pub(crate) async fn refs(&self, node: NodeId) -> Result<Refs> {
        let mut body = BytesMut::new();
        pktline::data(&mut body, b"command=ls-refs\n")?;
        pktline::data(&mut body, b"object-format=sha1\n")?;
        pktline::delim(&mut body);
        pktline::data(&mut body, b"ref-prefix refs/\n")?;
        pktline::flush(&mut body);
        let answer = self.post(node, "git-upload-pack", body.freeze()).await?;
        let mut refs = Refs::new();
        for packet in packets(&answer)? {
            let Packet::Data(line) = packet else { continue };
            let line = std::str::from_utf8(&line)?.trim_end();
            let (id, name) = line.split_once(' ').with_context(|| format!("ref line {line}"))?;
            refs.insert(name.to_owned(), parsed(id)?);
        }
        Ok(refs)
    }

    /// Fetches all that `tips` reach.
    pub(crate) async fn fetch(&self, node: NodeId, tips: &[ObjectId]) -> Result<Fetched> {
        let mut body = BytesMut::new();
        pktline::data(&mut body, b"command=fetch\n")?;
        pktline::data(&mut body, b"object-format=sha1\n")?;
        pktline::delim(&mut body);
        pktline::data(&mut body, b"no-progress\n")?;
        for tip in tips {
            pktline::data(&mut body, format!("want {tip}\n").as_bytes())?;
        }
        pktline::data(&mut body, b"done\n")?;
        pktline::flush(&mut body);
        let answer = self.post(node, "git-upload-pack", body.freeze()).await?;
        let mut pack = Vec::new();
        let mut is_pack = false;
        for packet in packets(&answer)? {
            let Packet::Data(line) = packet else { continue };
            match line.split_first() {
                _ if line.starts_with(b"ERR ") => {
                    return Ok(Fetched::Refused(String::from_utf8_lossy(&line).into_owned()));
                }
                _ if !is_pack => is_pack = line.starts_with(b"packfile"),
                Some((1, bytes)) => pack.extend_from_slice(bytes),
                Some((3, words)) => bail!("{}", String::from_utf8_lossy(words)),
                _ => {}
            }
        }
        ensure!(is_pack, "an answer without a pack: {}", answer.escape_ascii());
        Ok(Fetched::Pack(pack))
    }

    /// Moves refs: what became of each, in the order of `commands`. `pack` goes along where
    /// something new is named.
    pub(crate) async fn push(
        &self,
        node: NodeId,
        commands: &[Command],
        pack: &[u8],
    ) -> Vec<Pushed> {
        let all = |pushed: Pushed| vec![pushed; commands.len()];
        let body = match request(commands, pack) {
            Ok(body) => body,
            Err(error) => return all(Pushed::Refused(error.to_string())),
        };
        match self.post(node, "git-receive-pack", body).await {
            Ok(answer) => report(&answer, commands)
                .unwrap_or_else(|error| all(Pushed::Unknown(format!("{error:#}")))),
            Err(error) => all(Pushed::Unknown(format!("{error:#}"))),
        }
    }

    async fn post(&self, node: NodeId, service: &str, body: Bytes) -> Result<Bytes> {
        let asked = self.post_now(node, service, body);
        tokio::time::timeout(ANSWER_WITHIN, asked).await.context("no answer in time")?
    }

    async fn post_now(&self, node: NodeId, service: &str, body: Bytes) -> Result<Bytes> {
        let stream = TcpStream::connect((host(node), HTTP)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let _connection = spawn("connection", connection);
        let request = http::Request::post(format!("/{}.git/{service}", self.repository))
            .header("host", "git.example.org")
            .header("authorization", &self.authorization)
            .header("git-protocol", "version=2")
            .header("content-type", format!("application/x-{service}-request"))
            .body(Full::new(body))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}

fn parsed(id: &str) -> Result<ObjectId> {
    ObjectId::from_hex(SHA1, id.as_bytes()).context("an id of a ref")
}

fn packets(bytes: &[u8]) -> Result<Vec<Packet>> {
    let (mut buffer, mut decoder) = (BytesMut::from(bytes), Decoder::new(Limits::default()));
    let mut packets = Vec::new();
    while let Some(packet) = decoder.decode(&mut buffer)? {
        packets.push(packet);
    }
    decoder.finish(&buffer)?;
    Ok(packets)
}

/// The body of a push: of several refs all are moved or none.
fn request(commands: &[Command], pack: &[u8]) -> Result<Bytes> {
    let mut body = BytesMut::new();
    let null = ObjectId::null(SHA1);
    let mut capabilities = match commands.len() > 1 {
        true => "\0 report-status side-band-64k atomic",
        false => "\0 report-status side-band-64k",
    };
    for (name, old, new) in commands {
        let (old, new) = (old.unwrap_or(null), new.unwrap_or(null));
        pktline::data(&mut body, format!("{old} {new} {name}{capabilities}").as_bytes())?;
        capabilities = "";
    }
    pktline::flush(&mut body);
    if commands.iter().any(|(_, _, new)| new.is_some()) {
        body.extend_from_slice(pack);
    }
    Ok(body.freeze())
}

/// What the report on band 1 says of each ref.
fn report(answer: &[u8], commands: &[Command]) -> Result<Vec<Pushed>> {
    let (mut inner, mut told) = (Vec::new(), String::new());
    for packet in packets(answer)? {
        let Packet::Data(line) = packet else { continue };
        match line.split_first() {
            Some((1, bytes)) => inner.extend_from_slice(bytes),
            Some((2 | 3, words)) => told.push_str(&String::from_utf8_lossy(words)),
            _ => {}
        }
    }
    let mut said = BTreeMap::new();
    for packet in packets(&inner)? {
        let Packet::Data(line) = packet else { continue };
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if let Some(name) = line.strip_prefix("ok ") {
            said.insert(name.to_owned(), Pushed::Acked);
        } else if let Some((name, why)) = line.strip_prefix("ng ").and_then(|l| l.split_once(' ')) {
            said.insert(name.to_owned(), Pushed::Refused(why.to_owned()));
        }
    }
    let of = |(name, ..): &Command| said.get(name).cloned();
    let each: Option<Vec<Pushed>> = commands.iter().map(of).collect();
    each.with_context(|| format!("no report: {told}"))
}
