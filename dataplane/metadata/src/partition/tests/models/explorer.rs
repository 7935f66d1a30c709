//! Walks through all that a small world can come to, breadth first, so that the first sequence
//! found to break a rule is a shortest one.

use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What can be walked through. Its hash is what it is told from others by.
pub(super) trait World: Clone + Hash {
    /// One thing that may happen.
    type Step: Copy + Debug;

    /// All that may happen next.
    fn steps(&self) -> Vec<Self::Step>;

    /// Has it happen, notes in `seen` what came of it, and says which rule is broken now, if one
    /// is.
    fn take(&mut self, step: Self::Step, seen: &mut Seen) -> Result<(), Broken>;
}

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// Its number and what of it.
    pub(super) rule: &'static str,
    pub(super) what: String,
}

/// Says that `rule` is broken unless it `holds`.
pub(super) fn check(
    rule: &'static str,
    holds: bool,
    what: impl FnOnce() -> String,
) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { rule, what: what() }) }
}

/// What came of steps anywhere: a world in which nothing happens breaks no rule either.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeSet<&'static str>);

impl Seen {
    pub(super) fn note(&mut self, what: &'static str) {
        self.0.insert(what);
    }
}

/// What a walk came to.
pub(super) struct Walked {
    name: &'static str,
    /// Different states, the first one included.
    pub(super) states: usize,
    /// Steps taken, also to states that were known.
    pub(super) steps: usize,
    /// The most steps from the first state to another.
    depth: usize,
    /// Whether there was nothing beyond, within what the world itself allows.
    is_whole: bool,
    seen: Seen,
    broken: Option<(Broken, Vec<String>)>,
}

impl fmt::Display for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, states, steps, depth, is_whole, .. } = self;
        let end = if *is_whole { "all there is" } else { "more lies beyond" };
        write!(f, "{name}: {states} states, {steps} steps, {depth} deep, {end}")?;
        if let Some((broken, path)) = &self.broken {
            write!(f, "; {} is broken: {}\n  {}", broken.rule, broken.what, path.join("\n  "))?;
        }
        Ok(())
    }
}

impl Walked {
    /// No rule was broken, at least `states` were seen, and `wanted` happened.
    pub(super) fn holds(&self, states: usize, wanted: &[&'static str]) {
        println!("{self}");
        assert!(self.broken.is_none(), "{self}");
        assert!(self.states >= states, "too little happens: {self}");
        for what in wanted {
            assert!(self.seen.0.contains(what), "never happened: {what}; {:?}", self.seen.0);
        }
    }

    /// And there was nothing beyond.
    pub(super) fn holds_wholly(&self, states: usize, wanted: &[&'static str]) {
        self.holds(states, wanted);
        assert!(self.is_whole, "{self}");
    }

    /// What was done wrong on purpose was noticed by this rule.
    pub(super) fn breaks(&self, rule: &str) {
        println!("{self}");
        let broken = self.broken.as_ref().map(|(broken, _)| broken.rule);
        assert_eq!(broken, Some(rule), "{self}");
    }
}

/// A state whose steps are to be taken, and where it stands in the order of discovery.
type Open<W> = (W, usize);

/// How a state was reached: from which, by what.
type Reached<W> = (usize, Option<<W as World>::Step>);

/// Walks from `start`, at most `depth` steps far.
pub(super) fn walk<W: World>(name: &'static str, start: W, depth: usize) -> Walked {
    let mut known = BTreeSet::from([mark(&start)]);
    let mut reached: Vec<Reached<W>> = vec![(0, None)];
    let mut walked = Walked {
        name,
        states: 1,
        steps: 0,
        depth: 0,
        is_whole: false,
        seen: Seen::default(),
        broken: None,
    };
    let mut open: Vec<Open<W>> = vec![(start, 0)];
    for level in 1..=depth {
        let mut next: Vec<Open<W>> = Vec::new();
        let known_before = known.len();
        for (world, at) in open {
            for step in world.steps() {
                let mut then = world.clone();
                walked.steps += 1;
                if let Err(broken) = then.take(step, &mut walked.seen) {
                    let path = path::<W>(&reached, (at, Some(step)));
                    walked.broken = Some((broken, path));
                    walked.states = known.len();
                    walked.depth = level;
                    return walked;
                }
                // What lies at the border is looked at and not gone on from.
                if known.insert(mark(&then)) && level < depth {
                    reached.push((at, Some(step)));
                    next.push((then, reached.len() - 1));
                }
            }
        }
        walked.states = known.len();
        if known.len() == known_before {
            walked.is_whole = true;
            return walked;
        }
        walked.depth = level;
        open = next;
    }
    walked
}

/// 128 bits that stand for a state: among a million the chance that two share them is nil.
fn mark(world: &impl Hash) -> (u64, u64) {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        world.hash(&mut hasher);
        hasher.finish()
    };
    (half(0), half(1))
}

/// The steps that lead to `last`.
fn path<W: World>(reached: &[Reached<W>], last: Reached<W>) -> Vec<String> {
    let mut steps = Vec::new();
    let mut at = last;
    while let (from, Some(step)) = at {
        steps.push(format!("{step:?}"));
        at = reached[from];
    }
    steps.reverse();
    steps
}

/// Two counters up to three, one of which may never pass the other.
#[derive(Clone, Hash)]
struct Counters(u8, u8);

impl World for Counters {
    type Step = bool;

    fn steps(&self) -> Vec<bool> {
        [(false, self.0), (true, self.1)].into_iter().filter(|(_, n)| *n < 3).map(|s| s.0).collect()
    }

    fn take(&mut self, step: bool, seen: &mut Seen) -> Result<(), Broken> {
        let counter = if step { &mut self.1 } else { &mut self.0 };
        *counter += 1;
        seen.note("counted");
        check("order", self.1 <= self.0 + 1, || format!("{} > {}", self.1, self.0))
    }
}

#[test]
fn a_walk_finds_every_state_once_and_a_shortest_way_to_what_is_broken() {
    let (broken, path) = walk("counters", Counters(0, 0), 9).broken.expect("because 2 > 0 + 1");
    assert_eq!((broken.rule, path), ("order", vec!["true".to_owned(), "true".to_owned()]));
    // From 2 on the other cannot be two ahead: all pairs but those below 2.
    let walked = walk("counters", Counters(2, 0), 9);
    walked.holds(8, &["counted"]);
    assert_eq!((walked.states, walked.depth, walked.is_whole), (8, 4, true));
    let cut = walk("counters", Counters(2, 0), 2);
    assert_eq!((cut.depth, cut.is_whole), (2, false));
}
