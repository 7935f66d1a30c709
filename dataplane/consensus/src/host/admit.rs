use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use gitstratum_core::{Clock, NodeId};
use gitstratum_store::{Batch, Committer, Durability, Engine};
use openraft::async_runtime::watch::WatchReceiver as _;

use super::Host;
use crate::admission::{Start, Verdict, Word, answers_needed, judge};
use crate::error::Error;
use crate::group::Driver;
use crate::id::GroupId;
use crate::machine::StateMachine;
use crate::meta::{self, LOG, META, Record, STATE};
use crate::peer::Peers;
use crate::{seal, wire};
use wire::{Answer, Ask};

/// Longest wait for what a peer knows, and until it has noted a start.
const ASK_WITHIN: Duration = Duration::from_secs(1);
/// Pause before peers that have not noted a start are shown it again, and before a leader
/// is asked again to take a new replica in.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Set in the ids of all replicas of a node but its first, which has the node's own: no node
/// has such an id, for it would be of the 32,768th generation (S47).
const LATER_REPLICA: u64 = 1 << 63;

/// A replica that may take part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admitted {
    /// Its id in the group.
    pub(crate) replica: u64,
    /// Whether nobody who answered has anything of the group: it may be begun.
    pub(crate) is_new: bool,
    /// Whether it took the place of one that was destroyed, and has to be taken in.
    pub(crate) joins: bool,
}

/// What the disk says of a replica.
struct Disk {
    replica: u64,
    start: Start,
    holds: bool,
}

/// Reads and writes what this node's disk knows of starts, its own and those of peers.
#[derive(Clone)]
pub(crate) struct Starts {
    pub(crate) node: NodeId,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Held while starts are compared and noted.
    pub(crate) noting: Arc<tokio::sync::Mutex<()>>,
}

impl Host {
    /// Decides whether this node's replica of `group` may take part, and makes what it
    /// needs durable here and known to a majority (S23).
    ///
    /// # Errors
    /// [`Error::NotAdmitted`] while too few peers answer: to be tried again.
    pub(super) async fn admit(
        &self,
        group: GroupId,
        voters: &BTreeSet<NodeId>,
    ) -> Result<Admitted, Error> {
        let disk = self.starts.disk(group).await?;
        let others: Vec<NodeId> =
            voters.iter().copied().filter(|node| *node != self.node).collect();
        if others.is_empty() {
            let joins = disk.start.life > 0;
            return Ok(Admitted { replica: disk.replica, is_new: !disk.holds && !joins, joins });
        }
        let peers = self.peers(group, disk.replica);
        let words = ask_all(&peers, &others).await;
        let (start, replica) = match judge(disk.start, &words, voters.len()) {
            Verdict::Wait => return Err(not_admitted(group, words.len(), voters.len())),
            Verdict::Admit(start) => (start, disk.replica),
            Verdict::Destroy { life } => {
                let replica = self.starts.destroy(group, life).await?;
                tracing::error!(%group, life, "a peer knows a later start: replica destroyed");
                (Start { life, number: 1 }, replica)
            }
        };
        self.starts.raise(group, replica, start).await?;
        let shown = show_all(&peers, &others, start).await;
        self.starts.note_all(group, &shown).await?;
        if shown.len() < answers_needed(voters.len()) {
            return Err(not_admitted(group, shown.len(), voters.len()));
        }
        let joins = start.life > 0;
        let is_new = !joins && !disk.holds && !words.iter().any(|word| word.holds);
        let is_missed = |node: &NodeId| !shown.iter().any(|(noted, _)| noted == node);
        let missed: Vec<NodeId> = others.into_iter().filter(is_missed).collect();
        if !missed.is_empty() {
            let showing = show_until_noted(self.starts.clone(), peers, missed, start);
            gitstratum_process::spawn("replica start", showing).detach();
        }
        Ok(Admitted { replica, is_new, joins })
    }
}

impl Host {
    /// Those of `voters` beside this one that do not say, from their disks, that they have
    /// nothing of `group`: a group is begun anew only where there is none of these (S45).
    pub async fn not_known_empty(
        &self,
        group: GroupId,
        voters: &BTreeSet<NodeId>,
    ) -> BTreeSet<NodeId> {
        let others = voters.iter().copied().filter(|node| *node != self.node);
        let peers = self.peers(group, self.node.0);
        let ask = |node: NodeId| {
            let peers = peers.clone();
            async move {
                let ask = Ask::Known(wire::KnownAsk {});
                let answer = peers.ask(node, ask, ASK_WITHIN).await;
                let is_empty = matches!(answer, Ok(Answer::Known(known)) if !known.holds);
                (!is_empty).then_some(node)
            }
        };
        join_all(others.map(ask)).await.into_iter().flatten().collect()
    }
}

impl Starts {
    /// Answers a peer from the disk, whatever state the group is in here.
    pub(crate) async fn answer(
        &self,
        group: GroupId,
        sender: NodeId,
        ask: &Ask,
    ) -> Result<Option<Answer>, Error> {
        match ask {
            Ask::Known(wire::KnownAsk {}) => {
                let (seen, disk) = (self.seen(group, sender).await?, self.disk(group).await?);
                if disk.start.life > 0 && seen.is_none() {
                    // What was shown here before was lost with the disk.
                    return Ok(Some(Answer::Refused("it does not know any more".to_owned())));
                }
                let (seen, holds) = (seen.unwrap_or_default(), disk.holds);
                let answer = wire::KnownAnswer { life: seen.life, number: seen.number, holds };
                Ok(Some(Answer::Known(answer)))
            }
            Ask::Show(ask) => {
                let start = Start { life: ask.life, number: ask.number };
                if Some(start) < self.seen(group, sender).await? {
                    return Ok(Some(Answer::Refused("a later start was shown".to_owned())));
                }
                self.note_all(group, &[(sender, start)]).await?;
                let own = self.disk(group).await?.start;
                let answer = wire::ShownAnswer { life: own.life, number: own.number };
                Ok(Some(Answer::Shown(answer)))
            }
            _ => Ok(None),
        }
    }

    async fn disk(&self, group: GroupId) -> Result<Disk, Error> {
        let node = self.node;
        self.read(move |engine| {
            let get = |key: Bytes| {
                engine.get(META, &key).map_err(|source| Error::Engine { group, source })
            };
            let stored = get(Record::Replica.key(group))?;
            let stored = stored.map(|sealed| Record::Replica.open::<wire::Replica>(group, &sealed));
            let stored = stored.transpose()?;
            let has_vote = get(Record::Vote.key(group))?.is_some();
            let holds = has_vote || get(Record::Position.key(group))?.is_some();
            Ok(match stored {
                Some(stored) => Disk {
                    replica: stored.id,
                    start: Start { life: stored.life, number: stored.number },
                    holds,
                },
                None => Disk { replica: node.0, start: Start::default(), holds },
            })
        })
        .await
    }

    /// The last start of `node` that is noted here.
    async fn seen(&self, group: GroupId, node: NodeId) -> Result<Option<Start>, Error> {
        self.read(move |engine| {
            let key = meta::seen_key(group, node);
            let sealed =
                engine.get(META, &key).map_err(|source| Error::Engine { group, source })?;
            let Some(sealed) = sealed else { return Ok(None) };
            let seen: wire::Seen = seal::open(&key, &sealed).map_err(|broken| Error::Record {
                group,
                record: "note of a peer's start",
                what: broken.to_string(),
            })?;
            Ok(Some(Start { life: seen.life, number: seen.number }))
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Engine) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let engine = Arc::clone(&self.engine);
        let reading = tokio::task::spawn_blocking(move || read(&*engine));
        let panicked = |panic| Error::Task { group: GroupId(0), what: format!("starts: {panic}") };
        reading.await.map_err(panicked)?
    }

    /// Notes starts of peers, unless later ones are noted. None of a peer that has had no
    /// start yet.
    async fn note_all(&self, group: GroupId, starts: &[(NodeId, Start)]) -> Result<(), Error> {
        let _only = self.noting.lock().await;
        let mut batch = Batch::new();
        for (node, start) in starts {
            if Some(*start) <= self.seen(group, *node).await?.or(Some(Start::default())) {
                continue;
            }
            let key = meta::seen_key(group, *node);
            let seen = wire::Seen { life: start.life, number: start.number };
            batch.put(META, key.clone(), seal::seal(&key, &seen));
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.write(group, batch).await
    }

    async fn raise(&self, group: GroupId, id: u64, start: Start) -> Result<(), Error> {
        let mut batch = Batch::new();
        put_replica(group, id, start, &mut batch);
        self.write(group, batch).await
    }

    /// Removes all that the replica had, what it knew of others' starts too, and begins a new
    /// life of it; returns its id.
    async fn destroy(&self, group: GroupId, life: u64) -> Result<u64, Error> {
        let mut hash = blake3::Hasher::new();
        for part in [group.0, self.node.0, life, self.clock.wall().0] {
            hash.update(&part.to_be_bytes());
        }
        let first: [u8; 8] = hash.finalize().as_bytes()[..8].try_into().expect("because it has 32");
        let id = u64::from_be_bytes(first) | LATER_REPLICA;
        let mut batch = Batch::new();
        batch.delete_range(LOG, meta::entries_from(group, 0));
        batch.delete_range(STATE, meta::generations_from(group, 0));
        batch.delete_range(META, meta::seen_keys(group));
        for record in [Record::Vote, Record::Purged, Record::Committed, Record::Position] {
            batch.delete(META, record.key(group));
        }
        put_replica(group, id, Start { life, number: 0 }, &mut batch);
        self.write(group, batch).await?;
        Ok(id)
    }

    async fn write(&self, group: GroupId, batch: Batch) -> Result<(), Error> {
        let written = self.committer.commit(batch, Durability::Synced).await;
        written.map_err(|source| Error::Commit { group, source })
    }
}

fn put_replica(group: GroupId, id: u64, start: Start, batch: &mut Batch) {
    let key = Record::Replica.key(group);
    let stored = wire::Replica { id, life: start.life, number: start.number };
    batch.put(META, key.clone(), seal::seal(&key, &stored));
}

fn not_admitted(group: GroupId, answers: usize, voters: usize) -> Error {
    Error::NotAdmitted { group, answers, needed: answers_needed(voters) }
}

/// What those of `others` say that answer in time.
async fn ask_all(peers: &Peers, others: &[NodeId]) -> Vec<Word> {
    let ask = |node: &NodeId| peers.ask(*node, Ask::Known(wire::KnownAsk {}), ASK_WITHIN);
    let answers = join_all(others.iter().map(ask)).await;
    let word = |answer| match answer {
        Ok(Answer::Known(known)) => Some(Word {
            seen: Start { life: known.life, number: known.number },
            holds: known.holds,
        }),
        _ => None,
    };
    answers.into_iter().filter_map(word).collect()
}

/// Shows a start; returns who has noted it, with the last start of each of them.
async fn show_all(peers: &Peers, others: &[NodeId], start: Start) -> Vec<(NodeId, Start)> {
    let show = wire::ShowAsk { life: start.life, number: start.number };
    let ask = |node: &NodeId| peers.ask(*node, Ask::Show(show), ASK_WITHIN);
    let answers = join_all(others.iter().map(ask)).await;
    let noted = |(node, answer): (&NodeId, _)| match answer {
        Ok(Answer::Shown(own)) => Some((*node, Start { life: own.life, number: own.number })),
        _ => None,
    };
    others.iter().zip(answers).filter_map(noted).collect()
}

/// A majority is enough to begin; the more know, the sooner a rollback is found out. Ends
/// with the process's runtime, or when all have noted it.
async fn show_until_noted(starts: Starts, peers: Peers, mut missed: Vec<NodeId>, start: Start) {
    /// After so many tries a peer will see the next start.
    const TRIES_MAX: u32 = 7_200;
    for _ in 0..TRIES_MAX {
        tokio::time::sleep(AGAIN_AFTER).await;
        let noted = show_all(&peers, &missed, start).await;
        if let Err(error) = starts.note_all(peers.group, &noted).await {
            tracing::warn!(%error, group = %peers.group, "starts of peers are not noted");
            continue;
        }
        missed.retain(|node| !noted.iter().any(|(noted, _)| noted == node));
        if missed.is_empty() {
            return;
        }
    }
}

/// Asks the others to take this new replica in, until it has a vote.
pub(super) async fn join<M: StateMachine>(driver: Driver<M>, peers: Peers, others: Vec<NodeId>) {
    let mut has_asked = false;
    loop {
        let is_voter = {
            let metrics = driver.metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.voter_ids().any(|id| id == peers.replica)
        };
        if is_voter {
            if has_asked {
                tracing::info!(group = %peers.group, "the new replica has a vote");
            }
            return;
        }
        has_asked = true;
        for node in &others {
            let ask = Ask::Join(wire::JoinAsk { replica: peers.replica });
            if let Err(error) = peers.ask(*node, ask, ASK_WITHIN).await {
                tracing::debug!(%error, group = %peers.group, %node, "not taken in there");
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}
