//! One push from its first command to its report.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::{ErrorKind, ObjectId};
use gitstratum_git::protocol::receive_pack::{self, Reporter, Verdict};
use gitstratum_proto::common::v1::Actor;
use gitstratum_proto::control::v1::Layout;
use tokio::time::timeout;

use super::partition::Partition;
use super::settle::{Footing, Move, Settling};
use super::verdict::{Judged, Outcome, Reason};
use super::voice::{Signs, Voice};
use super::{policy, request, twins};
use crate::Error;
use crate::commands::Served;
use crate::conversation::{Conversation, Input, Rounds};
use crate::ingest::{self, Against, Arrived, Context, Intake, MISSING};
use crate::metric_names::Operation;
use crate::target::Target;
use crate::view::View;

/// Git's word for each command of a push whose pack was refused.
const UNPACKER: &str = "unpacker error";
/// Told when nobody can say what became of a push (S11).
const UNKNOWN: &str = "the outcome of this push is unknown: it may or may not have been \
     applied; fetch before you push again";
/// Read of a refused pack that a client goes on sending, so that it gets to its report:
/// bytes and time.
const DRAIN_BYTES_MAX: u64 = 64 * 1024 * 1024;
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Where pushes to one repository go.
pub(super) struct Push<'a> {
    pub(super) context: &'a Context,
    pub(super) partition: &'a dyn Partition,
    pub(super) layout: &'a Layout,
    pub(super) target: &'a Target,
}

/// Whether somebody tried to pass one content off as another (P-I3).
pub(super) fn is_alarm(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<ingest::Error>());
    source.is_some_and(ingest::Error::is_collision)
}

impl Push<'_> {
    /// Serves one push. `held` is what this frontend knows of the repository, if anything.
    ///
    /// # Errors
    /// What the client has not been told yet.
    pub(super) async fn serve(
        &self,
        conversation: &mut Conversation,
        held: Option<Arc<View>>,
    ) -> Result<Served, Error> {
        let Conversation { caller, input, output, rounds, .. } = conversation;
        let Some(asked) = request::read(input, output, self.target.format).await? else {
            return Ok(Served::new(Operation::Probe));
        };
        let mut talk = Talk {
            push: self,
            asked: &asked.push,
            actor: &caller.actor,
            rounds: *rounds,
            pack_is_read: !asked.push.expects_pack(),
            objects: 0,
            remarks: Vec::new(),
            voice: Voice::new(output, Reporter::new(&asked.push.capabilities)),
        };
        let ended = talk.run(input, asked.first, held).await;
        let pack_is_read = talk.pack_is_read;
        let served = talk.tell(ended).await?;
        if !pack_is_read {
            drain(input).await;
        }
        Ok(served)
    }
}

/// What became of each command, or `None` when nobody knows.
type Ended = Result<Option<Vec<Judged>>, ingest::Error>;

/// A push whose commands were read.
struct Talk<'a> {
    push: &'a Push<'a>,
    asked: &'a receive_pack::Push,
    actor: &'a Actor,
    rounds: Rounds,
    /// Whether the client has nothing more to send.
    pack_is_read: bool,
    /// Entries of its pack.
    objects: usize,
    /// Warnings, which wait for the verdict: one that a missing object ended and one that an
    /// unreachable object ended are told alike, from the first byte to the last (P-S2).
    remarks: Vec<String>,
    voice: Voice<'a>,
}

impl Talk<'_> {
    async fn run(&mut self, input: &mut Input, first: Bytes, held: Option<Arc<View>>) -> Ended {
        let refusals = policy::refusals(self.asked);
        let moves = moves(self.asked, &refusals);
        if moves.is_empty() {
            return Ok(Some(merge(refusals, Vec::new())));
        }
        let mut arrived = match self.asked.expects_pack() {
            true => Some(self.receive(input, first).await?),
            false => None,
        };
        let mut footing = footing(self.push, held).await?;
        let intake = match &mut arrived {
            Some(arrived) => Some(self.check(&mut footing, arrived, &moves).await?),
            None => None,
        };
        self.remark_twins(&footing, &moves);
        let settling = Settling {
            partition: self.push.partition,
            layout: self.push.layout,
            target: self.push.target,
            actor: self.actor,
            moves: &moves,
            atomic: self.asked.capabilities.atomic,
            options: &self.asked.options,
        };
        let worth = intake.as_ref().filter(|intake| !intake.is_worthless());
        match settling.run(&mut self.voice, footing, worth).await? {
            Outcome::Judged(judged) => Ok(Some(merge(refusals, judged))),
            Outcome::Unknown | Outcome::GroundMoved | Outcome::CopiesLost => Ok(None),
        }
    }

    async fn receive(&mut self, input: &mut Input, first: Bytes) -> Result<Arrived, ingest::Error> {
        let (context, format) = (self.push.context, self.push.target.format);
        let receiving = ingest::receive(context, format, input, first, self.rounds);
        let arrived = self.voice.during(Signs::None, receiving).await?;
        self.pack_is_read = true;
        Ok(arrived)
    }

    async fn check(
        &mut self,
        footing: &mut Footing<'_>,
        arrived: &mut Arrived,
        moves: &[Move],
    ) -> Result<Intake, ingest::Error> {
        self.objects = arrived.objects();
        // All that is said until the verdict: whatever is said later depends on what is there.
        self.voice.progress(&format!("Checking and storing {} objects", self.objects)).await?;
        let tips: Vec<ObjectId> = moves.iter().map(|each| each.new).collect();
        let checking = Intake::check(&footing.against, arrived, &tips);
        let mut checked = self.voice.during(Signs::OfLife, checking).await;
        if checked.as_ref().is_err_and(ingest::Error::may_be_outdated)
            && footing.renew(self.push.partition).await?
        {
            let checking = Intake::check(&footing.against, arrived, &tips);
            checked = self.voice.during(Signs::OfLife, checking).await;
        }
        let intake = checked?;
        self.remarks.extend_from_slice(intake.warnings());
        Ok(intake)
    }

    fn remark_twins(&mut self, footing: &Footing<'_>, moves: &[Move]) {
        let created = moves.iter().filter(|each| each.old.is_null() && !each.new.is_null());
        let names = created.map(|each| &each.name);
        self.remarks.extend(twins::warnings(&footing.against.view.refs, names));
    }

    /// Tells the client how it ended.
    async fn tell(mut self, ended: Ended) -> Result<Served, Error> {
        match ended {
            Ok(Some(judged)) => self.tell_verdicts(&judged).await,
            Ok(None) => {
                self.voice.fatal(UNKNOWN).await?;
                let failure = Error::new(ErrorKind::Unavailable, UNKNOWN);
                Ok(Served::failed(Operation::Push, failure))
            }
            // Whoever has gone, or is silent, is its carrier's to deal with.
            Err(error @ (ingest::Error::Abandoned | ingest::Error::Input { .. })) => {
                Err(error.into())
            }
            Err(error) => self.tell_refusal(error).await,
        }
    }

    async fn tell_verdicts(&mut self, judged: &[Judged]) -> Result<Served, Error> {
        if !judged.iter().all(Judged::is_missing) {
            for remark in &self.remarks {
                self.voice.notice(remark).await?;
            }
        }
        for each in judged {
            if let Judged::Done(Some(word)) = each {
                self.voice.notice(word).await?;
            }
        }
        let outcome = |judged: &Judged| match judged {
            Judged::Done(_) => None,
            Judged::Refused(reason) => Some(reason.clone()),
        };
        let reasons: Vec<Option<Reason>> = judged.iter().map(outcome).collect();
        let words = reasons.iter().map(|reason| reason.as_ref().map(|each| each.words.as_str()));
        self.report(Ok(()), words).await?;
        let mut served = Served::new(Operation::Push);
        served.objects = self.objects as u64;
        served.refs = reasons.iter().filter(|reason| reason.is_none()).count() as u64;
        served.failure =
            reasons.into_iter().flatten().next().map(|each| Error::new(each.kind, each.words));
        Ok(served)
    }

    /// A refusal of the whole push. What the client did wrong is `unpack`'s failure; what is
    /// missing, or refused elsewhere, is each ref's.
    async fn tell_refusal(&mut self, error: ingest::Error) -> Result<Served, Error> {
        if error.is_collision() {
            let (repo, user) = (self.push.target.id(), &self.actor.user_name);
            tracing::error!(%repo, user, error = error.words(), "object collision in a push");
        }
        let words = error.words();
        let (unpack, each) = match &error {
            ingest::Error::Missing => (Ok(()), MISSING),
            ingest::Error::Frontend(_) => (Ok(()), words.as_str()),
            _ => (Err(words.as_str()), UNPACKER),
        };
        let reasons = std::iter::repeat_n(Some(each), self.asked.commands.len());
        self.report(unpack, reasons).await?;
        let mut served = Served::failed(Operation::Push, error.into());
        served.objects = self.objects as u64;
        Ok(served)
    }

    async fn report<'r>(
        &mut self,
        unpack: Result<(), &str>,
        reasons: impl Iterator<Item = Option<&'r str>>,
    ) -> Result<(), Error> {
        let commands = self.asked.commands.iter();
        let verdicts = commands.zip(reasons).map(|(command, reason)| Verdict {
            raw_name: &command.raw_name,
            outcome: reason.map_or(Ok(()), Err),
        });
        self.voice.report(unpack, verdicts).await
    }
}

/// What is held of the repository, else what the partition says now (S51).
async fn footing<'a>(
    push: &Push<'a>,
    held: Option<Arc<View>>,
) -> Result<Footing<'a>, ingest::Error> {
    let Push { context, partition, target, .. } = *push;
    let is_current = held.is_none();
    let view = match held {
        Some(view) => view,
        None => partition.view().await?,
    };
    Ok(Footing { against: Against { context, format: target.format, view }, is_current })
}

/// The commands that go to the leader.
fn moves(asked: &receive_pack::Push, refusals: &[Option<String>]) -> Vec<Move> {
    let passed = asked.commands.iter().zip(refusals).filter(|(_, refusal)| refusal.is_none());
    let sent = passed.filter_map(|(command, _)| {
        let name = command.name.clone().ok()?;
        Some(Move { name, old: command.old, new: command.new })
    });
    sent.collect()
}

/// Puts what was refused here and what the leader judged into the order of the commands.
fn merge(refusals: Vec<Option<String>>, judged: Vec<Judged>) -> Vec<Judged> {
    let mut judged = judged.into_iter();
    let lost = || {
        let words = "the server lost its verdict".to_owned();
        Judged::Refused(Reason { words, kind: ErrorKind::Bug })
    };
    let each = |refusal: Option<String>| match refusal {
        Some(words) => Judged::Refused(Reason { words, kind: ErrorKind::Invalid }),
        None => judged.next().unwrap_or_else(lost),
    };
    refusals.into_iter().map(each).collect()
}

/// Reads on for a while, so that a client that is still sending gets to its report.
async fn drain(input: &mut Input) {
    let until = input.received() + DRAIN_BYTES_MAX;
    let reading = async {
        while let Ok(Some(_)) = input.next().await {
            if input.received() > until {
                break;
            }
        }
    };
    if timeout(DRAIN_MAX, reading).await.is_err() {
        tracing::debug!("a client went on sending a refused pack");
    }
}

#[cfg(test)]
mod tests;
