//! After the last fault: within a stated time every push succeeds, every frontend shows and
//! gives the same, replicas are equal and every segment has all its copies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use gitstratum_core::{NodeId, ObjectId, PartitionId};
use gitstratum_proto::metadata::v1::PartitionStatus;
use gitstratum_proto::object::v1::RunKind;
use parking_lot::Mutex;

use super::{LIVENESS, Place, World};
use crate::checks::{self, Broken, Cloned, GIVEN};
use crate::events;
use crate::git::{Fetched, Refs};
use crate::workload::{ATOMIC, BRANCH, Part, RUN_WITHIN, SINGLE, Worker};

/// Within this after the last fault pushes succeed again, through every frontend.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// And every segment has all its copies (P-A7).
const COPIED_WITHIN: Duration = Duration::from_secs(60);
/// Pushes in a row that show it.
const PUSHES: u64 = 5;
/// Pause before what failed is tried again, or looked at again.
const RETRY_AFTER: Duration = Duration::from_millis(300);
const LOOK_AFTER: Duration = Duration::from_millis(500);
/// Within this the last runs are made, and within that all is gone that they replaced.
const RUNS_WITHIN: Duration = Duration::from_secs(60);
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(60);
/// Copies of a segment.
const COPIES: usize = 3;

impl World {
    /// All that has to hold at the end.
    pub(super) fn end(&mut self) -> Result<()> {
        let before = {
            let mut history = self.history.lock();
            history.acked_through.clear();
            history.acked
        };
        let nodes = Arc::clone(&self.nodes);
        let last = self.worker("last", Part::Chain, 3);
        let back = self.until(BACK_WITHIN, "pushes after the last fault", last, |history| {
            let through = |node| history.acked_through.get(node).is_some_and(|acked| *acked > 0);
            history.acked >= before + PUSHES && nodes.lock().iter().all(through)
        });
        // What clients saw says more than that something takes too long.
        self.judge_history()?;
        back?;
        let tip = self.read_everywhere("reader")?;
        self.until_none(COPIED_WITHIN, |world| world.differing().and_then(|()| world.lacking()))?;
        checks::chain(&self.history.lock(), tip)?;
        self.judge_history()?;
        self.give_back()?;
        let after = self.read_everywhere("last-reader")?;
        let words = || format!("{tip:?} before the last runs, {after:?} after them");
        ensure!(after == tip, Broken::new("runs-move-no-ref", words()));
        Ok(())
    }

    /// What no ref reaches goes, packs become one, and the disk space of what is replaced comes
    /// back (P-I4, GS-OB-09).
    fn give_back(&mut self) -> Result<()> {
        let runner = self.runner(8)?;
        let done = Arc::new(AtomicBool::new(false));
        let tells = Arc::clone(&done);
        self.sim.client("last-runner", async move {
            for kind in [RunKind::Drop, RunKind::Compaction] {
                while runner.ask(kind, RUN_WITHIN).await.is_err() {
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
            tells.store(true, Ordering::SeqCst);
            Ok(())
        });
        let is_done = || done.load(Ordering::SeqCst);
        let late = format!("a drop run and a compaction: not within {RUNS_WITHIN:?}");
        self.until_none(RUNS_WITHIN, |_| match is_done() {
            true => Ok(()),
            false => Err(Broken::new(LIVENESS, late.clone())),
        })?;
        self.until_none(GIVEN_BACK_WITHIN, Self::surplus)
    }

    /// Goes on until what `broken` looks for is mended.
    fn until_none(
        &mut self,
        within: Duration,
        broken: impl Fn(&Self) -> Result<(), Broken>,
    ) -> Result<()> {
        let until = self.sim.elapsed() + within;
        let mut next = self.sim.elapsed();
        loop {
            self.step()?;
            if self.sim.elapsed() < next {
                continue;
            }
            next += LOOK_AFTER;
            let Err(broken) = broken(self) else { return Ok(()) };
            ensure!(self.sim.elapsed() < until, broken);
        }
    }

    pub(super) fn place(&self, id: NodeId) -> Option<&Place> {
        self.places.iter().find(|place| place.node.id == id)
    }

    /// The rows of each partition, as its leader has them.
    pub(super) fn leader_rows(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        let of = |(number, status): (u32, PartitionStatus)| {
            let leader = self.place(NodeId(status.leader))?;
            checks::groups(leader.node.disk.state()).remove(&PartitionId(number))
        };
        self.cluster.statuses().into_iter().filter_map(of).flatten()
    }

    /// Whether a node still has what nobody lists.
    fn surplus(&self) -> Result<(), Broken> {
        let there = self.nodes.lock().clone();
        let rows: Vec<_> = self.leader_rows().collect();
        for place in self.places.iter().filter(|place| there.contains(&place.node.id)) {
            let surplus = checks::surplus(&rows, place.node.disk.segments());
            if let Some(segment) = surplus.first() {
                let (node, count) = (place.node.id, surplus.len());
                let what = format!("{node} has {count} segments of nobody, among them {segment}");
                return Err(Broken::new("disk-space-comes-back", what));
            }
        }
        Ok(())
    }

    fn judge_history(&self) -> Result<()> {
        let history = self.history.lock();
        // Of those that come back so many are late that to find an order takes too much memory.
        for prefix in [SINGLE, ATOMIC] {
            let judged = checks::refs(&history.operations, prefix);
            judged
                .ok_or_else(|| anyhow::anyhow!("the history of {prefix} is too hard to judge"))??;
        }
        Ok(())
    }

    /// The tip of the branch; all frontends show the same refs, and give all that they reach. Only
    /// where a push that came late changed them meanwhile may they differ, and are read again.
    fn read_everywhere(&mut self, reader: &str) -> Result<Option<ObjectId>> {
        let (mut round, until) = (0, self.sim.elapsed() + BACK_WITHIN);
        loop {
            let before = self.repositories();
            let found = self.read_each(&format!("{reader}-{round}"))?;
            let mut shown = found.values();
            let first = shown.next().cloned().unwrap_or_default();
            if shown.all(|refs| *refs == first) {
                return Ok(first.get(BRANCH).copied());
            }
            let has_changed = before != self.repositories() && self.sim.elapsed() < until;
            let words = || format!("frontends show different refs: {found:?}");
            ensure!(has_changed, Broken::new("frontends-show-the-same", words()));
            round += 1;
        }
    }

    /// The records of all repositories, which every change of a ref changes.
    fn repositories(&self) -> BTreeMap<Bytes, Bytes> {
        self.leader_rows().filter(|(key, _)| key.first() == Some(&b'R')).collect()
    }

    /// The refs as each frontend shows them.
    fn read_each(&mut self, reader: &str) -> Result<BTreeMap<NodeId, Refs>> {
        let found = Arc::new(Mutex::new(BTreeMap::<NodeId, Refs>::new()));
        let refused = Arc::new(Mutex::new(None));
        let nodes = self.nodes.lock().clone();
        for (number, node) in (100..).zip(nodes.clone()) {
            let name = format!("{reader}-{node}");
            let (reader, found) = (self.worker(&name, Part::Clone, number), Arc::clone(&found));
            let refused = Arc::clone(&refused);
            self.sim.client(name, async move {
                let refs = reader.all_of(node, &refused).await;
                found.lock().insert(node, refs);
                Ok(())
            });
        }
        let until = self.sim.elapsed() + BACK_WITHIN;
        loop {
            self.step()?;
            let seen: Vec<NodeId> = found.lock().keys().copied().collect();
            // One that is removed meanwhile need not give anything any more.
            let there = self.nodes.lock().clone();
            if nodes.iter().all(|node| seen.contains(node) || !there.contains(node)) {
                break;
            }
            if self.sim.elapsed() < until {
                continue;
            }
            let refused = refused.lock().clone();
            let invariant = if refused.is_some() { GIVEN } else { LIVENESS };
            let what = format!("only {seen:?} give all that they show, of {nodes:?}: {refused:?}");
            return Err(Broken::new(invariant, what).into());
        }
        let found = found.lock().clone();
        Ok(found)
    }

    /// Whether voters of a partition differ in their state (S14).
    fn differing(&self) -> Result<(), Broken> {
        let replicas = self.places.iter().map(|place| (place.node.id, place.node.disk.state()));
        let digests = checks::digests(replicas);
        for (number, status) in self.cluster.statuses() {
            let held = digests.get(&PartitionId(number)).cloned().unwrap_or_default();
            let of = |voter: &u64| held.get(&NodeId(*voter)).cloned();
            let hashes: Vec<_> = status.voters.iter().map(of).collect();
            if hashes.iter().any(|hash| hash.is_none() || *hash != hashes[0]) {
                let what = format!("partition {number}, voters {:?}: {hashes:02x?}", status.voters);
                return Err(Broken::new("replicas-are-equal", what));
            }
        }
        Ok(())
    }

    /// Whether a listed segment has too few copies.
    fn lacking(&self) -> Result<(), Broken> {
        let durable = |id, segment| Some(self.place(id)?.node.disk.durable(segment)?.len() as u64);
        let rows: Vec<_> = self.leader_rows().collect();
        let lacking = checks::lacking(&rows, COPIES, durable);
        let Some((segment, what)) = lacking.first_key_value() else { return Ok(()) };
        let what = format!("{} segments, among them {segment}: {what}", lacking.len());
        Err(Broken::new("every-segment-has-all-its-copies", what))
    }
}

impl Worker {
    /// The refs as `node` shows them, once it also gives all that they reach.
    async fn all_of(&self, node: NodeId, refused: &Mutex<Option<String>>) -> Refs {
        loop {
            if let Some(refs) = self.read(node).await {
                let tips: Vec<ObjectId> = refs.values().copied().collect();
                if tips.is_empty() || self.gives(node, &tips, refused).await {
                    return refs;
                }
            }
            // A connection that a fault has cut may be noticed only now.
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    async fn gives(
        &self,
        node: NodeId,
        tips: &[ObjectId],
        refused: &Mutex<Option<String>>,
    ) -> bool {
        match self.fetch(node, tips).await {
            Some(Fetched::Pack(pack)) => {
                let checked = Cloned::read(&pack).and_then(|all| all.check(tips.iter().copied()));
                events::story(|| format!("all of {node}: {checked:?}"));
                let is_whole = checked.is_ok();
                self.note(checked);
                is_whole
            }
            Some(Fetched::Refused(why)) => {
                events::story(|| format!("{node} does not give what it shows: {why}"));
                *refused.lock() = Some(format!("{node}: {why}"));
                false
            }
            None => false,
        }
    }
}
