//! A pack in a spool, judged as a pushed one is: every entry inflated and hashed, every link
//! noted.

use std::ops::ControlFlow;

use gitstratum_core::ObjectFormat;
use gitstratum_git::graph::Notes;
use gitstratum_git::pack::{
    self, Limits, LinkError, Linked, Links, Resolved, Resolver, Scanner, Step, Visited, Visitor,
};

use super::Error;
use super::choice::Chosen;
use super::spool::{Cancel, Spool};

/// Most objects that a run takes: about 300 bytes of memory each.
pub(super) const OBJECTS_MAX: u32 = 4_000_000;
/// Bytes of the spool read at once.
const PIECE_BYTES: u64 = 1024 * 1024;

/// What is known of a pack.
#[derive(Debug)]
pub(super) struct Surveyed {
    pub(super) resolved: Resolved,
    pub(super) notes: Notes,
    /// What its objects refer to.
    pub(super) linked: Linked,
}

/// What judging a pack of stored objects may cost: none of them is refused for its size.
pub(super) fn limits(chosen: &[Chosen]) -> Limits {
    let largest = chosen.iter().map(|each| each.record.size).max().unwrap_or_default();
    let limits = Limits::default();
    Limits {
        pack_bytes_max: u64::MAX,
        objects_max: OBJECTS_MAX,
        // A delta's instructions may be longer than what they make.
        object_bytes_max: limits.object_bytes_max.max(largest.saturating_mul(2)),
        commit_bytes_max: limits.commit_bytes_max.max(largest),
        inflated_bytes_max: u64::MAX,
        resolved_bytes_max: u64::MAX,
        ..limits
    }
}

/// Looks at the first `len` bytes of `spool`. Blocking.
///
/// # Errors
/// Whatever makes it no pack that may be stored.
pub(super) fn survey(
    spool: &Spool,
    len: u64,
    (format, limits): (ObjectFormat, &Limits),
    cancel: &Cancel,
) -> Result<Surveyed, Error> {
    let mut scanner = Scanner::new(format, limits.clone());
    while scanner.position() < len {
        if cancel.is_set() {
            return Err(Error::Ended);
        }
        let piece = (len - scanner.position()).min(PIECE_BYTES);
        let piece = usize::try_from(piece).expect("because a piece fits in memory");
        scanner.push(&spool.read(scanner.position(), piece)?).map_err(Error::Pack)?;
    }
    let scanned = scanner.finish().map_err(Error::Pack)?;
    let mut seen =
        Seen { links: Links::new(format, limits), notes: Notes::new(format), fault: None, cancel };
    let mut resolver = Resolver::new(scanned, limits.clone());
    match resolver.step(spool, &mut seen) {
        Ok(Step::Done) => {}
        Ok(Step::NeedBases(ids)) => {
            let id = ids.first().copied().ok_or(Error::Bug("no base is needed"))?;
            return Err(Error::Missing { id });
        }
        Err(pack::Error::Stopped) => {
            return Err(seen.fault.map_or(Error::Ended, Error::Links));
        }
        Err(error) => return Err(Error::Pack(error)),
    }
    let resolved = resolver.finish().map_err(Error::Pack)?;
    let linked = seen.links.finish(&resolved).map_err(Error::Links)?;
    Ok(Surveyed { resolved, notes: seen.notes, linked })
}

struct Seen<'a> {
    links: Links,
    notes: Notes,
    fault: Option<LinkError>,
    cancel: &'a Cancel,
}

impl Visitor for Seen<'_> {
    fn visit(&mut self, object: &Visited<'_>) -> ControlFlow<()> {
        if self.cancel.is_set() {
            return ControlFlow::Break(());
        }
        if let Err(fault) = self.links.visit(object) {
            self.fault = Some(fault);
            return ControlFlow::Break(());
        }
        self.notes.visit(object);
        ControlFlow::Continue(())
    }
}
