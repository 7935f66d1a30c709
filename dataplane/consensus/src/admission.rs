//! Whether a replica may take part after a start (S23): pure decisions.
//!
//! Every start of a replica has a number, kept on its disk and shown to its peers before it
//! votes or acknowledges anything. A disk that has an older number than a peer was shown
//! was rolled back or emptied: what the replica has promised since is gone. Such a replica
//! is destroyed; its node gets another one, of a new life, that learns everything again.

/// A start of a node's replica: of which life of it, and which start in that life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Start {
    pub(crate) life: u64,
    pub(crate) number: u64,
}

/// What a peer says of a replica, from its disk and before its own admission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// The last start that it was shown.
    pub(crate) seen: Start,
    /// Whether it has state of the group itself.
    pub(crate) holds: bool,
}

/// What is to become of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Too few peers have answered.
    Wait,
    /// It is sound: this start is to be made durable and shown.
    Admit(Start),
    /// It has lost what it promised: a new life begins.
    Destroy {
        /// Higher than that of any replica of the node that anybody knows.
        life: u64,
    },
}

/// Answers of peers that make a majority of `voters` together with the one who asks.
pub(crate) const fn answers_needed(voters: usize) -> usize {
    voters / 2
}

/// Decides by what is on the disk and what the peers say. A lower number destroys; an equal
/// one does not: the start before may have ended before it was shown.
pub(crate) fn judge(disk: Start, words: &[Word], voters: usize) -> Verdict {
    if words.len() < answers_needed(voters) {
        return Verdict::Wait;
    }
    let seen = words.iter().map(|word| word.seen).max().unwrap_or_default();
    if disk < seen {
        return Verdict::Destroy { life: seen.life.max(disk.life) + 1 };
    }
    Verdict::Admit(Start { number: disk.number + 1, ..disk })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VOTERS: usize = 3;

    fn word(life: u64, number: u64) -> Word {
        Word { seen: Start { life, number }, holds: true }
    }

    #[test]
    fn s23_a_number_lower_than_any_answer_destroys_and_an_equal_one_does_not() {
        let disk = Start { life: 1, number: 4 };
        assert_eq!(judge(disk, &[], VOTERS), Verdict::Wait);
        let admitted = Verdict::Admit(Start { life: 1, number: 5 });
        assert_eq!(judge(disk, &[word(1, 4)], VOTERS), admitted);
        assert_eq!(judge(disk, &[word(0, 9), word(1, 3)], VOTERS), admitted);
        let destroyed = Verdict::Destroy { life: 2 };
        assert_eq!(judge(disk, &[word(1, 3), word(1, 5)], VOTERS), destroyed);
        assert_eq!(judge(Start::default(), &[word(1, 1)], VOTERS), destroyed);
        assert_eq!(judge(Start::default(), &[word(0, 0)], 5), Verdict::Wait);
    }

    /// One step of what can happen to three replicas.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// A start that ends after so many of its steps: asked, on disk, shown to one peer,
        /// shown to both. Only the latter two are admitted.
        Start { node: usize, steps: u8, first: usize },
        /// All power is lost: everybody starts, each asking whoever is there.
        AllStart,
        /// The disk is that of the end of an earlier run again.
        Restore { node: usize, back: usize },
    }

    #[derive(Clone, Debug, Default)]
    struct Replica {
        disk: Start,
        /// Disks at the ends of earlier runs.
        copies: Vec<Start>,
        seen: [Start; VOTERS],
        was_rolled_back: bool,
        destroyed: u32,
    }

    struct World([Replica; VOTERS]);

    impl World {
        fn start(&mut self, node: usize, steps: u8, asked: &[usize]) {
            let words: Vec<Word> = asked
                .iter()
                .map(|peer| Word { seen: self.0[*peer].seen[node], holds: true })
                .collect();
            let disk = self.0[node].disk;
            let known = words.iter().map(|word| word.seen).max().unwrap_or_default();
            let next = match judge(disk, &words, VOTERS) {
                Verdict::Wait => return,
                Verdict::Admit(start) => {
                    assert!(disk >= known, "an older disk was trusted");
                    start
                }
                Verdict::Destroy { life } => {
                    assert!(self.0[node].was_rolled_back, "a sound replica was destroyed");
                    let replica = &mut self.0[node];
                    (replica.was_rolled_back, replica.copies) = (false, Vec::new());
                    replica.destroyed += 1;
                    Start { life, number: 1 }
                }
            };
            if steps == 0 {
                self.0[node].disk = Start { number: next.number - 1, ..next };
                return;
            }
            self.0[node].disk = next;
            self.0[node].copies.push(next);
            for peer in asked.iter().take(usize::from(steps - 1)) {
                self.0[*peer].seen[node] = self.0[*peer].seen[node].max(next);
            }
        }

        fn take(&mut self, step: Step) {
            let others = |node: usize| [(node + 1) % VOTERS, (node + 2) % VOTERS];
            match step {
                Step::Start { node, steps, first } => {
                    let mut asked = others(node);
                    asked.rotate_left(first % 2);
                    self.start(node, steps, &asked);
                }
                Step::AllStart => (0..VOTERS).for_each(|node| self.start(node, 3, &others(node))),
                Step::Restore { node, back } => {
                    let replica = &mut self.0[node];
                    let last = replica.copies.len().saturating_sub(1);
                    if let Some(copy) = replica.copies.get(last.saturating_sub(back + 1)) {
                        replica.was_rolled_back |= *copy < replica.disk;
                        replica.disk = *copy;
                    }
                }
            }
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..VOTERS, 0u8..=3, 0usize..2)
                .prop_map(|(node, steps, first)| Step::Start { node, steps, first }),
            1 => Just(Step::AllStart),
            1 => (0..VOTERS, 0usize..3).prop_map(|(node, back)| Step::Restore { node, back }),
        ]
    }

    proptest! {
        /// Starts that end anywhere, losses of all power, disks rolled back to the end of an
        /// earlier run: no sound replica is destroyed, none that a peer knows better than
        /// its own disk is trusted, and after a loss of all power everybody is admitted.
        #[test]
        fn s23_only_what_was_rolled_back_is_destroyed(steps in prop::collection::vec(step(), 1..60)) {
            let mut world = World(Default::default());
            for step in steps {
                world.take(step);
                if matches!(step, Step::AllStart) {
                    for (node, replica) in world.0.iter().enumerate() {
                        for (peer, other) in world.0.iter().enumerate() {
                            prop_assert!(node == peer || other.seen[node] == replica.disk);
                        }
                    }
                }
            }
        }
    }
}
