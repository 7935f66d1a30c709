use bytes::{Bytes, BytesMut};
use gitstratum_git::pktline::{Decoder, Limits, Packet};
use tokio::time::timeout_at;

use super::pace::Pace;
use super::{Input, InputError};
use crate::Error;

/// Packets of a client, one by one; what follows the last one taken stays buffered.
///
/// A client may be silent before a message as long as [`Input`] lets it; once it has begun
/// one (a command, a round of negotiation, what a push asks for), it has to go on at a pace.
#[derive(Debug, Default)]
pub(crate) struct Packets {
    decoder: Decoder,
    buffer: BytesMut,
    /// Of the message under way; none before its first byte.
    pace: Option<Pace>,
}

impl Packets {
    /// A reader at the start of a stream.
    pub(crate) fn new() -> Self {
        Self { decoder: Decoder::new(Limits::default()), buffer: BytesMut::new(), pace: None }
    }

    /// The client's message is complete: it may think before its next one.
    pub(crate) fn end_message(&mut self) {
        self.pace = None;
    }

    /// What follows the last packet taken, as far as it has come.
    pub(crate) fn into_rest(self) -> Bytes {
        self.buffer.freeze()
    }

    /// The next packet; `None` when the stream ends between two packets.
    ///
    /// # Errors
    /// When the framing is broken, the client is silent, drips or breaks off.
    pub(crate) async fn next(&mut self, input: &mut Input) -> Result<Option<Packet>, Error> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.buffer)? {
                return Ok(Some(packet));
            }
            if !self.fill(input).await? {
                self.decoder.finish(&self.buffer)?;
                return Ok(None);
            }
        }
    }

    /// Waits for more bytes; false at the end.
    async fn fill(&mut self, input: &mut Input) -> Result<bool, InputError> {
        let Some(mut pace) = self.pace else {
            let more = input.fill(&mut self.buffer).await?;
            self.pace = Some(Pace::begin(input));
            return Ok(more);
        };
        loop {
            if let Ok(filled) = timeout_at(pace.until, input.fill(&mut self.buffer)).await {
                return filled;
            }
            pace = pace.renewed(input)?;
            self.pace = Some(pace);
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

    /// Pieces that come one by one, each after a pause.
    fn paced(piece: &'static [u8], count: usize, pause: Duration) -> Input {
        let pieces = futures::stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(pause).await;
            io::Result::Ok(Bytes::from_static(piece))
        });
        Input::new(pieces.boxed(), Duration::from_secs(60), u64::MAX)
    }

    #[tokio::test(start_paused = true)]
    async fn bad_input_005_a_client_that_drips_is_cut() {
        let mut input = paced(b"1", 1_000, Duration::from_secs(20));
        let began = tokio::time::Instant::now();
        let error = Packets::new().next(&mut input).await.unwrap_err();
        assert!(error.is_idle(), "{error}");
        // The first byte starts the clock.
        assert_eq!(began.elapsed(), Duration::from_secs(80));
    }

    #[tokio::test(start_paused = true)]
    async fn bad_input_005_whole_packets_can_drip_too() {
        let mut input = paced(b"0005x", 1_000, Duration::from_secs(50));
        let mut packets = Packets::new();
        let began = tokio::time::Instant::now();
        while packets.next(&mut input).await.is_ok() {}
        assert!(began.elapsed() <= Duration::from_secs(120), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn p_l4_a_weak_line_is_not_cut() {
        // 32 KiB every 30 s.
        let piece = b"0008text".repeat(4_096).leak();
        let mut input = paced(piece, 100, Duration::from_secs(30));
        let mut packets = Packets::new();
        for _ in 0..100 * 4_096 {
            assert!(packets.next(&mut input).await.unwrap().is_some());
        }
        assert_eq!(packets.next(&mut input).await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_think_between_two_messages() {
        let mut input = paced(b"0005x0000", 100, Duration::from_secs(59));
        let mut packets = Packets::new();
        for _ in 0..100 {
            assert!(packets.next(&mut input).await.unwrap().is_some());
            assert_eq!(packets.next(&mut input).await.unwrap(), Some(Packet::Flush));
            packets.end_message();
        }
        assert_eq!(packets.next(&mut input).await.unwrap(), None);
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
