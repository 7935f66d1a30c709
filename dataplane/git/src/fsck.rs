//! Whether an object may enter a repository: git's fsck rules, message by
//! message, at the severities that `receive.fsckObjects` gives them, raised as
//! `promises.md` §5 says.
//!
//! [`check`] judges one object by itself. A [`Session`] judges all objects of a
//! push, and the blobs that their trees name `.gitmodules` or `.gitattributes`,
//! wherever those come. Links between objects are for
//! [`Links`](crate::pack::Links).
//!
//! Stricter than stock git 2.39 on purpose, each tested: a mode of no type that
//! git knows (`unknownFilemode`), more than 1,024 parents (`tooManyParents`),
//! headers beyond 1 MiB (`headerTooLarge`), a signature without its end
//! (`badGpgsig`), a time zone beyond 24 hours (`badTimezone`), a date with a sign,
//! in the next line or with spaces and zeros before it (`badDate`,
//! `zeroPaddedDate`, as newer git), more than 1 M tree entries (`treeTooLarge`), a
//! submodule path with a control character (`gitmodulesPath`), `.gitmodules`
//! beyond 4 MiB (`gitmodulesLarge`) or behind a byte-order mark, which git's check
//! of blobs stumbles over and its clients do not. Milder: `largePathname` stays a
//! warning.

mod commit;
mod dot_name;
mod gitattributes;
mod gitmodules;
mod headers;
mod ident;
mod message;
mod report;
mod session;
mod tag;
mod tree;
mod tree_order;

pub use dot_name::{DotName, dot_names};
pub use message::{MessageId, Severity};
pub use report::{Finding, Options};
pub use session::{Report, Session, SpecialBlob, SpecialKind};

use std::ops::ControlFlow;

use gitstratum_core::{ObjectFormat, ObjectKind};

use self::report::Findings;

/// Parents of a commit.
pub const PARENTS_MAX: usize = 1024;
/// Bytes of a commit's or tag's headers.
pub const HEADERS_LEN_MAX: usize = 1 << 20;
/// Entries of a tree.
pub const TREE_ENTRIES_MAX: usize = 1_000_000;
/// Bytes of a tree entry's name that pass without a warning.
pub const NAME_LEN_MAX: usize = 4096;
/// Bytes of a `.gitmodules` file.
pub const GITMODULES_LEN_MAX: u64 = 4 << 20;
/// Bytes of a `.gitattributes` file.
pub const GITATTRIBUTES_LEN_MAX: u64 = 100 << 20;
/// Bytes of a line of a `.gitattributes` file, less one.
pub const GITATTRIBUTES_LINE_LEN_MAX: usize = 2048;

/// What is wrong with one object by itself, the gravest last for commits and
/// tags: like git, it does not look further after the first error. Blobs are
/// never wrong by themselves.
pub fn check(
    kind: ObjectKind,
    format: ObjectFormat,
    content: &[u8],
    options: &Options,
) -> Vec<Finding> {
    let mut findings = Findings::new(options);
    // A check ends early exactly when it has found an error; the finding tells.
    let _ended = match kind {
        ObjectKind::Blob => ControlFlow::Continue(()),
        ObjectKind::Commit => commit::check(format, content, &mut findings),
        ObjectKind::Tag => tag::check(format, content, &mut findings),
        ObjectKind::Tree => {
            tree::check(format, content, &mut findings);
            ControlFlow::Continue(())
        }
    };
    findings.into_vec()
}

/// What is wrong with the content of a blob that some tree names
/// `.gitmodules` or `.gitattributes`.
pub fn check_special(kind: SpecialKind, content: &[u8], options: &Options) -> Vec<Finding> {
    let mut findings = Findings::new(options);
    match kind {
        SpecialKind::Gitmodules => gitmodules::check(content, &mut findings),
        SpecialKind::Gitattributes => gitattributes::check(content, &mut findings),
    }
    findings.into_vec()
}

#[cfg(test)]
mod tests;
