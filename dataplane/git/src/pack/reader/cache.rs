use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

/// What an entry costs besides its content, in bytes.
const ENTRY_COST: u64 = 192;

/// Contents by ordinal, the latest used, up to a number of bytes.
pub(super) struct Cache {
    contents: HashMap<u32, (u64, Bytes)>,
    /// Ordinals by when they were last used.
    uses: BTreeMap<u64, u32>,
    clock: u64,
    held: u64,
    budget: u64,
}

impl Cache {
    pub(super) fn new(budget: u64) -> Self {
        Self { contents: HashMap::new(), uses: BTreeMap::new(), clock: 0, held: 0, budget }
    }

    pub(super) fn get(&mut self, ordinal: u32) -> Option<Bytes> {
        self.clock += 1;
        let (used, content) = self.contents.get_mut(&ordinal)?;
        self.uses.remove(used);
        self.uses.insert(self.clock, ordinal);
        *used = self.clock;
        Some(content.clone())
    }

    pub(super) fn insert(&mut self, ordinal: u32, content: Bytes) {
        if cost(&content) > self.budget || self.contents.contains_key(&ordinal) {
            return;
        }
        self.clock += 1;
        self.held += cost(&content);
        self.contents.insert(ordinal, (self.clock, content));
        self.uses.insert(self.clock, ordinal);
        while self.held > self.budget {
            let Some((_, oldest)) = self.uses.pop_first() else {
                return;
            };
            if let Some((_, dropped)) = self.contents.remove(&oldest) {
                self.held -= cost(&dropped);
            }
        }
    }
}

fn cost(content: &Bytes) -> u64 {
    content.len() as u64 + ENTRY_COST
}
