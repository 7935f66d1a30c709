use bytes::{Buf, Bytes, BytesMut};
use futures::Stream;
use gitstratum_core::{ErrorKind, NodeId};
use gitstratum_proto::bulk::{FRAME_HEADER_BYTES, FrameHeader};

use super::error::parse_kind;
use super::pool::Answer;
use super::{Chunk, Error, Span};

/// A body as it comes.
pub(super) trait Body {
    /// The next bytes; `None` at its end.
    fn next_data(&mut self) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;
}

impl Body for Answer {
    fn next_data(&mut self) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send {
        Self::next_data(self)
    }
}

/// The answer's frames as chunks of the asked ranges. Ends with an error unless every
/// range came whole.
pub(super) fn chunks(
    node: NodeId,
    answer: impl Body,
    ranges: Vec<Span>,
) -> impl Stream<Item = Result<Chunk, Error>> {
    let reader = Reader { node, answer, buffer: BytesMut::new(), cursor: Cursor::new(ranges) };
    futures::stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(chunk)) => Some((Ok(chunk), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

struct Reader<B> {
    node: NodeId,
    answer: B,
    buffer: BytesMut,
    cursor: Cursor,
}

impl<B: Body> Reader<B> {
    async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        let Some(header) = self.header().await? else { return Ok(None) };
        let length = usize::try_from(header.length).expect("because a frame is at most 1 MiB");
        if !self.fill(length).await? {
            return Err(self.broken("ends inside a frame"));
        }
        let payload = self.buffer.split_to(length).freeze();
        if crc32c::crc32c(&payload) != header.checksum {
            return Err(self.broken("frame checksum does not match"));
        }
        if header.is_error {
            return Err(self.refusal(&payload));
        }
        match self.cursor.take(header.length) {
            Some(range) => Ok(Some(Chunk { range, bytes: payload })),
            None => Err(self.broken("frame does not fit the ranges asked for")),
        }
    }

    async fn header(&mut self) -> Result<Option<FrameHeader>, Error> {
        if !self.fill(FRAME_HEADER_BYTES).await? {
            let complete = self.buffer.is_empty() && self.cursor.is_done();
            return if complete {
                Ok(None)
            } else {
                Err(self.broken("ends before its last range"))
            };
        }
        let mut bytes = [0; FRAME_HEADER_BYTES];
        self.buffer.copy_to_slice(&mut bytes);
        FrameHeader::decode(bytes).map(Some).ok_or_else(|| self.broken("frame is too long"))
    }

    /// Reads until `length` bytes are buffered; false when the body ends before.
    async fn fill(&mut self, length: usize) -> Result<bool, Error> {
        while self.buffer.len() < length {
            match self.answer.next_data().await? {
                Some(data) => self.buffer.extend_from_slice(&data),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn broken(&self, problem: &'static str) -> Error {
        Error::Frame { node: self.node, problem }
    }

    fn refusal(&self, payload: &Bytes) -> Error {
        let text = String::from_utf8_lossy(payload);
        let (word, message) = text.split_once(' ').unwrap_or((&text, ""));
        let kind = parse_kind(word).unwrap_or(ErrorKind::Unavailable);
        Error::Refused { node: self.node, kind, message: message.to_owned() }
    }
}

/// Where in the asked ranges the next byte belongs.
struct Cursor {
    ranges: Vec<Span>,
    range: usize,
    done: u64,
}

impl Cursor {
    fn new(ranges: Vec<Span>) -> Self {
        let mut cursor = Self { ranges, range: 0, done: 0 };
        cursor.skip_finished();
        cursor
    }

    /// The range that the next `length` bytes belong to; `None` when they do not fit it.
    fn take(&mut self, length: u32) -> Option<usize> {
        let span = self.ranges.get(self.range)?;
        let done = self.done + u64::from(length);
        if length == 0 || done > span.length {
            return None;
        }
        let range = self.range;
        self.done = done;
        self.skip_finished();
        Some(range)
    }

    fn skip_finished(&mut self) {
        while self.ranges.get(self.range).is_some_and(|span| span.length == self.done) {
            self.range += 1;
            self.done = 0;
        }
    }

    fn is_done(&self) -> bool {
        self.range == self.ranges.len()
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    const PAYLOAD: &[u8] = b"what was asked for";

    /// A body that comes in pieces of three bytes.
    struct Pieces(Vec<u8>);

    impl Body for Pieces {
        async fn next_data(&mut self) -> Result<Option<Bytes>, Error> {
            let rest = self.0.split_off(self.0.len().min(3));
            let piece = std::mem::replace(&mut self.0, rest);
            Ok((!piece.is_empty()).then(|| piece.into()))
        }
    }

    async fn read(body: Vec<u8>) -> Result<Vec<u8>, Error> {
        let span = Span { offset: 0, length: PAYLOAD.len() as u64 };
        let chunks = chunks(NodeId(1), Pieces(body), vec![span]);
        let all: Vec<Result<Chunk, Error>> = chunks.collect().await;
        let all: Result<Vec<Chunk>, Error> = all.into_iter().collect();
        Ok(all?.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect())
    }

    #[tokio::test]
    async fn s50_a_frame_of_which_a_bit_changed_on_the_way_or_that_is_cut_is_an_error() {
        let length = u32::try_from(PAYLOAD.len()).unwrap();
        let header = FrameHeader::of_data(length, crc32c::crc32c(PAYLOAD)).encode();
        let frame = [&header[..], PAYLOAD].concat();
        assert_eq!(read(frame.clone()).await.unwrap(), PAYLOAD);
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(read(changed).await.is_err(), "bit {bit}");
        }
        for end in 0..frame.len() {
            assert!(read(frame[..end].to_vec()).await.is_err(), "cut at {end}");
        }
    }

    #[test]
    fn bytes_are_assigned_to_ranges_in_order_and_never_cross() {
        let span = |length| Span { offset: 0, length };
        let mut cursor = Cursor::new(vec![span(0), span(5), span(3)]);
        assert_eq!(cursor.take(2), Some(1));
        assert_eq!(cursor.take(4), None);
        assert_eq!(cursor.take(3), Some(1));
        assert!(!cursor.is_done());
        assert_eq!(cursor.take(3), Some(2));
        assert!(cursor.is_done());
        assert_eq!(cursor.take(1), None);
    }
}
