//! What goes wrong in a run, drawn from its seed before it begins.

use std::fmt;
use std::time::Duration;

use crate::disk::{STORES, Store};
use crate::world::Draw;

/// Something that goes wrong, and for how long. Nodes are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A process is killed, and starts again afterwards.
    Kill(usize),
    /// A machine loses its power.
    PowerCut(usize),
    /// All of them at once.
    PowerCutAll,
    /// A process stands still, and finds all that was sent to it when it goes on.
    Pause(usize),
    /// Two nodes do not reach each other.
    Cut(usize, usize),
    /// The second does not hear the first.
    CutOneWay(usize, usize),
    /// What two nodes send each other waits, and arrives at the end.
    Hold(usize, usize),
    /// A node reaches no other; people reach it.
    Isolate(usize),
    /// Nodes are isolated one after the other, and come back in another order.
    Swizzle(Vec<usize>),
    /// Syncs take this many milliseconds.
    SlowDisk(usize, u64),
    /// The next sync of a store fails, once.
    FailSync(usize, Store),
    /// So many segments of a node are damaged while it is down.
    Damage(usize, usize),
    /// A node's disk is lost while it is down, once all copies and replicas are there.
    Wipe(usize),
    /// Messages between two nodes take this many milliseconds.
    SlowLink(usize, usize, u64),
    /// The wall clock jumps by so many milliseconds, and back.
    ClockJump(usize, i64),
    /// So many microseconds pass in a second.
    Drift(usize, u32),
    /// Nobody reaches the control plane, nor do its voters reach each other.
    ControlAway,
    /// So many hours pass at once, on all nodes.
    Night(u64),
}

impl Fault {
    /// What its kind is called.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::PowerCut(_) => "power-cut",
            Self::PowerCutAll => "power-cut-all",
            Self::Pause(_) => "pause",
            Self::Cut(..) => "cut",
            Self::CutOneWay(..) => "cut-one-way",
            Self::Hold(..) => "hold",
            Self::Isolate(_) => "isolate",
            Self::Swizzle(_) => "swizzle",
            Self::SlowDisk(..) => "slow-disk",
            Self::FailSync(..) => "fail-sync",
            Self::Damage(..) => "damage",
            Self::Wipe(_) => "wipe",
            Self::SlowLink(..) => "slow-link",
            Self::ClockJump(..) => "clock-jump",
            Self::Drift(..) => "drift",
            Self::ControlAway => "control-away",
            Self::Night(_) => "night",
        }
    }

    /// Whether `other` is wrong in the same place as this.
    pub(crate) fn has_place_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pause(one), Self::Pause(other))
            | (Self::SlowDisk(one, _), Self::SlowDisk(other, _))
            | (Self::ClockJump(one, _), Self::ClockJump(other, _))
            | (Self::Drift(one, _), Self::Drift(other, _)) => one == other,
            (Self::SlowLink(a, b, _), Self::SlowLink(c, d, _)) => {
                (a, b) == (c, d) || (a, b) == (d, c)
            }
            (Self::ControlAway, Self::ControlAway) => true,
            _ => false,
        }
    }

    /// The same among `count` nodes; none when it needs two and names one.
    pub(crate) fn among(&self, count: usize) -> Option<Self> {
        let of = |node: usize| node % count;
        let two = |one, other, make: fn(usize, usize) -> Self| {
            (of(one) != of(other)).then(|| make(of(one), of(other)))
        };
        Some(match *self {
            Self::Kill(node) => Self::Kill(of(node)),
            Self::PowerCut(node) => Self::PowerCut(of(node)),
            Self::Pause(node) => Self::Pause(of(node)),
            Self::Isolate(node) => Self::Isolate(of(node)),
            Self::SlowDisk(node, millis) => Self::SlowDisk(of(node), millis),
            Self::FailSync(node, store) => Self::FailSync(of(node), store),
            Self::Damage(node, segments) => Self::Damage(of(node), segments),
            Self::Wipe(node) => Self::Wipe(of(node)),
            Self::ClockJump(node, millis) => Self::ClockJump(of(node), millis),
            Self::Drift(node, rate) => Self::Drift(of(node), rate),
            Self::Swizzle(ref nodes) => Self::Swizzle(nodes.iter().copied().map(of).collect()),
            Self::Cut(one, other) => return two(one, other, Self::Cut),
            Self::CutOneWay(one, other) => return two(one, other, Self::CutOneWay),
            Self::Hold(one, other) => return two(one, other, Self::Hold),
            Self::SlowLink(one, other, millis) => {
                return (of(one) != of(other)).then(|| Self::SlowLink(of(one), of(other), millis));
            }
            Self::PowerCutAll | Self::ControlAway | Self::Night(_) => self.clone(),
        })
    }
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// When it begins.
    pub(crate) at: Duration,
    /// How long it lasts.
    pub(crate) lasts: Duration,
    /// What.
    pub(crate) fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} for {:.3} s", self.fault, self.lasts.as_secs_f64())
    }
}

/// All faults of a run, by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan(pub(crate) Vec<Planned>);

/// Time without any at the begin.
const CALM: Duration = Duration::from_secs(4);
/// Pause between two at most, and how long one lasts at most, in milliseconds.
const PAUSE_MAX: u64 = 3_500;
const LASTS_MAX: u64 = 4_500;
/// One in so many lasts long enough for sessions to end (S10).
const LONG_EVERY: u64 = 14;
const LONG: Duration = Duration::from_secs(12);

impl Plan {
    /// Faults of a run with `nodes` nodes until `ends`.
    pub(crate) fn draw(draw: &Draw, nodes: usize, ends: Duration) -> Self {
        let (mut at, mut plan) = (CALM, Vec::new());
        while at < ends {
            let mut lasts = Duration::from_millis(100 + draw.below(LASTS_MAX));
            if draw.below(LONG_EVERY) == 0 {
                lasts += LONG;
            }
            plan.push(Planned { at, lasts, fault: one(draw, nodes) });
            at += Duration::from_millis(500 + draw.below(PAUSE_MAX));
        }
        Self(plan)
    }
}

fn one(draw: &Draw, nodes: usize) -> Fault {
    let node = draw.index(nodes);
    let other = (node + 1 + draw.index(nodes - 1)) % nodes;
    match draw.below(28) {
        0..=4 => Fault::Kill(node),
        5..=6 => Fault::PowerCut(node),
        7 => Fault::PowerCutAll,
        8 => Fault::Hold(node, other),
        9..=10 => Fault::Pause(node),
        11..=12 => Fault::Cut(node, other),
        13 => Fault::CutOneWay(node, other),
        14 => Fault::Hold(node, other),
        15..=16 => Fault::Isolate(node),
        17 => Fault::Swizzle(vec![node, other]),
        18 => Fault::SlowDisk(node, 1 + draw.below(400)),
        19 => Fault::FailSync(node, STORES[draw.index(STORES.len())]),
        20..=21 | 26 => Fault::Damage(node, 4 + draw.index(8)),
        22 => Fault::SlowLink(node, other, 1 + draw.below(300)),
        23 if draw.below(2) == 0 => {
            Fault::Drift(node, 900_000 + u32::from(draw.small(201)) * 1_000)
        }
        23 => Fault::ClockJump(node, 3_600_000 - i64::try_from(draw.below(7_200_000)).unwrap_or(0)),
        24 => Fault::ControlAway,
        25 => Fault::Wipe(node),
        _ => Fault::Night(1 + draw.below(8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_follows_from_its_seed_and_names_nodes_that_there_are() {
        let plan = |seed| Plan::draw(&Draw::new(seed, 1), 4, Duration::from_secs(60));
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
        let kinds = (0..200).flat_map(|seed| plan(seed).0);
        let kinds: std::collections::BTreeSet<String> = kinds
            .map(|each| format!("{:?}", each.fault))
            .map(|text| text.split('(').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(kinds.len(), 18, "{kinds:?}");
    }

    /// Seeds that followed one another once shared their draws, moved by one.
    #[test]
    fn plans_of_different_seeds_share_almost_no_fault() {
        let plan = |seed| Plan::draw(&Draw::new(seed, 1), 5, Duration::from_secs(60)).0;
        let all: Vec<_> = (1..=30).flat_map(plan).map(|each| (each.lasts, each.fault)).collect();
        let count = |each: &_| all.iter().filter(|other| *other == *each).count();
        let shared = all.iter().filter(|each| count(each) > 1).count();
        assert!(shared * 100 < all.len(), "{shared} of {}", all.len());
    }
}
