//! What the product itself calls broken: a line of level ERROR, of which somebody has to look
//! (docs/style.md), and a process that ends by itself.

use std::cell::{Cell, RefCell};
use std::fmt::{Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::checks::Broken;
use crate::events;

const LINES: &str = "nobody-has-to-look";
const ENDS: &str = "processes-end-for-a-reason";

thread_local! {
    static FIRST: RefCell<Option<Broken>> = const { RefCell::new(None) };
    static IS_WIPED: Cell<bool> = const { Cell::new(false) };
}

/// A line that a fault of the plan causes.
struct Expected {
    /// The module that writes it, and those below.
    target: &'static str,
    /// What it says, among other things.
    says: &'static str,
}

const fn expected(target: &'static str, says: &'static str) -> Expected {
    Expected { target, says }
}

/// What is ours. Libraries call errors what those who use them handle: openraft a change of
/// members that another leader has to make.
const OURS: &str = "gitstratum";

/// Each with the fault that explains it.
const EXPECTED: &[Expected] = &[
    // Bits that rot: a reader meets them, and the copy is replaced (S21, S29).
    expected("gitstratum_object::segments::damage", "damaged segment bytes were not served"),
    expected("gitstratum_object::segments::copies", "is put aside for a sound one"),
    expected("gitstratum_object::bulk::whole", "could not be copied from here"),
    expected("gitstratum_client::bulk::failover", "an owner's copy is damaged"),
    // A sync that fails: the store refuses, and the process ends (P-D5).
    expected("gitstratum_object::segments::write", "a sync failed"),
    expected("gitstratum_consensus::", "Input/output error (os error 5)"),
    expected("gitstratum_consensus::", "takes no writes since a sync of it failed"),
    expected("gitstratum_metadata::", "Input/output error (os error 5)"),
];

/// What is expected besides once a node has lost its disk: its replicas begin anew (S23).
const EXPECTED_OF_WIPED: &[Expected] =
    &[expected("gitstratum_consensus::host::admit", "replica destroyed")];

/// A node has lost its disk.
pub(crate) fn note_wiped() {
    IS_WIPED.set(true);
}

/// Hears what this thread says, until the guard goes.
pub(crate) fn listen() -> DefaultGuard {
    FIRST.with_borrow_mut(|first| *first = None);
    IS_WIPED.set(false);
    tracing::subscriber::set_default(Listener)
}

/// The first complaint that no fault explains.
pub(crate) fn broken() -> Option<Broken> {
    FIRST.with_borrow(Clone::clone)
}

fn complain(broken: Broken) {
    events::story(|| broken.to_string());
    FIRST.with_borrow_mut(|first| {
        first.get_or_insert(broken);
    });
}

/// The process of `node` has ended by itself, and no sync that failed on its disk explains it (P-D5).
pub(crate) fn ended(node: &str, how: &anyhow::Result<()>) {
    let why = match how {
        Ok(()) => "without a word".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    complain(Broken::new(ENDS, format!("{node} ends: {why}")));
}

fn is_expected(target: &str, line: &str) -> bool {
    let of_wiped = EXPECTED_OF_WIPED.iter().filter(|_| IS_WIPED.get());
    EXPECTED
        .iter()
        .chain(of_wiped)
        .any(|each| target.starts_with(each.target) && line.contains(each.says))
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_ours = metadata.target().starts_with(OURS);
        metadata.is_event() && is_ours && *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let target = event.metadata().target();
        events::story(|| format!("ERROR {target}:{}", line.0));
        if !is_expected(target, &line.0) {
            complain(Broken::new(LINES, format!("{target}:{}", line.0)));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The fields of an event, as text.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("because a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_d5_an_error_line_is_broken_unless_a_fault_explains_it() {
        let guard = listen();
        tracing::warn!("not so bad");
        tracing::error!(target: "gitstratum_object::segments::write", "a sync failed: refused");
        assert_eq!(broken(), None);
        note_wiped();
        tracing::error!(target: "gitstratum_consensus::host::admit", "replica destroyed");
        assert_eq!(broken(), None);
        tracing::error!(target: "gitstratum_object::service", number = 3, "it is broken");
        let first = broken().unwrap();
        assert_eq!(first.invariant, LINES);
        assert!(first.what.contains("it is broken"), "{first}");
        assert!(first.what.contains("number=3"), "{first}");
        drop(guard);
    }

    #[test]
    fn p_d5_an_end_without_a_reason_is_broken() {
        let guard = listen();
        ended("node-1", &Err(anyhow::anyhow!("out of ideas")));
        assert!(broken().unwrap().what.contains("out of ideas"));
        drop(guard);
    }
}
