use bytes::{Bytes, BytesMut};
use gitstratum_git::pktline::{Decoder, Limits, Packet};

use super::Input;
use crate::Error;

/// Packets of a client, one by one; what follows the last one taken stays buffered.
#[derive(Debug, Default)]
pub(crate) struct Packets {
    decoder: Decoder,
    buffer: BytesMut,
}

impl Packets {
    /// A reader at the start of a stream.
    pub(crate) fn new() -> Self {
        Self { decoder: Decoder::new(Limits::default()), buffer: BytesMut::new() }
    }

    /// What follows the last packet taken, as far as it has come.
    pub(crate) fn into_rest(self) -> Bytes {
        self.buffer.freeze()
    }

    /// The next packet; `None` when the stream ends between two packets.
    ///
    /// # Errors
    /// When the framing is broken, the client is silent or breaks off.
    pub(crate) async fn next(&mut self, input: &mut Input) -> Result<Option<Packet>, Error> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.buffer)? {
                return Ok(Some(packet));
            }
            if !input.fill(&mut self.buffer).await? {
                self.decoder.finish(&self.buffer)?;
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use futures::StreamExt as _;
    use gitstratum_core::ErrorKind;

    use super::*;

    fn input(pieces: &[&'static [u8]]) -> Input {
        let pieces: Vec<_> = pieces.iter().map(|p| io::Result::Ok(Bytes::from_static(p))).collect();
        Input::new(futures::stream::iter(pieces).boxed(), Duration::from_secs(1), u64::MAX)
    }

    #[tokio::test]
    async fn packets_are_put_together_from_any_pieces() {
        let mut input = input(&[b"00", b"06a", b"b00", b"00"]);
        let mut packets = Packets::new();
        let first = packets.next(&mut input).await.unwrap();
        assert_eq!(first, Some(Packet::Data(Bytes::from_static(b"ab"))));
        assert_eq!(packets.next(&mut input).await.unwrap(), Some(Packet::Flush));
        assert_eq!(packets.next(&mut input).await.unwrap(), None);
    }

    #[tokio::test]
    async fn bad_input_004_a_promise_that_is_not_kept_is_an_error() {
        let mut input = input(&[b"0010abc"]);
        let error = Packets::new().next(&mut input).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }

    #[tokio::test]
    async fn bad_input_003_a_length_is_refused_before_its_payload() {
        let endless = futures::stream::pending().boxed();
        let head = futures::stream::iter([io::Result::Ok(Bytes::from_static(b"fff1"))]);
        let stream = head.chain(endless).boxed();
        let mut input = Input::new(stream, Duration::from_secs(3_600), u64::MAX);
        let error = Packets::new().next(&mut input).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
