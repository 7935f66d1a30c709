//! What a disk knows of starts: of this node's replicas, and of those of peers (S23).

use std::sync::Arc;

use bytes::Bytes;
use gitstratum_core::{Clock, NodeId};
use gitstratum_store::{Batch, Committer, Durability, Engine};

use crate::admission::{Own, Start};
use crate::error::Error;
use crate::id::GroupId;
use crate::meta::{self, LOG, META, Record, STATE};
use crate::{seal, wire};
use wire::{Answer, Ask};

/// Set in the ids of all replicas of a node but its first, which has the node's own: no node
/// has such an id, for it would be of the 32,768th generation (S47).
const LATER_REPLICA: u64 = 1 << 63;

/// What the disk says of a replica.
pub(super) struct Disk {
    pub(super) replica: u64,
    pub(super) own: Own,
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

impl Starts {
    /// Answers a peer from the disk, whatever state the group is in here.
    pub(crate) async fn answer(
        &self,
        group: GroupId,
        sender: NodeId,
        ask: &Ask,
    ) -> Result<Option<Answer>, Error> {
        match ask {
            Ask::Known(ask) => {
                let (seen, disk) = (self.seen(group, sender).await?, self.disk(group).await?.own);
                if seen.is_none() && !vouches(disk, *ask) {
                    return Ok(Some(Answer::Refused("it does not know".to_owned())));
                }
                let (seen, holds) = (seen.unwrap_or_default(), disk.holds);
                let answer = wire::KnownAnswer { life: seen.life, number: seen.number, holds };
                Ok(Some(Answer::Known(answer)))
            }
            Ask::Show(ask) => {
                let start = Start { life: ask.life, number: ask.number };
                if let Some(later) = self.seen(group, sender).await?.filter(|seen| *seen > start) {
                    let later = wire::LaterAnswer { life: later.life, number: later.number };
                    return Ok(Some(Answer::Later(later)));
                }
                self.note_all(group, &[(sender, start)]).await?;
                let own = self.disk(group).await?.own.start;
                let answer = wire::ShownAnswer { life: own.life, number: own.number };
                Ok(Some(Answer::Shown(answer)))
            }
            // Late, from before it was destroyed: the one of the later life stays.
            Ask::Join(ask) if ask.life > 0 => {
                let seen = self.seen(group, sender).await?.unwrap_or_default();
                let refused = || Answer::Refused("a later life was shown".to_owned());
                Ok((ask.life < seen.life).then(refused))
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn disk(&self, group: GroupId) -> Result<Disk, Error> {
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
                Some(stored) => {
                    let start = Start { life: stored.life, number: stored.number };
                    Disk { replica: stored.id, own: Own { start, holds } }
                }
                None => Disk { replica: node.0, own: Own { holds, ..Own::default() } },
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
        let reading = gitstratum_process::blocking(move || read(&*engine));
        let panicked = |panic| Error::Task { group: GroupId(0), what: format!("starts: {panic}") };
        reading.await.map_err(panicked)?
    }

    /// Notes starts of peers, unless later ones are noted. None of a peer that has had no
    /// start yet.
    pub(super) async fn note_all(
        &self,
        group: GroupId,
        starts: &[(NodeId, Start)],
    ) -> Result<(), Error> {
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

    pub(super) async fn raise(&self, group: GroupId, id: u64, start: Start) -> Result<(), Error> {
        let mut batch = Batch::new();
        put_replica(group, id, start, &mut batch);
        self.write(group, batch).await
    }

    /// Removes all that the replica had, what it knew of others' starts too, and begins a new
    /// life of it; returns its id.
    pub(super) async fn destroy(&self, group: GroupId, life: u64) -> Result<u64, Error> {
        let id = self.later_id(group, life);
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

    /// A new life of a replica that has nothing; returns its id.
    pub(super) async fn renew(&self, group: GroupId, life: u64) -> Result<u64, Error> {
        let id = self.later_id(group, life);
        self.raise(group, id, Start { life, number: 0 }).await?;
        Ok(id)
    }

    fn later_id(&self, group: GroupId, life: u64) -> u64 {
        let mut hash = blake3::Hasher::new();
        for part in [group.0, self.node.0, life, self.clock.wall().0] {
            hash.update(&part.to_be_bytes());
        }
        let first: [u8; 8] = hash.finalize().as_bytes()[..8].try_into().expect("because it has 32");
        u64::from_be_bytes(first) | LATER_REPLICA
    }

    async fn write(&self, group: GroupId, batch: Batch) -> Result<(), Error> {
        let written = self.committer.commit(batch, Durability::Synced).await;
        written.map_err(|source| Error::Commit { group, source })
    }
}

/// Whether one that was shown no start says by that that there was none. What was shown before the
/// replica's life began was lost with the disk. Where voters have changed, one that has nothing
/// may have come later than the start that is asked for.
const fn vouches(own: Own, ask: wire::KnownAsk) -> bool {
    own.start.life == 0 && (own.holds || !ask.is_later)
}

fn put_replica(group: GroupId, id: u64, start: Start, batch: &mut Batch) {
    let key = Record::Replica.key(group);
    let stored = wire::Replica { id, life: start.life, number: start.number };
    batch.put(META, key.clone(), seal::seal(&key, &stored));
}
