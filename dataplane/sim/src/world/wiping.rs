//! A node comes back with an empty disk, and is a member again (S4, S21, S23). One of a run
//! does: a majority of what was decided, and a copy of each segment, must be on the others.

use std::time::Duration;

use gitstratum_core::{NodeId, SegmentId};

use super::World;
use crate::checks;
use crate::complaints;
use crate::disk::End;
use crate::events;

/// How often it is looked whether the others have all.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The disk that is lost in a run.
#[derive(Debug, Default)]
pub(super) struct Wiping {
    /// Of which node, for how long it is down, and when it is looked at next.
    wanted: Option<(usize, Duration, Duration)>,
    is_done: bool,
}

impl World {
    /// Has the disk of `node` be lost as soon as the others have all of it.
    pub(super) fn want_wipe(&mut self, node: usize, lasts: Duration, now: Duration) {
        self.wiping.wanted.get_or_insert((node, lasts, now));
    }

    /// Loses the disk that is to be lost, if the others have all of it.
    pub(super) fn wipe(&mut self, now: Duration) {
        let Some((node, lasts, at)) = self.wiping.wanted.filter(|_| !self.wiping.is_done) else {
            return;
        };
        if at > now {
            return;
        }
        self.wiping.wanted = Some((node, lasts, now + LOOK_EVERY));
        let (id, disk) = {
            let place = &self.places[node].node;
            (place.id, std::sync::Arc::clone(&place.disk))
        };
        if !self.nodes.lock().contains(&id) || !self.others_have_all(id) {
            return;
        }
        self.wiping.is_done = true;
        *self.happened.entry("wipe").or_default() += 1;
        self.stop(node, End::Kill, now + lasts);
        self.watch.note_wiped(id, disk.starts());
        disk.wipe();
        complaints::note_wiped();
        events::story(|| format!("the disk of {id} is lost"));
    }

    /// Whether each segment that is listed has a sound copy on another node than `node`.
    fn others_have_all(&self, node: NodeId) -> bool {
        let rows: Vec<_> = self.leader_rows().collect();
        let durable = |id, segment: SegmentId| {
            let place = self.place(id).filter(|place| place.node.id != node)?;
            Some(place.node.disk.durable(segment)?.len() as u64)
        };
        let damaged = self.watch.damaged();
        // Of one that was damaged a copy may be there that is none.
        let copies = |segment: &SegmentId| if damaged.contains(segment) { 2 } else { 1 };
        !rows.is_empty() && checks::resting(&rows, copies, durable).is_none()
    }
}
