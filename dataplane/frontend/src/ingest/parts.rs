//! The parts of a pushed pack (S5–S8). Blocking, and pure but for reading trees from the
//! spool.

use gitstratum_core::PackId;
use gitstratum_git::pack::ReadFrom;
use gitstratum_git::parts::{self, Parts, Source};

use super::cancel::Cancel;
use super::check::Checked;
use super::ground::Ground;
use super::{Deadline, Error};

/// When to stop making rows of the commit table: absent rows are rebuilt when asked for.
#[derive(Clone)]
pub(super) struct Patience {
    pub(super) deadline: Deadline,
    pub(super) cancel: Cancel,
}

impl Patience {
    fn is_over(&self) -> bool {
        self.cancel.is_set() || self.deadline.has_passed()
    }
}

/// Makes the parts of `pack`.
///
/// # Errors
/// When the pack cannot be read back, or a part would be larger than its format can hold.
pub(super) fn build(
    pack: PackId,
    checked: &Checked,
    ground: &Ground,
    patience: &Patience,
) -> Result<Parts, Error> {
    let source = Source {
        resolved: &checked.resolved,
        from: ReadFrom { pack: checked.spool.as_ref(), bases: &checked.annex },
        limits: &checked.limits,
        strays: &checked.strays,
        commits: &checked.commits,
        tags: &checked.tags,
        shadowed: &ground.shadowed,
        outside: &ground.outside,
    };
    parts::build(pack, &source, &|| patience.is_over()).map_err(|error| match error {
        parts::Error::Part { kind, source } => Error::Part { kind, source },
        parts::Error::Pack(source) => Error::pack(source),
    })
}

#[cfg(test)]
mod tests;
