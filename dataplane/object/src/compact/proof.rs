//! Before a swap is proposed every entry is read back from an owner, decoded and hashed (S36).

use std::sync::Arc;

use futures::StreamExt as _;
use gitstratum_client::manifest::Pack;
use gitstratum_client::objects::{PackSpan, Reader};
use gitstratum_git::pack::{Limits, PACK_HEADER_LEN, Resolved};

use super::Error;
use super::spool::{Cancel, Spool, blocking};
use super::survey::survey;

/// Bytes put into the spool at once.
const FLUSH_BYTES: usize = 4 * 1024 * 1024;

/// Reads `pack` back from its owners into `spool`, which is empty, and holds it against what it
/// was to be.
///
/// # Errors
/// [`Error::Differs`] when it is something else.
pub(super) async fn prove(
    reader: &Arc<Reader>,
    pack: &Arc<Pack>,
    (spool, limits): (Spool, Limits),
    expected: &Arc<Resolved>,
) -> Result<(), Error> {
    let spool = Arc::new(spool);
    let trailer = pack.trailer.len() as u64;
    let entries = pack.length.saturating_sub(PACK_HEADER_LEN as u64 + trailer);
    let span = PackSpan { offset: PACK_HEADER_LEN as u64, length: entries };
    put(&spool, 0, header(pack)).await?;
    let mut pieces = reader.stream_pack(Arc::clone(pack), vec![span]);
    let (mut at, mut held) = (PACK_HEADER_LEN as u64, Vec::new());
    while let Some(piece) = pieces.next().await {
        held.extend_from_slice(&piece?.1);
        if held.len() >= FLUSH_BYTES {
            let full = std::mem::take(&mut held);
            let len = full.len() as u64;
            put(&spool, at, full).await?;
            at += len;
        }
    }
    let len = at + held.len() as u64 + trailer;
    held.extend_from_slice(&pack.trailer);
    put(&spool, at, held).await?;
    if len != pack.length {
        return Err(Error::Differs { what: "its length" });
    }
    let index = reader.index(pack).await?;
    let (graph, table) = (reader.graph(pack).await?, reader.table(pack).await?);
    let cancel = Cancel::default();
    let _ended_if_dropped = cancel.on_drop();
    let (expected, format) = (Arc::clone(expected), pack.format);
    blocking(move || {
        let found = survey(&spool, len, (format, &limits), &cancel)?;
        if found.notes.commits.len() != graph.len() as usize || table.len() != graph.len() {
            return Err(Error::Differs { what: "its graph or table" });
        }
        if found.resolved.len() != expected.len()
            || index.counts().objects as usize != expected.len()
        {
            return Err(Error::Differs { what: "its number of objects" });
        }
        for (read, written) in found.resolved.iter().zip(expected.iter()) {
            let record = index.find(&read.id);
            let is_so = record.is_some_and(|record| {
                (record.offset, record.packed_len) == (read.offset, read.packed_len)
                    && record.flags.answers()
            });
            if read != written || !is_so {
                return Err(Error::Differs { what: "an object" });
            }
        }
        Ok(())
    })
    .await
}

async fn put(spool: &Arc<Spool>, at: u64, bytes: Vec<u8>) -> Result<(), Error> {
    let spool = Arc::clone(spool);
    blocking(move || spool.write_at(at, &bytes)).await
}

fn header(pack: &Pack) -> Vec<u8> {
    let mut header = b"PACK".to_vec();
    header.extend_from_slice(&pack.pack_version.to_be_bytes());
    header.extend_from_slice(&pack.object_count.to_be_bytes());
    header
}
