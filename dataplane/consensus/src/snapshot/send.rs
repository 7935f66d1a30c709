use bytes::Bytes;
use gitstratum_process::{Gone, Outlet, Produced, produce};
use gitstratum_store::{Reader, engine};

use super::{Digest, Source, place, walk};
use crate::error::Error;
use crate::meta::{META, Record};
use crate::{seal, wire};

/// Chunks read ahead of the peer: what one transfer holds in memory.
const CHUNKS_AHEAD: usize = 2;

/// The state as sealed chunks, read on a blocking thread as fast as they are taken. An
/// error is the last item. Dropping the receiver ends the reading.
pub(crate) fn stream(source: Source) -> Produced<Result<Bytes, Error>> {
    produce(CHUNKS_AHEAD, move |chunks| {
        let group = source.group;
        let viewed = source.engine.view(&mut |view| send(&source, view, chunks));
        if let Err(error) = viewed {
            let _last = chunks.put(Err(Error::Engine { group, source: error }));
        }
    })
}

fn send(
    source: &Source,
    view: &dyn Reader,
    chunks: &Outlet<Result<Bytes, Error>>,
) -> Result<(), engine::Error> {
    let mut cutter = Cutter { source, chunks, sequence: 0, rows: Vec::new(), bytes: 0 };
    match cutter.run(view) {
        Ok(()) | Err(Stop::Gone) => Ok(()),
        Err(Stop::Engine(error)) => Err(error),
        Err(Stop::Damaged(error)) => {
            let _last = chunks.put(Err(error));
            Ok(())
        }
    }
}

/// Why cutting ends early.
enum Stop {
    /// Nobody takes the chunks any more.
    Gone,
    Engine(engine::Error),
    Damaged(Error),
}

impl From<engine::Error> for Stop {
    fn from(error: engine::Error) -> Self {
        Self::Engine(error)
    }
}

struct Cutter<'a> {
    source: &'a Source,
    chunks: &'a Outlet<Result<Bytes, Error>>,
    sequence: u64,
    rows: Vec<wire::Row>,
    bytes: usize,
}

impl Cutter<'_> {
    fn run(&mut self, view: &dyn Reader) -> Result<(), Stop> {
        let group = self.source.group;
        let position = match view.get(META, &Record::Position.key(group))? {
            Some(sealed) => {
                Record::Position.open::<wire::Position>(group, &sealed).map_err(Stop::Damaged)?
            }
            None => wire::Position::default(),
        };
        let generation = position.generation;
        self.emit(wire::Chunk { position: Some(position), ..wire::Chunk::default() })?;
        let mut digest = Digest::default();
        walk(view, group, generation, |key, value| {
            digest.add(&key, &value);
            self.add(key, value)
        })?;
        self.emit_rows()?;
        self.emit(wire::Chunk { end: Some(digest.finish()), ..wire::Chunk::default() })
    }

    fn add(&mut self, key: Bytes, value: Bytes) -> Result<(), Stop> {
        self.bytes += key.len() + value.len();
        self.rows.push(wire::Row { key, value });
        if self.bytes >= self.source.chunk_bytes { self.emit_rows() } else { Ok(()) }
    }

    fn emit_rows(&mut self) -> Result<(), Stop> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        self.emit(wire::Chunk { rows, ..wire::Chunk::default() })
    }

    fn emit(&mut self, mut chunk: wire::Chunk) -> Result<(), Stop> {
        chunk.sequence = self.sequence;
        let sealed = seal::seal(&place(self.source.group, self.sequence), &chunk);
        self.sequence += 1;
        self.chunks.put(Ok(sealed)).map_err(|Gone| Stop::Gone)
    }
}
