//! The pack is stored and the refs are moved, by as many attempts as that takes (S11, S15).

use std::sync::Arc;

use bytes::Bytes;
use gitstratum_core::{ErrorKind, ObjectId, RefName};
use gitstratum_process::failpoint;
use gitstratum_proto::common::v1::Actor;
use gitstratum_proto::control::v1::Layout;
use gitstratum_proto::metadata::v1::{NewTarget, RefCommand, UpdateRefsRequest};

use super::partition::{Partition, Ticket};
use super::verdict::Outcome;
use super::voice::{Signs, Voice};
use crate::Error;
use crate::ingest::{self, Against, Begun, Copies, Intake, Origins, Placement, Shelf, Stock};
use crate::target::Target;

/// Times that a push is sent until it is told to be tried again by its user.
const ATTEMPTS_MAX: u32 = 6;

/// One command as the leader gets it.
#[derive(Clone, Debug)]
pub(super) struct Move {
    pub(super) name: RefName,
    pub(super) old: ObjectId,
    pub(super) new: ObjectId,
}

/// The refs to be moved, and all that this takes.
pub(super) struct Settling<'a> {
    pub(super) partition: &'a dyn Partition,
    pub(super) layout: &'a Layout,
    pub(super) target: &'a Target,
    pub(super) actor: &'a Actor,
    pub(super) moves: &'a [Move],
    pub(super) atomic: bool,
    pub(super) options: &'a [Bytes],
}

/// What a push is checked against, and whether that is the newest.
pub(super) struct Footing<'a> {
    pub(super) against: Against<'a>,
    pub(super) is_current: bool,
}

impl Footing<'_> {
    /// Asks the partition for a newer state; whether it has one.
    pub(super) async fn renew(&mut self, partition: &dyn Partition) -> Result<bool, Error> {
        if self.is_current {
            return Ok(false);
        }
        let before = self.against.view.manifest_version;
        self.against = self.against.at(partition.view().await?);
        self.is_current = true;
        Ok(self.against.view.manifest_version > before)
    }
}

/// One number of the session, and what was stored under it.
struct Numbered {
    ticket: Box<dyn Ticket>,
    begun: Begun,
    attempt: u32,
    copies: Copies,
    stock: Option<Stock>,
}

impl Settling<'_> {
    /// Stores the pack and sends the push until it is decided.
    ///
    /// # Errors
    /// Whatever ended it while nothing of it was, or can still be, applied.
    pub(super) async fn run(
        &self,
        voice: &mut Voice<'_>,
        mut footing: Footing<'_>,
        intake: Option<&Intake>,
    ) -> Result<Outcome, ingest::Error> {
        let targets = self.targets(&footing.against, intake).await?;
        let mut push = self.begin(&footing.against, Copies::Shadowed).await?;
        for _ in 0..ATTEMPTS_MAX {
            push.attempt += 1;
            if let Some(intake) = intake {
                self.store(voice, &mut push, &mut footing, intake).await?;
            }
            let outcome = self.send(voice, &push, &footing, &targets).await?;
            match outcome {
                Outcome::GroundMoved => {
                    footing.is_current = false;
                    footing.renew(self.partition).await?;
                }
                Outcome::CopiesLost => push.stock = None,
                // A stored copy that nobody reaches cannot answer in the new one's place: the
                // push goes again, under another number, as if there were none.
                outcome if push.has_shadowed() && outcome.is_all_missing() => {
                    push = self.begin(&footing.against, Copies::Answering).await?;
                }
                outcome => return Ok(outcome),
            }
        }
        let words = "the repository changes too fast; try again";
        Err(Error::new(ErrorKind::Busy, words).into())
    }

    async fn targets(
        &self,
        against: &Against<'_>,
        intake: Option<&Intake>,
    ) -> Result<Vec<NewTarget>, ingest::Error> {
        let tips: Vec<ObjectId> = self.moves.iter().map(|each| each.new).collect();
        match intake {
            Some(intake) => intake.targets(against, &tips).await,
            None => Ok(vec![NewTarget::default(); tips.len()]),
        }
    }

    async fn begin(
        &self,
        against: &Against<'_>,
        copies: Copies,
    ) -> Result<Numbered, ingest::Error> {
        let ticket = self.partition.begin().await?;
        let begun = self.origins(ticket.as_ref()).begin(&against.context.storage);
        Ok(Numbered { ticket, begun, attempt: 0, copies, stock: None })
    }

    fn origins(&self, ticket: &dyn Ticket) -> Origins {
        Origins {
            repo: self.target.id(),
            partition: self.target.partition(),
            session: ticket.session(),
            number: ticket.number(),
        }
    }

    /// Makes the pack durable for what it stands on now.
    async fn store(
        &self,
        voice: &mut Voice<'_>,
        push: &mut Numbered,
        footing: &mut Footing<'_>,
        intake: &Intake,
    ) -> Result<(), ingest::Error> {
        let copies = push.copies;
        let mut surveyed = intake.survey(&footing.against, copies).await;
        if surveyed.as_ref().is_err_and(ingest::Error::may_be_outdated)
            && footing.renew(self.partition).await?
        {
            surveyed = intake.survey(&footing.against, copies).await;
        }
        let ground = Arc::new(surveyed?);
        let rf = footing.against.context.config.replication_factor;
        let placement = Placement::new(self.layout, rf)?;
        let (ticket, stock) = (push.ticket.as_ref(), push.stock.take());
        let shelf =
            Shelf { placement: &placement, origins: self.origins(ticket), begun: &push.begun };
        let storing = async {
            match stock {
                None => intake.store(&footing.against, &ground, &shelf).await,
                Some(stock) => intake.store_again(&footing.against, stock, &ground, &shelf).await,
            }
        };
        let stock = voice.during(Signs::OfLife, while_session_lasts(ticket, storing)).await?;
        push.stock = Some(stock);
        Ok(())
    }

    /// Sends the push. From here on only the partition knows what becomes of it.
    async fn send(
        &self,
        voice: &mut Voice<'_>,
        push: &Numbered,
        footing: &Footing<'_>,
        targets: &[NewTarget],
    ) -> Result<Outcome, ingest::Error> {
        let request = self.request(push, footing, targets);
        push.ticket.check()?;
        push.begun.sent();
        failpoint!("frontend.push.before_update_refs");
        let answered = voice.run_to_end(self.partition.update(request)).await;
        failpoint!("frontend.push.after_update_refs");
        match answered {
            Ok(response) => {
                let names: Vec<RefName> = self.moves.iter().map(|each| each.name.clone()).collect();
                Ok(Outcome::read(&response, &names))
            }
            // What the leader says of any try alike was not carried out by an earlier one.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Denied | ErrorKind::NotFound | ErrorKind::Invalid
                ) =>
            {
                Err(Error::from(error).into())
            }
            Err(error) => {
                tracing::warn!(%error, "the outcome of a push is unknown");
                Ok(Outcome::Unknown)
            }
        }
    }

    fn request(
        &self,
        push: &Numbered,
        footing: &Footing<'_>,
        targets: &[NewTarget],
    ) -> UpdateRefsRequest {
        let view = &footing.against.view;
        let rests_on = push.stock.as_ref().map(|stock| stock.ground().rests_on.as_slice());
        UpdateRefsRequest {
            repo: Some(self.target.key()),
            actor: Some(self.actor.clone()),
            session: push.ticket.session().0,
            push_number: push.ticket.number().0,
            attempt: push.attempt,
            floor: push.ticket.floor().0,
            commands: self.moves.iter().map(command).collect(),
            atomic: self.atomic,
            pack: push.stock.as_ref().map(|stock| stock.row().into()),
            checked_version: view.manifest_version.0,
            drop_counter: view.drop_counter,
            rests_on: rests_on.unwrap_or_default().iter().map(bytes_of).collect(),
            targets: targets.to_vec(),
            push_options: self.options.to_vec(),
        }
    }
}

impl Numbered {
    fn has_shadowed(&self) -> bool {
        self.stock.as_ref().is_some_and(|stock| stock.row().shadowed_count > 0)
    }
}

fn command(each: &Move) -> RefCommand {
    RefCommand { name: each.name.to_bytes(), old: bytes_of(&each.old), new: bytes_of(&each.new) }
}

fn bytes_of(id: &ObjectId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// A push stops with its session (S10).
async fn while_session_lasts<T>(
    ticket: &dyn Ticket,
    work: impl Future<Output = Result<T, ingest::Error>>,
) -> Result<T, ingest::Error> {
    tokio::select! {
        biased;
        done = work => done,
        () = ticket.lost() => {
            ticket.check()?;
            Err(Error::new(ErrorKind::Unavailable, "the session was lost; try again").into())
        }
    }
}
