//! Losing all power, and what is there when it is back.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::content::{PAGE_BYTES, Page, blank};
use crate::disk::{Disk, Power, ROOT};
use crate::node::{Directory, File, Ino, Node, NodeKind};

/// Bytes that a disk writes whole even when the power goes.
const SECTOR_BYTES: usize = 512;

/// What a power cut takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Everything that was not synced.
    Everything,
    /// Some of it, as chance has it: single pages, torn pages, lengths, directories. The same
    /// seed on the same state takes the same.
    Some {
        /// Where chance begins.
        seed: u64,
    },
}

impl Disk {
    /// Takes away what was not synced, in one step. From here on every call fails; the tree
    /// is as the next mount will find it.
    pub(crate) fn cut_power(&mut self, loss: Loss) {
        if self.power == Power::Off {
            return;
        }
        if let Loss::Some { seed } = loss {
            self.spare_some(&mut Chance { state: seed });
        }
        self.revive();
        self.power = Power::Off;
    }

    /// Syncs everything, as an orderly unmount does, and stops.
    pub(crate) fn shut_down(&mut self) {
        if self.power == Power::Off {
            return;
        }
        let inos: Vec<Ino> = self.nodes.keys().copied().collect();
        for ino in inos {
            match self.nodes.get_mut(&ino).map(|node| &mut node.kind) {
                Some(NodeKind::File(file)) => file.sync(),
                Some(NodeKind::Directory(_)) => self.carry_all_names(ino),
                None => {}
            }
        }
        self.cut_power(Loss::Everything);
    }

    /// Lets some unsynced changes reach the disk after all.
    fn spare_some(&mut self, chance: &mut Chance) {
        let inos: Vec<Ino> = self.nodes.keys().copied().collect();
        for ino in inos {
            let Some(node) = self.nodes.get_mut(&ino) else { continue };
            match &mut node.kind {
                NodeKind::File(file) => spare_bytes(file, chance),
                NodeKind::Directory(_) => {
                    if chance.flip() {
                        self.carry_all_names(ino);
                    }
                }
            }
        }
    }

    fn carry_all_names(&mut self, ino: Ino) {
        self.carry_names(ino).expect("because every live name has its node");
    }

    /// Makes the synced state the only one, and forgets what it does not reach.
    fn revive(&mut self) {
        let mut lost = std::mem::take(&mut self.nodes);
        let mut found = BTreeMap::new();
        let mut waiting = Vec::new();
        if let Some(root) = lost.remove(&ROOT) {
            let root = Node { links: 1, durable_links: 1, ..revived(root) };
            found.insert(ROOT, root);
            waiting.push(ROOT);
        }
        while let Some(parent) = waiting.pop() {
            let names = found.get(&parent).and_then(Node::directory).map(|d| d.durable.clone());
            for (name, ino) in names.unwrap_or_default() {
                if let Some(node) = lost.remove(&ino) {
                    let node = revived(node);
                    waiting.extend(node.directory().map(|_| ino));
                    found.insert(ino, Node { place: Some((parent, name.clone())), ..node });
                }
                let child = found.get_mut(&ino).filter(|n| n.links == 0 || n.file().is_some());
                match child {
                    Some(node) => {
                        (node.links, node.durable_links) = (node.links + 1, node.links + 1)
                    }
                    // A directory moved between two of which only one was synced: one place stays.
                    None => forget_name(&mut found, parent, &name),
                }
            }
        }
        self.nodes = found;
    }
}

fn revived(mut node: Node) -> Node {
    match &mut node.kind {
        NodeKind::File(file) => file.revive(),
        NodeKind::Directory(directory) => directory.live = directory.durable.clone(),
    }
    Node { links: 0, durable_links: 0, open: 0, place: None, ..node }
}

fn forget_name(found: &mut BTreeMap<Ino, Node>, parent: Ino, name: &std::ffi::OsStr) {
    if let Some(NodeKind::Directory(Directory { live, durable })) =
        found.get_mut(&parent).map(|node| &mut node.kind)
    {
        live.remove(name);
        durable.remove(name);
    }
}

/// Some pages arrive, one of them perhaps in part; the length arrives or not.
fn spare_bytes(file: &mut File, chance: &mut Chance) {
    let synced_len = file.durable.len();
    let pages: Vec<usize> = file.dirty.iter().copied().filter(|_| chance.flip()).collect();
    let torn = pages.last().map(|at| (*at, file.durable.page(*at))).filter(|_| chance.flip());
    file.carry(pages);
    if let Some((at, before)) = torn {
        tear(file, at, before, chance.below(PAGE_BYTES / SECTOR_BYTES));
    }
    if synced_len < file.live.len() && chance.flip() {
        // The pages came, the new length did not. It was accepted before, by the same limit.
        drop(file.durable.set_len(synced_len));
    }
}

/// Of a page that arrived, only the first `sectors` did; the rest is as it was before.
fn tear(file: &mut File, at: usize, before: Option<Page>, sectors: usize) {
    let mut page = file.durable.page(at).unwrap_or_else(blank);
    let kept = sectors * SECTOR_BYTES;
    let before = before.unwrap_or_else(blank);
    Arc::make_mut(&mut page)[kept..].copy_from_slice(&before[kept..]);
    file.durable.set_page(at, Some(page));
}

/// SplitMix64: chance that a seed repeats.
struct Chance {
    state: u64,
}

impl Chance {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn flip(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
