use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gitstratum_core::{PackId, SegmentId};
use gitstratum_git::part::{Kind, Piece};
use gitstratum_git::{graph, index, table};
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{Error, Reader};
use crate::bulk::Span;
use crate::manifest::Pack;

/// A part that has been read and checked.
#[derive(Clone)]
enum Loaded {
    Index(Arc<index::Reader>),
    Graph(Arc<graph::Reader>),
    Table(Arc<table::Reader>),
}

type Key = (PackId, Kind);
/// A part and its bytes.
type Weighed = (Loaded, u32);
/// One read of a part, for all who ask meanwhile.
type Flight = Arc<OnceCell<Result<Weighed, Error>>>;

/// Parts by pack and kind. Concurrent askers of one part share its read.
pub(super) struct PartCache {
    held: Cache<Key, Weighed>,
    /// As many as there are askers at most.
    flights: Mutex<HashMap<Key, Flight>>,
}

impl PartCache {
    pub(super) fn new(capacity: u64) -> Self {
        let weigh = |_: &Key, held: &Weighed| held.1;
        let held = Cache::builder().max_capacity(capacity).weigher(weigh).build();
        Self { held, flights: Mutex::default() }
    }

    /// What is held as `key`, or what `load` gives to all who ask for it now.
    async fn get(
        &self,
        key: Key,
        load: impl Future<Output = Result<Weighed, Error>>,
    ) -> Result<Loaded, Error> {
        if let Some((loaded, _)) = self.held.get(&key) {
            return Ok(loaded);
        }
        let flight = Arc::clone(self.flights.lock().entry(key).or_default());
        let seat = Seat { cache: self, key, flight: Some(flight) };
        let weighed = seat.flight().get_or_init(|| load).await.clone()?;
        self.held.insert(key, weighed.clone());
        Ok(weighed.0)
    }
}

/// The place of one asker in a flight, which is forgotten with its last one.
struct Seat<'a> {
    cache: &'a PartCache,
    key: Key,
    /// Until it is dropped.
    flight: Option<Flight>,
}

impl Seat<'_> {
    fn flight(&self) -> &Flight {
        self.flight.as_ref().expect("because only its end takes it")
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        // Let go under the lock: of two that end at once the second has to see that it is the last.
        let mut flights = self.cache.flights.lock();
        let Some(flight) = self.flight.take() else { return };
        let (is_loaded, asked) = (flight.initialized(), Arc::downgrade(&flight));
        drop(flight);
        let is_over = |held: &Flight| {
            Arc::downgrade(held).ptr_eq(&asked) && (is_loaded || Arc::strong_count(held) == 1)
        };
        if flights.get(&self.key).is_some_and(is_over) {
            flights.remove(&self.key);
        }
    }
}

impl Reader {
    /// The index of `pack`.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub async fn index(&self, pack: &Arc<Pack>) -> Result<Arc<index::Reader>, Error> {
        let loaded = self.part(pack, Kind::Index, |bytes| {
            let reader =
                index::Reader::open(pack.id, bytes).map_err(|e| broken(pack, Kind::Index, e))?;
            Ok(Loaded::Index(Arc::new(reader)))
        });
        match loaded.await? {
            Loaded::Index(reader) => Ok(reader),
            Loaded::Graph(_) | Loaded::Table(_) => Err(mixed_up(pack)),
        }
    }

    /// The commit graph part of `pack`, from its manifest row when it rides there (S6).
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub async fn graph(&self, pack: &Arc<Pack>) -> Result<Arc<graph::Reader>, Error> {
        let loaded = self.part(pack, Kind::Graph, |bytes| {
            let reader =
                graph::Reader::open(pack.id, bytes).map_err(|e| broken(pack, Kind::Graph, e))?;
            Ok(Loaded::Graph(Arc::new(reader)))
        });
        match loaded.await? {
            Loaded::Graph(reader) => Ok(reader),
            Loaded::Index(_) | Loaded::Table(_) => Err(mixed_up(pack)),
        }
    }

    /// The commit table of `pack`.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub async fn table(&self, pack: &Arc<Pack>) -> Result<Arc<table::Reader>, Error> {
        let loaded = self.part(pack, Kind::Table, |bytes| {
            let reader =
                table::Reader::open(pack.id, bytes).map_err(|e| broken(pack, Kind::Table, e))?;
            Ok(Loaded::Table(Arc::new(reader)))
        });
        match loaded.await? {
            Loaded::Table(reader) => Ok(reader),
            Loaded::Index(_) | Loaded::Graph(_) => Err(mixed_up(pack)),
        }
    }

    async fn part(
        &self,
        pack: &Arc<Pack>,
        kind: Kind,
        open: impl FnOnce(Bytes) -> Result<Loaded, Error>,
    ) -> Result<Loaded, Error> {
        let load = async {
            let bytes = self.part_bytes(pack, kind).await?;
            let weight = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            Ok::<_, Error>((open(bytes)?, weight))
        };
        self.parts.get((pack.id, kind), load).await
    }

    async fn part_bytes(&self, pack: &Arc<Pack>, kind: Kind) -> Result<Bytes, Error> {
        if kind == Kind::Graph && !pack.inline_graph.is_empty() {
            return Ok(pack.inline_graph.clone());
        }
        let part = pack
            .part(kind)
            .ok_or(Error::Manifest { pack: pack.id, problem: "has no such part" })?;
        let length: u64 = part.pieces.iter().map(|piece| piece.len).sum();
        // An index is as large as all else that a request holds: it is held once.
        let mut whole = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
        for (segment, spans) in runs(&part.pieces) {
            self.gather(pack, (segment, spans), &mut whole).await?;
        }
        Ok(whole.freeze())
    }
}

/// Consecutive pieces of one segment, read in one call.
fn runs(pieces: &[Piece]) -> Vec<(SegmentId, Vec<Span>)> {
    let mut runs: Vec<(SegmentId, Vec<Span>)> = Vec::new();
    for piece in pieces {
        let span = Span { offset: piece.offset, length: piece.len };
        match runs.last_mut() {
            Some((segment, spans)) if *segment == piece.segment => spans.push(span),
            _ => runs.push((piece.segment, vec![span])),
        }
    }
    runs
}

fn broken(pack: &Pack, kind: Kind, error: impl Display) -> Error {
    Error::Part { pack: pack.id, kind, message: error.to_string() }
}

fn mixed_up(pack: &Pack) -> Error {
    Error::Manifest { pack: pack.id, problem: "holds one part under another's kind" }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::join;
    use gitstratum_core::ObjectFormat;

    use super::*;

    const KEY: Key = (PackId([1; 16]), Kind::Graph);

    fn graph() -> Weighed {
        let part = graph::Builder::new(KEY.0, ObjectFormat::Sha1).finish().unwrap();
        (Loaded::Graph(Arc::new(graph::Reader::open(KEY.0, part).unwrap())), 1)
    }

    #[tokio::test]
    async fn askers_share_a_read_and_its_failure_and_the_next_one_reads_anew() {
        let cache = PartCache::new(1_000);
        let fails = async {
            tokio::task::yield_now().await;
            Err(Error::Interrupted)
        };
        let other = async { panic!("one read is under way") };
        let (one, two) = join(cache.get(KEY, fails), cache.get(KEY, other)).await;
        assert!(one.is_err() && two.is_err());
        assert!(cache.get(KEY, async { Ok(graph()) }).await.is_ok());
        let none = async { panic!("it is held") };
        assert!(cache.get(KEY, none).await.is_ok());
        assert!(cache.flights.lock().is_empty());
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_any_more_is_forgotten() {
        let cache = PartCache::new(1_000);
        let never = std::future::pending();
        assert!(cache.get(KEY, never).now_or_never().is_none());
        assert!(cache.flights.lock().is_empty());
    }
}
