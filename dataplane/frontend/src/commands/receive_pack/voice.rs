use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gitstratum_git::protocol::receive_pack::{Reporter, Verdict};
use tokio::time::{Instant, interval_at};

use crate::Error;
use crate::conversation::{Output, Reads};
use crate::ingest;

/// A client that waits gets a sign of life so often (promises §6).
const SIGN_EVERY: Duration = Duration::from_secs(5);
/// Most bytes handed to the connection at once.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// What is said to the client of a push, and whether it still listens.
pub(super) struct Voice<'a> {
    output: &'a mut Output,
    reporter: Reporter,
}

/// Whether a client is told that we live while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signs {
    /// It is sending, and knows.
    None,
    /// It waits for us.
    OfLife,
}

impl<'a> Voice<'a> {
    pub(super) fn new(output: &'a mut Output, reporter: Reporter) -> Self {
        Self { output, reporter }
    }

    /// A line of progress.
    pub(super) async fn progress(&mut self, text: &str) -> Result<(), ingest::Error> {
        let mut out = BytesMut::new();
        self.reporter.progress(text, &mut out);
        self.send(out).await.map_err(|_| ingest::Error::Abandoned)
    }

    /// A line that is read even when quiet.
    pub(super) async fn notice(&mut self, text: &str) -> Result<(), Error> {
        let mut out = BytesMut::new();
        self.reporter.notice(text, &mut out);
        self.send(out).await
    }

    /// The report, which ends what we say.
    pub(super) async fn report(
        &mut self,
        unpack: Result<(), &str>,
        verdicts: impl IntoIterator<Item = Verdict<'_>>,
    ) -> Result<(), Error> {
        let mut out = BytesMut::new();
        self.reporter.report(unpack, verdicts, &mut out);
        // Nothing can be said in the midst of it, and nobody listens after it.
        self.output.set_reads(Reads::Content);
        self.send(out).await
    }

    /// Last words in place of a report.
    pub(super) async fn fatal(&mut self, text: &str) -> Result<(), Error> {
        let mut out = BytesMut::new();
        self.reporter.fatal(text, &mut out);
        self.send(out).await
    }

    /// Runs `work` while the client listens; it is dropped when the client goes.
    pub(super) async fn during<T>(
        &mut self,
        signs: Signs,
        work: impl Future<Output = Result<T, ingest::Error>>,
    ) -> Result<T, ingest::Error> {
        let mut work = pin!(work);
        let mut sign = interval_at(Instant::now() + SIGN_EVERY, SIGN_EVERY);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.output.closed() => return Err(ingest::Error::Abandoned),
                _ = sign.tick(), if signs == Signs::OfLife => {
                    self.sign().await.map_err(|_| ingest::Error::Abandoned)?;
                }
            }
        }
    }

    /// Runs `work` to its end whether the client listens or not: its outcome is real.
    pub(super) async fn run_to_end<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut sign = interval_at(Instant::now() + SIGN_EVERY, SIGN_EVERY);
        loop {
            let told = tokio::select! {
                biased;
                done = &mut work => return done,
                _ = sign.tick() => self.sign().await,
            };
            if told.is_err() {
                return work.await;
            }
        }
    }

    async fn sign(&mut self) -> Result<(), Error> {
        let mut out = BytesMut::new();
        self.reporter.keep_alive(&mut out);
        self.send(out).await
    }

    async fn send(&mut self, out: BytesMut) -> Result<(), Error> {
        let mut rest: Bytes = out.freeze();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES_MAX));
            self.output.send(piece).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_git::pktline::SideBand;
    use gitstratum_git::protocol::receive_pack::Capabilities;
    use tokio::sync::mpsc;

    use super::*;

    fn channel() -> (Output, mpsc::Receiver<Bytes>, Reporter) {
        let (output, pieces) = Output::channel(Duration::from_secs(60));
        let asked = Capabilities { side_band: SideBand::Large, ..Capabilities::default() };
        (output, pieces, Reporter::new(&asked))
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_client_gets_a_sign_of_life_every_five_seconds() {
        let (mut output, mut pieces, reporter) = channel();
        let mut voice = Voice::new(&mut output, reporter);
        let work = async {
            tokio::time::sleep(Duration::from_secs(17)).await;
            Ok(7)
        };
        assert_eq!(voice.during(Signs::OfLife, work).await.unwrap(), 7);
        let slow = async { tokio::time::sleep(Duration::from_secs(6)).await };
        voice.run_to_end(slow).await;
        drop(output);
        let mut signs = 0;
        while let Some(piece) = pieces.recv().await {
            assert_eq!(piece, &b"0005\x01"[..]);
            signs += 1;
        }
        assert_eq!(signs, 3 + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_with_its_client_but_what_is_sent_does_not() {
        let (mut output, pieces, reporter) = channel();
        drop(pieces);
        let mut voice = Voice::new(&mut output, reporter);
        let endless = std::future::pending::<Result<(), ingest::Error>>();
        let ended = voice.during(Signs::None, endless).await;
        assert!(matches!(ended, Err(ingest::Error::Abandoned)));
        let slow = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            "applied"
        };
        assert_eq!(voice.run_to_end(slow).await, "applied");
    }
}
