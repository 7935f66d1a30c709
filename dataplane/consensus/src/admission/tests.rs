use proptest::prelude::*;

use super::*;

const VOTERS: usize = 3;

fn word(life: u64, number: u64) -> Word {
    Word { seen: Start { life, number }, holds: true }
}

fn own(life: u64, number: u64) -> Own {
    Own { start: Start { life, number }, holds: true }
}

#[test]
fn s23_a_number_lower_than_any_answer_destroys_and_an_equal_one_does_not() {
    let disk = own(1, 4);
    assert_eq!(judge(disk, &[], VOTERS), Verdict::Wait);
    let admitted = Verdict::Admit(Start { life: 1, number: 5 });
    assert_eq!(judge(disk, &[word(1, 4)], VOTERS), admitted);
    assert_eq!(judge(disk, &[word(0, 9), word(1, 3)], VOTERS), admitted);
    let destroyed = Verdict::Destroy { life: 2 };
    assert_eq!(judge(disk, &[word(1, 3), word(1, 5)], VOTERS), destroyed);
    assert_eq!(judge(Own::default(), &[word(1, 1)], VOTERS), destroyed);
    assert_eq!(judge(Own::default(), &[word(0, 0)], 5), Verdict::Wait);
}

#[test]
fn s23_an_empty_disk_beside_a_group_that_has_begun_is_sound_only_if_all_say_so() {
    let first = Verdict::Admit(Start { life: 0, number: 1 });
    let empty = Word { holds: false, ..word(0, 0) };
    assert_eq!(judge(Own::default(), &[empty], VOTERS), first, "nothing has begun");
    assert_eq!(judge(Own::default(), &[word(0, 0), empty], VOTERS), first, "all have answered");
    let renewed = Verdict::Renew { life: 1 };
    assert_eq!(judge(Own::default(), &[word(0, 0)], VOTERS), renewed);
    assert_eq!(judge(Own::default(), &[empty, word(0, 0)], 5), renewed);
    let shown = Verdict::Admit(Start { life: 0, number: 2 });
    assert_eq!(judge(own(0, 1), &[word(0, 0)], VOTERS), shown, "it has had a start");
}

#[test]
fn s23_a_replica_that_others_made_room_for_is_a_later_one_from_the_first() {
    let renewed = |own: Own, words: &[Word]| match judge_placed(own, words, VOTERS, Place::Later) {
        Verdict::Renew { life } => life,
        verdict => panic!("{verdict:?}"),
    };
    assert_eq!(renewed(Own::default(), &[word(0, 0), word(0, 0)]), 1);
    assert_eq!(renewed(Own::default(), &[]), 1, "others may be as new as this one");
    assert_eq!(renewed(Own::default(), &[word(3, 1)]), 4);
    assert_eq!(renewed(Own { holds: false, ..own(5, 0) }, &[word(3, 1)]), 6);
    for (disk, place) in [(Own::default(), Place::Founding), (own(1, 3), Place::Later)] {
        for words in [&[][..], &[word(0, 0)], &[word(1, 1), word(0, 0)]] {
            let judged = judge(disk, words, VOTERS);
            assert_eq!(judge_placed(disk, words, VOTERS, place), judged, "{disk:?}");
        }
    }
}

/// One step of what can happen to three replicas.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A start that ends after so many of its steps: asked, on disk, shown to one peer,
    /// shown to both. Only the latter two are admitted. So many peers have answered before,
    /// the one that is shown it first last of them.
    Start { node: usize, steps: u8, first: usize, heard: usize },
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
    own: Own,
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
        self.disk.own.start < self.shown
    }
}

struct World([Replica; VOTERS]);

/// What became of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// It takes no part.
    Out,
    /// It takes part, and has lost nothing, or begins anew.
    Sound,
    /// It takes part although it has lost what a peer was shown: with nothing on its disk.
    TrustedEmpty,
    /// The same with an older state on its disk.
    TrustedOld,
}

impl World {
    /// What `peer` says of `node`; one that begins a new life knows what it was told since.
    fn word(&self, peer: usize, node: usize) -> Option<Word> {
        let Disk { own, seen } = self.0[peer].disk;
        let seen = seen[node].or((own.start.life == 0).then(Start::default))?;
        Some(Word { seen, holds: own.holds })
    }

    /// Asks those of `heard`, shows it to the first of `shown`.
    fn start(&mut self, node: usize, steps: u8, heard: &[usize], shown: &[usize]) -> Outcome {
        let words: Vec<Word> = heard.iter().filter_map(|peer| self.word(*peer, node)).collect();
        let own = self.0[node].disk.own;
        let mut had_lost = false;
        let next = match judge(own, &words, VOTERS) {
            Verdict::Wait => return Outcome::Out,
            Verdict::Admit(next) => {
                had_lost = self.0[node].has_lost();
                next
            }
            Verdict::Destroy { life } => {
                assert!(self.0[node].has_lost(), "a sound replica was destroyed");
                self.destroy(node, life);
                Start { life, number: 1 }
            }
            Verdict::Renew { life } => Start { life, number: 1 },
        };
        if steps == 0 {
            self.0[node].disk.own.start = Start { number: next.number - 1, ..next };
            return Outcome::Out;
        }
        self.0[node].disk.own.start = next;
        for peer in shown.iter().take(usize::from(steps - 1)) {
            if let Some(later) = self.0[*peer].disk.seen[node].filter(|seen| *seen > next) {
                self.destroy(node, later.life + 1);
                return Outcome::Out;
            }
            self.show(node, *peer);
        }
        if steps > 1 {
            self.0[node].disk.own.holds = true;
        }
        // One that begins anew knows what it was shown, once all have shown it.
        self.0[node].is_struck &= !(steps == 3 && next.life > 0);
        let disk = self.0[node].disk;
        self.0[node].copies.push(disk);
        match (steps > 1, had_lost) {
            (false, _) => Outcome::Out,
            (true, false) => Outcome::Sound,
            (true, true) if own == Own::default() => Outcome::TrustedEmpty,
            (true, true) => Outcome::TrustedOld,
        }
    }

    fn destroy(&mut self, node: usize, life: u64) {
        let replica = &mut self.0[node];
        (replica.disk, replica.copies) = (Disk::default(), Vec::new());
        replica.disk.own.start = Start { life, number: 0 };
        replica.is_struck = true;
    }

    /// Both note each other's start.
    fn show(&mut self, node: usize, peer: usize) {
        for (of, to) in [(node, peer), (peer, node)] {
            let start = self.0[of].disk.own.start;
            let seen = &mut self.0[to].disk.seen[of];
            *seen = (*seen).max((start > Start::default()).then_some(start));
            self.0[of].shown = self.0[of].shown.max(start);
        }
    }

    /// Whether more than one disk has lost something at the same time.
    fn is_beyond_help(&self) -> bool {
        self.0.iter().filter(|replica| replica.is_struck).count() > 1
    }

    /// Returns what became of those that started.
    fn take(&mut self, step: Step) -> Vec<Outcome> {
        let others = |node: usize| [(node + 1) % VOTERS, (node + 2) % VOTERS];
        match step {
            Step::Start { node, steps, first, heard } => {
                let mut asked = others(node);
                asked.rotate_left(first % 2);
                let shown = asked;
                asked.reverse();
                vec![self.start(node, steps, &asked[..heard], &shown)]
            }
            Step::AllStart => {
                let start = |node| self.start(node, 3, &others(node), &others(node));
                (0..VOTERS).map(start).collect()
            }
            Step::Restore { node, back } => {
                let replica = &mut self.0[node];
                let last = replica.copies.len().saturating_sub(1);
                if let Some(copy) = replica.copies.get(last.saturating_sub(back + 1)) {
                    (replica.disk, replica.is_struck) = (*copy, true);
                }
                Vec::new()
            }
            Step::Empty { node } => {
                let replica = &mut self.0[node];
                (replica.disk, replica.is_struck) = (Disk::default(), true);
                Vec::new()
            }
        }
    }
}

fn step(
    steps: impl Strategy<Value = u8>,
    heard: impl Strategy<Value = usize>,
) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..VOTERS, steps, 0usize..2, heard)
            .prop_map(|(node, steps, first, heard)| Step::Start { node, steps, first, heard }),
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
        steps in prop::collection::vec(step(0u8..=3, 1usize..=2), 1..60),
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
        steps in prop::collection::vec(step(prop_oneof![0u8..=1, Just(3u8)], Just(2)), 1..60),
    ) {
        let mut world = World(Default::default());
        for step in steps {
            let outcomes = world.take(step);
            if world.is_beyond_help() {
                break;
            }
            let is_trusted = outcomes.iter().any(|outcome| *outcome > Outcome::Sound);
            prop_assert!(!is_trusted, "trusted after {step:?}: {:?}", world.0);
        }
    }

    /// Where a peer was shown each start, but not always both, and one has answered, an
    /// older state may be taken for sound; an empty disk beside a group that has begun is not.
    #[test]
    fn s23_what_alone_is_empty_is_never_trusted(
        steps in prop::collection::vec(step(0u8..=3, 1usize..=2), 1..60),
    ) {
        let mut world = World(Default::default());
        world.take(Step::AllStart);
        for step in steps {
            let outcomes = world.take(step);
            if world.is_beyond_help() {
                break;
            }
            let is_trusted = outcomes.contains(&Outcome::TrustedEmpty);
            prop_assert!(!is_trusted, "trusted after {step:?}: {:?}", world.0);
        }
    }

    /// Nobody takes part with a start older than one that somebody knows who has answered, or
    /// was shown it.
    #[test]
    fn s23_what_anybody_asked_or_shown_knows_is_heeded(
        steps in prop::collection::vec(step(0u8..=3, 1usize..=2), 1..60),
    ) {
        let mut world = World(Default::default());
        for step in steps {
            let before: Vec<Disk> = world.0.iter().map(|replica| replica.disk).collect();
            let outcomes = world.take(step);
            let Step::Start { node, steps: 3, .. } = step else { continue };
            if outcomes == [Outcome::Out] {
                continue;
            }
            let known = before.iter().filter_map(|disk| disk.seen[node]).max().unwrap_or_default();
            let start = world.0[node].disk.own.start;
            prop_assert!(start >= known, "after {step:?}: {start:?} < {known:?}");
        }
    }
}

#[test]
fn s23_peers_that_were_emptied_in_turn_still_know_the_last_one() {
    let mut world = World(Default::default());
    world.take(Step::AllStart);
    for node in 0..2 {
        world.take(Step::Empty { node });
        world.take(Step::Start { node, steps: 3, first: 0, heard: 2 });
        assert_eq!(world.0[node].disk.own.start.life, 1);
    }
    world.take(Step::Empty { node: 2 });
    let step = Step::Start { node: 2, steps: 3, first: 0, heard: 2 };
    assert_eq!(world.take(step), [Outcome::Sound]);
    assert_eq!(world.0[2].disk.own.start.life, 1);
}

/// The bound, once found by a property that did not know it: who was emptied and has yet to
/// begin anew cannot tell of another's disk that is rolled back meanwhile.
#[test]
fn s23_two_disks_lost_before_either_has_begun_anew_are_beyond_help() {
    let mut world = World(Default::default());
    let start = |node, steps| Step::Start { node, steps, first: 0, heard: 2 };
    for step in [start(1, 1), start(1, 1), start(2, 3), Step::Empty { node: 2 }, start(2, 0)] {
        world.take(step);
    }
    assert!(!world.is_beyond_help(), "one of them is lost");
    world.take(Step::Restore { node: 1, back: 0 });
    assert!(world.is_beyond_help());
    let outcomes = world.take(Step::AllStart);
    assert_eq!(outcomes[1], Outcome::TrustedOld, "nobody is left who knew");
}
