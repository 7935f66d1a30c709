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
    /// The disk is empty.
    Empty { node: usize },
}

/// What a replica's disk has: its start, and those that it was shown.
#[derive(Clone, Copy, Debug, Default)]
struct Disk {
    start: Start,
    seen: [Option<Start>; VOTERS],
}

#[derive(Clone, Debug, Default)]
struct Replica {
    disk: Disk,
    /// Disks at the ends of earlier runs.
    copies: Vec<Disk>,
    /// The last start that any peer was shown.
    shown: Start,
    /// Whether the disk lost anything since this life began.
    is_struck: bool,
}

impl Replica {
    fn has_lost(&self) -> bool {
        self.disk.start < self.shown
    }
}

struct World([Replica; VOTERS]);

impl World {
    /// What `peer` says of `node`; one that begins a new life knows what it was told since.
    fn word(&self, peer: usize, node: usize) -> Option<Word> {
        let Disk { start, seen } = self.0[peer].disk;
        let seen = seen[node].or((start.life == 0).then(Start::default))?;
        Some(Word { seen, holds: true })
    }

    /// Returns whether it is admitted although it has lost what a peer was shown.
    fn start(&mut self, node: usize, steps: u8, asked: &[usize]) -> bool {
        let words: Vec<Word> = asked.iter().filter_map(|peer| self.word(*peer, node)).collect();
        let start = self.0[node].disk.start;
        let mut is_trusted = false;
        let next = match judge(start, &words, VOTERS) {
            Verdict::Wait => return false,
            Verdict::Admit(next) => {
                is_trusted = self.0[node].has_lost();
                next
            }
            Verdict::Destroy { life } => {
                assert!(self.0[node].has_lost(), "a sound replica was destroyed");
                let replica = &mut self.0[node];
                (replica.disk, replica.copies) = (Disk::default(), Vec::new());
                replica.is_struck = false;
                Start { life, number: 1 }
            }
        };
        if steps == 0 {
            self.0[node].disk.start = Start { number: next.number - 1, ..next };
            return false;
        }
        self.0[node].disk.start = next;
        for peer in asked.iter().take(usize::from(steps - 1)) {
            self.show(node, *peer);
        }
        let disk = self.0[node].disk;
        self.0[node].copies.push(disk);
        is_trusted && steps > 1
    }

    /// Both note each other's start.
    fn show(&mut self, node: usize, peer: usize) {
        for (of, to) in [(node, peer), (peer, node)] {
            let start = self.0[of].disk.start;
            let seen = &mut self.0[to].disk.seen[of];
            *seen = (*seen).max((start > Start::default()).then_some(start));
            self.0[of].shown = self.0[of].shown.max(start);
        }
    }

    /// Whether more than one disk has lost something at the same time.
    fn is_beyond_help(&self) -> bool {
        self.0.iter().filter(|replica| replica.is_struck).count() > 1
    }

    /// Returns whether a replica was trusted that has lost what a peer was shown.
    fn take(&mut self, step: Step) -> bool {
        let others = |node: usize| [(node + 1) % VOTERS, (node + 2) % VOTERS];
        match step {
            Step::Start { node, steps, first } => {
                let mut asked = others(node);
                asked.rotate_left(first % 2);
                self.start(node, steps, &asked)
            }
            Step::AllStart => {
                let trusted = (0..VOTERS).map(|node| self.start(node, 3, &others(node)));
                trusted.filter(|is_trusted| *is_trusted).count() > 0
            }
            Step::Restore { node, back } => {
                let replica = &mut self.0[node];
                let last = replica.copies.len().saturating_sub(1);
                if let Some(copy) = replica.copies.get(last.saturating_sub(back + 1)) {
                    (replica.disk, replica.is_struck) = (*copy, true);
                }
                false
            }
            Step::Empty { node } => {
                let replica = &mut self.0[node];
                (replica.disk, replica.is_struck) = (Disk::default(), true);
                false
            }
        }
    }
}

fn step(steps: impl Strategy<Value = u8>) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..VOTERS, steps, 0usize..2)
            .prop_map(|(node, steps, first)| Step::Start { node, steps, first }),
        1 => Just(Step::AllStart),
        1 => (0..VOTERS, 0usize..3).prop_map(|(node, back)| Step::Restore { node, back }),
        1 => (0..VOTERS).prop_map(|node| Step::Empty { node }),
    ]
}

proptest! {
    /// Starts that end anywhere, losses of all power, disks emptied or rolled back to the
    /// end of an earlier run: no sound replica is destroyed, and after a loss of all power
    /// everybody who is admitted is known to all.
    #[test]
    fn s23_only_what_was_rolled_back_is_destroyed(
        steps in prop::collection::vec(step(0u8..=3), 1..60),
    ) {
        let mut world = World(Default::default());
        for step in steps {
            world.take(step);
        }
    }

    /// Where both peers are shown every start, one that alone has lost what it had is
    /// never trusted, even if its peers were emptied one after the other before.
    #[test]
    fn s23_what_alone_has_lost_its_disk_is_never_trusted(
        steps in prop::collection::vec(step(prop_oneof![0u8..=1, Just(3u8)]), 1..60),
    ) {
        let mut world = World(Default::default());
        for step in steps {
            let is_trusted = world.take(step);
            if world.is_beyond_help() {
                break;
            }
            prop_assert!(!is_trusted, "trusted after {step:?}: {:?}", world.0);
        }
    }
}

#[test]
fn s23_peers_that_were_emptied_in_turn_still_know_the_last_one() {
    let mut world = World(Default::default());
    world.take(Step::AllStart);
    for node in 0..2 {
        world.take(Step::Empty { node });
        world.take(Step::Start { node, steps: 3, first: 0 });
        assert_eq!(world.0[node].disk.start.life, 1);
    }
    world.take(Step::Empty { node: 2 });
    assert!(!world.take(Step::Start { node: 2, steps: 3, first: 0 }));
    assert_eq!(world.0[2].disk.start.life, 1);
}
