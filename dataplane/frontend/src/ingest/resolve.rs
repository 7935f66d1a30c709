//! The pack's second pass: deltas resolved, bases from outside read as they are needed.

use std::sync::Arc;

use gitstratum_client::objects::Location;
use gitstratum_core::ObjectId;
use gitstratum_git::pack::{self, ExternalBase, Limits, Resolved, Resolver, Scanned, Step};

use super::annex::Annex;
use super::cancel::{Cancel, blocking};
use super::inspect::Inspector;
use super::memory::{Memory, Room};
use super::receive::rescan;
use super::{Against, Arrived, Error, Spool};

/// Bytes of bases read in one round, unless one alone has more.
const BASES_BYTES_AT_ONCE: u64 = 8 * 1024 * 1024;
/// Times that a pack is resolved from its start: the first time as if no delta made a large
/// object, then with more and more room for them.
const PASSES_MAX: u32 = 6;
/// So many times the room for large objects grows at least.
const ROOM_GROWTH: u64 = 8;

/// A pack of which every object is known.
pub(super) struct Resolution {
    pub(super) resolved: Resolved,
    pub(super) inspector: Inspector,
    pub(super) spool: Arc<Spool>,
    pub(super) annex: Annex,
    pub(super) limits: Limits,
}

/// Resolves a pack that has arrived.
///
/// # Errors
/// Whatever makes the pack unacceptable; [`Error::Missing`] for a base that is not there.
pub(super) async fn resolve(
    against: &Against<'_>,
    arrived: &mut Arrived,
) -> Result<Resolution, Error> {
    let config = &against.context.config;
    let (cache_max, object_max) = (config.delta_base_bytes_max, config.object_bytes_max);
    let mut wanted = None;
    for _ in 0..PASSES_MAX {
        let scanned = take_scanned(against, arrived).await?;
        let room = Room::of(&scanned.entries, arrived.pack_len, cache_max);
        let room = wanted.map_or(room, |object| room.for_object(object));
        arrived.memory.ensure(room.total()).await?;
        let pass = Pass::new(against, Arc::clone(&arrived.spool), scanned, room);
        match pass.run(&mut arrived.memory).await {
            Err(Error::Pack { source: pack::Error::ObjectTooLarge { size, limit, .. } })
                if limit == room.object && size <= object_max =>
            {
                wanted = Some(size.max(ROOM_GROWTH * room.object).min(object_max));
            }
            done => return done,
        }
    }
    Err(Error::Interrupted)
}

/// What the scan saw, from another scan if it was used up.
async fn take_scanned(against: &Against<'_>, arrived: &mut Arrived) -> Result<Scanned, Error> {
    if let Some(scanned) = arrived.scanned.take() {
        return Ok(scanned);
    }
    let (spool, pack_len) = (Arc::clone(&arrived.spool), arrived.pack_len);
    let (format, limits) = (against.format, against.context.limits());
    blocking(move || rescan(&spool, pack_len, format, limits)).await?
}

/// One try to resolve a pack from its start.
struct Pass<'a> {
    against: &'a Against<'a>,
    spool: Arc<Spool>,
    annex: Annex,
    limits: Limits,
    room: Room,
    cancel: Cancel,
    work: Option<Work>,
}

/// What moves to the blocking thread and back.
struct Work {
    resolver: Resolver,
    inspector: Inspector,
}

impl<'a> Pass<'a> {
    fn new(against: &'a Against<'a>, spool: Arc<Spool>, scanned: Scanned, room: Room) -> Self {
        let limits = against.context.limits();
        let limits = Limits {
            base_cache_bytes: room.cache(),
            object_bytes_max: room.object.min(limits.object_bytes_max),
            ..limits
        };
        let cancel = Cancel::default();
        let annex = Annex::new(Arc::clone(&spool), scanned.pack_len);
        let inspector = Inspector::new(against.format, &limits, cancel.clone());
        let resolver = Resolver::new(scanned, limits.clone());
        let work = Some(Work { resolver, inspector });
        Self { against, spool, annex, limits, room, cancel, work }
    }

    async fn run(mut self, memory: &mut Memory) -> Result<Resolution, Error> {
        let _cancelled_if_dropped = self.cancel.on_drop();
        while let Step::NeedBases(ids) = self.step().await? {
            self.provide(&ids, memory).await?;
        }
        let Work { resolver, inspector } = self.work.take().ok_or(Error::Interrupted)?;
        let resolved = blocking(move || resolver.finish()).await?.map_err(Error::pack)?;
        let Self { spool, annex, limits, .. } = self;
        Ok(Resolution { resolved, inspector, spool, annex, limits })
    }

    async fn step(&mut self) -> Result<Step, Error> {
        self.work(|work, spool| work.resolver.step(spool, &mut work.inspector)).await
    }

    /// Gives the resolver those of `ids` that are members; the others it finds missing.
    async fn provide(&mut self, ids: &[ObjectId], memory: &mut Memory) -> Result<(), Error> {
        let reader = &self.against.context.reader;
        let located = reader.locate(self.against.packs(), ids).await;
        let located = located.map_err(|source| Error::Objects { source })?;
        for batch in batches(located.into_iter().flatten()) {
            let bytes: u64 = batch.iter().map(|location| location.record.size).sum();
            memory.ensure(self.room.total() + 2 * bytes).await?;
            let objects = reader.read_located(self.against.packs(), batch).await;
            for (id, object) in objects.map_err(|source| Error::Objects { source })? {
                let (kind, content) = (object.kind, object.data.clone());
                self.annex.keep(id, kind, content.clone()).await?;
                let base = ExternalBase { id, kind, content };
                let provided = move |work: &mut Work, spool: &Spool| {
                    work.resolver.provide(&base, spool, &mut work.inspector)
                };
                self.work(provided).await?;
            }
        }
        Ok(())
    }

    /// Lets the resolver work on a blocking thread; a fault that the inspector found is the
    /// reason of its stop.
    async fn work<T: Send + 'static>(
        &mut self,
        step: impl FnOnce(&mut Work, &Spool) -> Result<T, pack::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let mut work = self.work.take().ok_or(Error::Interrupted)?;
        let spool = Arc::clone(&self.spool);
        let (mut work, done) = blocking(move || {
            let done = step(&mut work, &spool);
            (work, done)
        })
        .await?;
        let fault = work.inspector.take_fault();
        self.work = Some(work);
        match done {
            Err(pack::Error::Stopped) => Err(fault.unwrap_or(Error::Abandoned)),
            done => done.map_err(Error::pack),
        }
    }
}

/// Cuts what is to be read into runs of bounded bytes.
pub(super) fn batches(located: impl Iterator<Item = Location>) -> Vec<Vec<Location>> {
    let mut batches: Vec<Vec<Location>> = Vec::new();
    let mut bytes = 0;
    for location in located {
        bytes += location.record.size;
        match batches.last_mut() {
            Some(batch) if bytes <= BASES_BYTES_AT_ONCE => batch.push(location),
            _ => {
                bytes = location.record.size;
                batches.push(vec![location]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests;
