//! Which links between nodes are cut or held: it follows from the faults under way, so that the
//! end of one leaves alone what another needs.

use std::collections::BTreeMap;

use turmoil::Sim;

use super::World;
use crate::faults::Fault;

/// A link between two nodes, the first of which has the lower number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// What is sent waits.
    is_held: bool,
    /// What the first sends is lost, and what the second does.
    is_cut: [bool; 2],
}

/// What the faults `under_way` make of the link between `one` and `other`. One that is held loses
/// nothing, for the nodes do not know better.
fn link<'a>(under_way: impl Iterator<Item = &'a Fault>, one: usize, other: usize) -> Link {
    let mut link = Link::default();
    let is_of = |node: usize| node == one || node == other;
    for fault in under_way {
        match *fault {
            Fault::Pause(node) if is_of(node) => link.is_held = true,
            Fault::Hold(from, to) if is_of(from) && is_of(to) => link.is_held = true,
            Fault::Isolate(node) if is_of(node) => link.is_cut = [true; 2],
            Fault::Cut(from, to) if is_of(from) && is_of(to) => link.is_cut = [true; 2],
            Fault::CutOneWay(from, to) if is_of(from) && is_of(to) => {
                link.is_cut[usize::from(from == other)] = true;
            }
            _ => {}
        }
    }
    if link.is_held { Link { is_cut: [false; 2], ..link } } else { link }
}

impl Link {
    /// Has the link between `names` be like this, which is like `before`.
    fn install(self, before: Self, sim: &Sim<'static>, names: [&str; 2]) {
        let [one, other] = names;
        if self.is_held {
            if !before.is_held {
                sim.hold(one, other);
            }
            return;
        }
        if before.is_held {
            sim.release(one, other);
        }
        let ways = [(one, other), (other, one)].into_iter().zip(self.is_cut).zip(before.is_cut);
        for (((from, to), is_cut), was_cut) in ways {
            match (is_cut, was_cut) {
                (true, false) => sim.partition_oneway(from, to),
                (false, true) => sim.repair_oneway(from, to),
                _ => {}
            }
        }
    }
}

impl World {
    /// Has every link be as the faults under way want it.
    pub(super) fn relink(&mut self) {
        let mut links = BTreeMap::new();
        for other in 0..self.places.len() {
            for one in 0..other {
                let under_way = self.under_way.iter().map(|(_, fault)| fault);
                let link = link(under_way, one, other);
                let before = self.links.get(&(one, other)).copied().unwrap_or_default();
                let names = [one, other].map(|at| self.places[at].name.as_str());
                link.install(before, &self.sim, names);
                links.insert((one, other), link);
            }
        }
        self.links = links;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_a5_the_end_of_a_fault_leaves_alone_what_another_needs() {
        let cut = Link { is_cut: [true; 2], ..Link::default() };
        let of = |faults: &[Fault]| link(faults.iter(), 0, 2);
        assert_eq!(of(&[Fault::Cut(0, 2), Fault::Isolate(2)]), cut);
        assert_eq!(of(&[Fault::Isolate(2)]), cut);
        assert_eq!(of(&[Fault::Isolate(1), Fault::Cut(0, 1)]), Link::default());
        assert_eq!(of(&[Fault::CutOneWay(2, 0)]).is_cut, [false, true]);
        assert_eq!(of(&[Fault::CutOneWay(0, 2)]).is_cut, [true, false]);
        let held = Link { is_held: true, is_cut: [false; 2] };
        assert_eq!(of(&[Fault::Pause(0), Fault::Isolate(0)]), held);
    }
}
