//! The replicated state machine of one partition: refs, manifests, repository records,
//! sessions, outcomes, audit lines. Pure: an entry and the group's rows go in, rows and
//! an answer come out, the same on every replica (S14).
//!
//! | file | decides |
//! |---|---|
//! | `session` | sessions, floors, how long outcomes are kept (S10, S11) |
//! | `push` | what becomes of a push as a whole (S11, S13, S15) |
//! | `verdict` | what becomes of each of its commands |
//! | `owners` | which nodes may be named as owners (S19, S20, S23) |
//! | `fence` | which nodes may not be newly named (S20) |
//! | `loss` | what becomes of copies that an owner has lost (S21) |
//! | `listing` | what listing a pack writes (S9, S18) |
//! | `ref_change` | what moving refs writes: the refs log, the grace of replaced tips (S24, S31) |
//! | `repository` | rows that follow the directory (S42, S43) |
//! | `claim` | who may compact, or drop objects of, a repository (S15, S35) |
//! | `swap` | packs that take the place of others, and when those go (S30, S35, S37) |
//! | `audit` | audit lines and their pruning (S41) |
//! | `query` | what readers ask |

mod audit;
mod claim;
pub mod entry;
mod error;
mod fence;
pub(crate) mod keys;
mod listing;
mod loss;
mod owners;
mod push;
pub mod query;
pub mod record;
mod ref_change;
mod repository;
mod rows;
mod session;
mod swap;
#[cfg(test)]
mod tests;
mod verdict;

use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::{LogTime, Version};
use prost::Message;

pub use claim::ClaimAnswer;
pub use entry::{Change, Entry};
pub use error::Error;
pub use fence::FenceAnswer;
pub use loss::LossAnswer;
pub use owners::OwnersAnswer;
pub use rows::{Rows, RowsMut};
pub use swap::SwapAnswer;

use record::GroupRow;

/// Feature level of this program: entries of a higher one are not understood (S49).
pub const FEATURE_LEVEL: u32 = 1;
/// How long outcomes stay after their session's close, log time (S11).
pub const OUTCOME_KEPT: Duration = Duration::from_secs(600);
/// How long a replaced tip stays wantable, log time (S24).
pub const WANT_GRACE: Duration = Duration::from_secs(60);
/// Changes that the refs log of a repository keeps (S31).
pub const REF_LOG_CHANGES_MAX: u64 = 10_000;
/// Rows that one entry removes at most while cleaning up; the next one goes on.
const SWEEP_ROWS_MAX: usize = 10_000;

/// Applies the entry `command` at `index` and returns the answer for its proposer.
///
/// # Errors
/// Only when the replica must stop: damaged rows, or an entry of a newer program.
pub fn apply(index: Version, command: &[u8], rows: &mut dyn RowsMut) -> Result<Bytes, Error> {
    let (entry, change) = Entry::parse(command)?;
    let mut group = query::group(rows)?;
    group.log_time = group.log_time.max(entry.log_time);
    group.grants_version = group.grants_version.max(entry.grants_version);
    let mut scope = Scope { rows, index, group, wall_millis: entry.wall_millis };
    let answer = dispatch(&mut scope, change)?;
    let group = scope.group;
    rows::store(scope.rows, keys::group(), &group);
    Ok(answer)
}

/// What every change works on.
struct Scope<'a> {
    rows: &'a mut dyn RowsMut,
    /// The entry's log index: the version of all that it changes.
    index: Version,
    group: GroupRow,
    wall_millis: u64,
}

impl Scope<'_> {
    fn log_time(&self) -> LogTime {
        LogTime(self.group.log_time)
    }
}

fn dispatch(scope: &mut Scope<'_>, change: Change) -> Result<Bytes, Error> {
    match change {
        Change::OpenSession(open) => {
            session::expire(scope)?;
            session::open(scope, &open).map(|answer| answer.encode_to_vec().into())
        }
        Change::CloseSession(close) => {
            session::close(scope, &close)?;
            session::expire(scope)?;
            Ok(Bytes::new())
        }
        Change::RaiseFloors(floors) => quiet(session::raise_floors(scope, &floors)),
        Change::UpdateRefs(update) => {
            ref_change::end_graces(scope)?;
            push::update_refs(scope, update)
        }
        Change::Refuse(refuse) => push::refuse(scope, &refuse),
        Change::PutRepositories(put) => quiet(repository::put(scope, put)),
        Change::ShowIncarnation(shown) => quiet(owners::show_incarnation(scope, &shown)),
        Change::ChangeOwners(change) => {
            owners::change(scope, &change).map(|answer| answer.encode_to_vec().into())
        }
        Change::Fence(fence) => {
            fence::set(scope, &fence).map(|answer| answer.encode_to_vec().into())
        }
        Change::AcceptLoss(accept) => {
            owners::accept_loss(scope, &accept).map(|answer| answer.encode_to_vec().into())
        }
        Change::LoseCopies(lost) => {
            loss::note(scope, &lost).map(|answer| answer.encode_to_vec().into())
        }
        Change::OpenClaim(open) => {
            claim::open(scope, &open).map(|answer| answer.encode_to_vec().into())
        }
        Change::CloseClaim(close) => quiet(claim::close(scope, &close)),
        Change::Swap(swap) => swap::swap(scope, swap).map(|answer| answer.encode_to_vec().into()),
        Change::Purge(purge) => quiet(swap::purge(scope, &purge)),
        Change::Tick(_) => {
            ref_change::end_graces(scope)?;
            quiet(session::expire(scope))
        }
        Change::PruneAudit(prune) => quiet(audit::prune(scope, &prune)),
        Change::RaiseFeatureLevel(raise) => {
            scope.group.feature_level = scope.group.feature_level.max(raise.level);
            Ok(Bytes::new())
        }
    }
}

/// The answer of a change that has nothing to say.
fn quiet(done: Result<(), Error>) -> Result<Bytes, Error> {
    done.map(|()| Bytes::new())
}
