//! A push's pack on its way in: spooled and scanned while it arrives, resolved, judged,
//! held against what the repository has, cut into segments and stored on their owners.
//!
//! **Invariant**: nothing here changes a repository. What was stored is garbage until one
//! `UpdateRefs` lists it, and given up when that is not sent (S12). **Absence**: refs and
//! what may be done to them, the wire protocol.

mod annex;
mod cancel;
mod check;
mod error;
mod ground;
mod inspect;
mod memory;
mod parts;
mod receive;
mod resolve;
mod spool;
mod store;
#[cfg(test)]
pub(crate) mod testing;
mod tips;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub(crate) use gitstratum_client::cluster::Placement;
use gitstratum_client::manifest::Pack;
use gitstratum_client::objects::Reader;
use gitstratum_core::{Clock, ClusterId, Entropy, ObjectFormat, ObjectId};
use gitstratum_git::pack::{Limits, Scanned};
use gitstratum_process::ByteBudget;
use gitstratum_proto::metadata::v1::NewTarget;

use crate::Config;
use crate::conversation::{Input, Rounds};
use crate::frontend::Frontend;
use crate::view::View;
use cancel::blocking;
use check::Checked;
use memory::Memory;
use spool::Spool;

pub(crate) use error::{Error, MISSING};
pub(crate) use ground::{Copies, Ground};
pub(crate) use store::{Shelf, Stock};
pub(crate) use upload::{Begun, Nodes, Origins, Storage};

/// What taking in a pack works with.
pub(crate) struct Context {
    pub(crate) config: Config,
    /// Objects of the repository.
    pub(crate) reader: Arc<Reader>,
    /// Where segments go.
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) cluster: ClusterId,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Disk for spools (S17).
    pub(crate) spool_budget: ByteBudget,
    /// Memory of all pushes (P-L1).
    pub(crate) memory_budget: ByteBudget,
}

impl Context {
    /// What this frontend has.
    pub(crate) fn of(frontend: &Frontend) -> Self {
        Self {
            config: frontend.config.clone(),
            reader: Arc::clone(&frontend.reader),
            storage: Arc::clone(&frontend.storage),
            cluster: frontend.cluster,
            entropy: Arc::clone(&frontend.entropy),
            clock: Arc::clone(&frontend.clock),
            spool_budget: frontend.spool_budget.clone(),
            memory_budget: frontend.push_memory.clone(),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            pack_bytes_max: self.config.pack_bytes_max,
            objects_max: self.config.objects_max,
            object_bytes_max: self.config.object_bytes_max,
            base_cache_bytes: self.config.delta_base_bytes_max,
            ..Limits::default()
        }
    }

    fn deadline(&self, span: Duration) -> Deadline {
        Deadline { clock: Arc::clone(&self.clock), at: self.clock.monotonic() + span }
    }
}

/// A moment after which something is not worth its time any more.
#[derive(Clone)]
struct Deadline {
    clock: Arc<dyn Clock>,
    at: Duration,
}

impl Deadline {
    fn has_passed(&self) -> bool {
        self.clock.monotonic() >= self.at
    }
}

/// What a pack is checked against: one repository at one version.
#[derive(Clone)]
pub(crate) struct Against<'a> {
    pub(crate) context: &'a Context,
    pub(crate) format: ObjectFormat,
    pub(crate) view: Arc<View>,
}

impl<'a> Against<'a> {
    /// Where objects are members of the repository.
    fn packs(&self) -> &[Arc<Pack>] {
        &self.view.packs
    }

    /// The same repository at another version.
    pub(crate) fn at(&self, view: Arc<View>) -> Self {
        Self { context: self.context, format: self.format, view }
    }
}

/// A pack that has arrived, whole and well-formed. Its memory is given back with it.
pub(crate) struct Arrived {
    spool: Arc<Spool>,
    pack_len: u64,
    /// What the scan saw; gone once the pack was checked, and found again by another scan.
    scanned: Option<Scanned>,
    memory: Memory,
    objects: usize,
}

impl Arrived {
    /// Entries of the pack.
    pub(crate) fn objects(&self) -> usize {
        self.objects
    }
}

/// Takes a pack of `format` off `input`; `first` are its bytes that came before.
///
/// # Errors
/// As soon as it cannot be accepted. What the client still sends is not read.
pub(crate) async fn receive(
    context: &Context,
    format: ObjectFormat,
    input: &mut Input,
    first: Bytes,
    rounds: Rounds,
) -> Result<Arrived, Error> {
    let total = context.config.push_memory_bytes_max;
    let mut memory = Memory::new(context.memory_budget.clone(), total);
    let incoming = receive::Incoming { input, first, rounds };
    let received = receive::receive(context, incoming, format, &mut memory).await?;
    let receive::Received { spool, scanned } = received;
    let (pack_len, objects) = (scanned.pack_len, scanned.entries.len());
    Ok(Arrived { spool, pack_len, scanned: Some(scanned), memory, objects })
}

/// A pack that may enter its repository, if what it rests on is there and reachable.
pub(crate) struct Intake {
    checked: Arc<Checked>,
}

impl Intake {
    /// Resolves and judges a pack whose push moves refs to `tips`.
    ///
    /// # Errors
    /// Whatever makes it unacceptable. [`Error::Missing`] is all that is said of objects
    /// that are not there.
    pub(crate) async fn check(
        against: &Against<'_>,
        arrived: &mut Arrived,
        tips: &[ObjectId],
    ) -> Result<Self, Error> {
        let resolution = resolve::resolve(against, arrived).await?;
        let tips = tips.to_vec();
        let unjudged = blocking(move || check::check(resolution, &tips)).await??;
        let check::Unjudged { mut checked, mut fsck, pending } = unjudged;
        if !pending.is_empty() {
            ground::judge_outside(against, &mut fsck, pending).await?;
        }
        checked.warnings = fsck.reports().iter().map(ToString::to_string).collect();
        Ok(Self { checked: Arc::new(checked) })
    }

    /// What git's rules find and do not refuse.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.checked.warnings
    }

    /// Whether nothing in it is worth storing.
    pub(crate) fn is_worthless(&self) -> bool {
        self.checked.is_worthless()
    }

    /// Looks what the repository has of it and around it.
    ///
    /// # Errors
    /// [`Error::Missing`] for what is not there, a collision for what is there and different.
    pub(crate) async fn survey(
        &self,
        against: &Against<'_>,
        copies: Copies,
    ) -> Result<Ground, Error> {
        ground::survey(against, &self.checked, copies).await
    }

    /// What the leader is told of `tips`.
    ///
    /// # Errors
    /// When a tag outside the pack cannot be read.
    pub(crate) async fn targets(
        &self,
        against: &Against<'_>,
        tips: &[ObjectId],
    ) -> Result<Vec<NewTarget>, Error> {
        tips::targets(against, &self.checked, tips).await
    }
}
