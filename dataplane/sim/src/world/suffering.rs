//! Faults begin and end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use gitstratum_process::{pause, resume};

use super::{FAULTS_LAST, FAULTS_LONGEST, LATENCY_MAX, World};
use crate::disk::End;
use crate::events;
use crate::faults::{Fault, Plan, Planned};
use crate::late;
use crate::run::ACKED_MIN;

/// How long a sync takes on a disk that is well.
const SYNC: Duration = Duration::from_micros(200);
/// Microseconds in a second, where clocks are right.
const RATE: u32 = 1_000_000;

impl World {
    /// Has what is in `plan` happen, as long as it takes until enough pushes were taken, and
    /// ends it.
    pub(super) fn suffer(&mut self, plan: &Plan, begun: Duration) -> Result<()> {
        let mut planned = plan.0.iter().peekable();
        while !self.is_enough(self.sim.elapsed() - begun) {
            let now = self.sim.elapsed();
            while let Some(next) = planned.next_if(|next| begun + next.at <= now) {
                self.begin(next, now);
            }
            self.end_those_over(now);
            self.wipe(now);
            self.step()?;
        }
        self.end_those_over(Duration::MAX);
        self.places.iter().for_each(|place| place.node.disk.heal());
        late::calm();
        Ok(())
    }

    fn is_enough(&self, suffered: Duration) -> bool {
        let has_acked = self.history.lock().acked >= ACKED_MIN;
        suffered >= FAULTS_LONGEST || (has_acked && suffered >= FAULTS_LAST)
    }

    fn begin(&mut self, planned: &Planned, now: Duration) {
        events::story(|| planned.to_string());
        let until = now + planned.lasts;
        let Some(fault) = planned.fault.among(self.places.len()) else { return };
        if let Fault::Wipe(node) = fault {
            return self.want_wipe(node, planned.lasts, now);
        }
        if matches!(fault, Fault::Kill(node) if self.places[node].starts_at.is_some()) {
            // There is nothing to kill.
            return;
        }
        *self.happened.entry(planned.fault.kind()).or_default() += 1;
        let name = |index: usize| self.places[index].name.clone();
        match fault {
            Fault::Kill(node) => return self.stop(node, End::Kill, until),
            Fault::PowerCut(node) => return self.stop(node, End::PowerCut, until),
            Fault::PowerCutAll => {
                return (0..self.places.len())
                    .for_each(|node| self.stop(node, End::PowerCut, until));
            }
            Fault::Damage(node, count) => return self.damage(node, count, until),
            Fault::Wipe(_) => return,
            Fault::Pause(node) => {
                let runtime = *self.places[node].node.runtime.lock();
                runtime.into_iter().for_each(pause);
            }
            // What is under way says how links are.
            Fault::Cut(..) | Fault::CutOneWay(..) | Fault::Hold(..) | Fault::Isolate(_) => {}
            Fault::Swizzle(ref nodes) => return self.swizzle(nodes.clone(), now, planned.lasts),
            Fault::SlowDisk(node, millis) => {
                self.places[node].node.disk.set_sync(Duration::from_millis(millis));
            }
            Fault::FailSync(node, store) => {
                return self.places[node].node.disk.fail_sync(store);
            }
            Fault::SlowLink(one, other, millis) => {
                self.sim.set_link_latency(name(one), name(other), Duration::from_millis(millis));
            }
            Fault::ClockJump(node, millis) => self.places[node].node.clock.set_wrong(millis),
            Fault::Drift(node, rate) => self.places[node].node.clock.set_rate(now, rate),
            Fault::ControlAway => self.cluster.is_control_away.store(true, Ordering::Relaxed),
            Fault::Night(hours) => {
                let span = Duration::from_secs(hours * 3_600);
                return self.places.iter().for_each(|place| place.node.clock.skip(span));
            }
        }
        self.under_way.push((until, fault));
        self.relink();
    }

    /// Nodes are isolated one after the other; the first to go comes back first.
    fn swizzle(&mut self, nodes: Vec<usize>, now: Duration, lasts: Duration) {
        for (number, node) in (1_u32..).zip(nodes) {
            self.under_way.push((now + lasts * number / 2, Fault::Isolate(node)));
        }
        self.relink();
    }

    /// Bits of segments rot while their node is down. No segment loses more than one copy.
    fn damage(&mut self, node: usize, count: usize, until: Duration) {
        self.stop(node, End::Kill, until);
        let (id, disk) = (self.places[node].node.id, Arc::clone(&self.places[node].node.disk));
        self.history.lock().suspects.insert(id);
        for _ in 0..count {
            let at = self.draw.index(1 << 20);
            let Some(segment) = self.watch.take_to_damage(at, id) else { return };
            let how = disk.damage(segment, self.draw.index(1 << 20));
            events::story(|| format!("of segment {segment}: {how:?}"));
        }
    }

    fn end_those_over(&mut self, now: Duration) {
        let (over, going_on): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.under_way).into_iter().partition(|(until, _)| *until <= now);
        self.under_way = going_on;
        for (_, fault) in &over {
            events::story(|| format!("{fault:?} is over"));
            self.end_one(fault);
        }
        if !over.is_empty() {
            self.relink();
        }
    }

    fn end_one(&mut self, fault: &Fault) {
        let now = self.sim.elapsed();
        let name = |index: usize| self.places[index].name.clone();
        // Another of its kind goes on: it ends what both began.
        if self.under_way.iter().any(|(_, other)| other.has_place_of(fault)) {
            return;
        }
        match *fault {
            Fault::Pause(node) => {
                let runtime = *self.places[node].node.runtime.lock();
                runtime.into_iter().for_each(resume);
            }
            Fault::SlowDisk(node, _) => self.places[node].node.disk.set_sync(SYNC),
            Fault::SlowLink(one, other, _) => {
                // turmoil has no way to give a link its range of latencies back.
                self.sim.set_link_latency(name(one), name(other), LATENCY_MAX / 2);
            }
            Fault::ClockJump(node, _) => self.places[node].node.clock.set_wrong(0),
            Fault::Drift(node, _) => self.places[node].node.clock.set_rate(now, RATE),
            Fault::ControlAway => self.cluster.is_control_away.store(false, Ordering::Relaxed),
            Fault::Cut(..)
            | Fault::CutOneWay(..)
            | Fault::Hold(..)
            | Fault::Isolate(_)
            | Fault::Kill(_)
            | Fault::PowerCut(_)
            | Fault::PowerCutAll
            | Fault::Damage(..)
            | Fault::Wipe(_)
            | Fault::FailSync(..)
            | Fault::Swizzle(_)
            | Fault::Night(_) => {}
        }
    }
}
