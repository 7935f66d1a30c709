//! What goes wrong in a run, drawn from its seed before it begins.

use std::fmt;
use std::time::Duration;

use crate::world::Draw;

/// Something that goes wrong, and for how long. Nodes are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process is killed, and starts again afterwards.
    Kill(usize),
    /// A machine loses its power.
    PowerCut(usize),
    /// All of them at once.
    PowerCutAll,
    /// Two nodes do not reach each other.
    Cut(usize, usize),
    /// The second does not hear the first.
    CutOneWay(usize, usize),
    /// A node reaches no other; people reach it.
    Isolate(usize),
    /// Syncs take this many milliseconds.
    SlowDisk(usize, u64),
    /// Messages between two nodes take this many milliseconds.
    SlowLink(usize, usize, u64),
    /// The wall clock jumps by so many milliseconds, and back.
    ClockJump(usize, i64),
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What.
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} for {:.3} s", self.fault, self.lasts.as_secs_f64())
    }
}

/// All faults of a run, by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan(pub Vec<Planned>);

/// Time without any at the begin.
const CALM: Duration = Duration::from_secs(5);
/// Pause between two at most, and how long one lasts at most, in milliseconds.
const PAUSE_MAX: u64 = 4_000;
const LASTS_MAX: u64 = 6_000;

impl Plan {
    /// Faults of a run with `nodes` nodes until `ends`.
    pub(crate) fn draw(draw: &Draw, nodes: usize, ends: Duration) -> Self {
        let (mut at, mut plan) = (CALM, Vec::new());
        while at < ends {
            let lasts = Duration::from_millis(100 + draw.below(LASTS_MAX));
            plan.push(Planned { at, lasts, fault: one(draw, nodes) });
            at += Duration::from_millis(500 + draw.below(PAUSE_MAX));
        }
        Self(plan)
    }
}

fn one(draw: &Draw, nodes: usize) -> Fault {
    let node = draw.index(nodes);
    let other = (node + 1 + draw.index(nodes - 1)) % nodes;
    match draw.below(12) {
        0..=2 => Fault::Kill(node),
        3 => Fault::PowerCut(node),
        4 => Fault::PowerCutAll,
        5..=6 => Fault::Cut(node, other),
        7 => Fault::CutOneWay(node, other),
        8 => Fault::Isolate(node),
        9 => Fault::SlowDisk(node, 1 + draw.below(400)),
        10 => Fault::SlowLink(node, other, 1 + draw.below(300)),
        _ => Fault::ClockJump(node, 3_600_000 - i64::try_from(draw.below(7_200_000)).unwrap_or(0)),
    }
}
