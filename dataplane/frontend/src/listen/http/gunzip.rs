use std::io;

use bytes::{Buf as _, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use futures::stream::{self, BoxStream, Stream, StreamExt as _};

/// Bytes inflated at a time: a bomb unfolds piece by piece, as far as it is read, and
/// whoever reads stops at its limit (bad input 103).
const PIECE_BYTES: usize = 32 * 1024;
/// Window of any gzip stream, as a power of two.
const WINDOW_BITS: u8 = 15;

type Pieces = BoxStream<'static, io::Result<Bytes>>;

struct Inflating {
    source: Pieces,
    inflate: Decompress,
    waiting: Bytes,
    ended: bool,
}

/// What the gzip stream `source` holds.
pub(super) fn gunzip(source: Pieces) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let inflate = Decompress::new_gzip(WINDOW_BITS);
    let state = Inflating { source, inflate, waiting: Bytes::new(), ended: false };
    stream::try_unfold(state, |mut state| async move {
        let piece = state.next().await?;
        Ok(piece.map(|piece| (piece, state)))
    })
}

impl Inflating {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if self.waiting.is_empty() {
                match self.source.next().await {
                    Some(more) => self.waiting = more?,
                    None if self.ended => return Ok(None),
                    None => return Err(io::ErrorKind::UnexpectedEof.into()),
                }
                continue;
            }
            if self.ended {
                return Err(bad("bytes after the gzip stream"));
            }
            let piece = self.inflate_piece()?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    fn inflate_piece(&mut self) -> io::Result<Bytes> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let before = self.inflate.total_in();
        let status = self
            .inflate
            .decompress_vec(&self.waiting, &mut piece, FlushDecompress::None)
            .map_err(|_| bad("damaged gzip stream"))?;
        let taken = usize::try_from(self.inflate.total_in() - before).unwrap_or(usize::MAX);
        if taken == 0 && piece.is_empty() && status != Status::StreamEnd {
            return Err(bad("damaged gzip stream"));
        }
        self.waiting.advance(taken.min(self.waiting.len()));
        self.ended = status == Status::StreamEnd;
        Ok(piece.into())
    }
}

fn bad(words: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use futures::TryStreamExt as _;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn pieces(bytes: Vec<u8>, size: usize) -> Pieces {
        let cut: Vec<_> = bytes.chunks(size).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        stream::iter(cut).boxed()
    }

    async fn all(source: Pieces) -> io::Result<Vec<u8>> {
        let pieces: Vec<Bytes> = gunzip(source).try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn gs_fe_02_a_gzip_body_is_read_in_any_pieces() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|n| (n % 251).to_be_bytes()).collect();
        for size in [1, 7, 1_000, 1_000_000] {
            assert_eq!(all(pieces(packed(&text), size)).await.unwrap(), text, "{size}");
        }
        assert!(all(pieces(packed(b""), 5)).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn bad_input_103_a_bomb_unfolds_no_faster_than_it_is_read() {
        let bomb = packed(&vec![0; 64 * 1024 * 1024]);
        assert!(bomb.len() < 100_000);
        let mut stream = gunzip(pieces(bomb, 100_000)).boxed();
        let first = stream.next().await.unwrap().unwrap();
        assert!(first.len() <= PIECE_BYTES);
    }

    #[tokio::test]
    async fn bad_input_103_damaged_cut_and_double_streams_are_errors() {
        let mut damaged = packed(b"hello");
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        assert!(all(pieces(damaged, 100)).await.is_err());
        let whole = packed(b"hello");
        let cut = whole[..whole.len() - 1].to_vec();
        assert!(all(pieces(cut, 100)).await.is_err());
        assert!(all(pieces([whole.clone(), whole].concat(), 1_000)).await.is_err());
        assert!(all(pieces(b"0000".to_vec(), 100)).await.is_err());
        assert!(all(pieces(Vec::new(), 1)).await.is_err());
    }
}
