use gitstratum_core::{ObjectFormat, ObjectId};

use super::super::fetch::Draft;
use super::super::line::{split_once, text};
use super::super::{Error, Excerpt, Exchange, Fetch, Limits};
use super::capabilities::{Negotiated, negotiate};
use crate::pktline::Packet;

const IN_WANTS: &str = "in wants";
const IN_HAVES: &str = "in haves";
const AFTER_DONE: &str = "after done";

/// What a packet led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do yet.
    More,
    /// The client wants nothing; the conversation is over.
    Goodbye,
    /// The wants are complete. If [`Session::fetch`] deepens, the client waits for
    /// [`shallow_info`](super::shallow_info); if not, it goes on by itself. A stateless
    /// request may end here.
    Wants,
    /// A round of haves is complete: [`Session::answer`] is due.
    Round,
    /// The client has said all: [`Session::answer`] is due, then the pack.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Wants,
    Haves,
    Done,
}

/// One conversation of a v0 or v1 client, after the advertisement.
///
/// Packets go through [`Session::accept`], which says when something is due;
/// [`Session::fetch`] is the request as far as it is known.
#[derive(Debug)]
pub struct Session {
    format: ObjectFormat,
    limits: Limits,
    pub(super) exchange: Exchange,
    phase: Phase,
    rounds: usize,
    negotiated: Option<Negotiated>,
    pub(super) draft: Draft,
    /// How many of the haves are known to be common.
    pub(super) settled: usize,
    pub(super) last_common: Option<ObjectId>,
}

impl Session {
    /// A conversation about a repository of `format`.
    pub fn new(format: ObjectFormat, exchange: Exchange, limits: Limits) -> Self {
        Self {
            format,
            limits,
            exchange,
            phase: Phase::Wants,
            rounds: 0,
            negotiated: None,
            draft: Draft::new(format, limits),
            settled: 0,
            last_common: None,
        }
    }

    /// The request as far as it is known: wants and shape from [`Step::Wants`] on; its
    /// haves are those found common in earlier rounds, then those of this one.
    pub fn fetch(&self) -> &Fetch {
        &self.draft.fetch
    }

    /// Whether the round under way has haves that were not answered before.
    pub fn brings_haves(&self) -> bool {
        self.draft.fetch.haves.len() > self.settled
    }

    /// Takes the next packet.
    ///
    /// # Errors
    /// When the client breaks the protocol or a limit; the conversation is over then.
    pub fn accept(&mut self, packet: Packet) -> Result<Step, Error> {
        match (self.phase, packet) {
            (Phase::Wants, Packet::Data(payload)) => self.want_line(&payload),
            (Phase::Wants, Packet::Flush) => self.end_wants(),
            (Phase::Haves, Packet::Data(payload)) => self.have_line(&payload),
            (Phase::Haves, Packet::Flush) => self.end_round(),
            (phase, packet) => {
                Err(Error::Misplaced { packet: packet.kind(), place: phase.place() })
            }
        }
    }

    pub(super) fn negotiated(&self) -> Negotiated {
        self.negotiated.unwrap_or_default()
    }

    fn want_line(&mut self, payload: &[u8]) -> Result<Step, Error> {
        let line = text(payload, IN_WANTS)?;
        match split_once(line, b' ') {
            Some((b"want", rest)) => self.want(rest)?,
            Some((b"filter", _)) if !self.negotiated().filter => {
                return Err(Error::NotNegotiated("filter"));
            }
            Some((key, value)) if self.draft.shape(key, value)? => {}
            _ => return Err(Error::UnknownLine(Excerpt::new(line))),
        }
        Ok(Step::More)
    }

    /// A want; the first one carries the capabilities.
    fn want(&mut self, rest: &[u8]) -> Result<(), Error> {
        if self.negotiated.is_some() {
            return self.draft.want(rest);
        }
        let (id, list) = split_once(rest, b' ').unwrap_or((rest, b""));
        self.negotiated = Some(negotiate(list, self.format, &mut self.draft)?);
        self.draft.want(id)
    }

    fn end_wants(&mut self) -> Result<Step, Error> {
        if self.draft.fetch.wants.is_empty() {
            return Ok(Step::Goodbye);
        }
        self.draft.settle()?;
        self.phase = Phase::Haves;
        Ok(Step::Wants)
    }

    fn have_line(&mut self, payload: &[u8]) -> Result<Step, Error> {
        let line = text(payload, IN_HAVES)?;
        if line == b"done" {
            self.phase = Phase::Done;
            self.draft.fetch.done = true;
            return Ok(Step::Done);
        }
        match split_once(line, b' ') {
            Some((b"have", id)) => self.draft.have(id).map(|()| Step::More),
            _ => Err(Error::UnknownLine(Excerpt::new(line))),
        }
    }

    /// Rounds are counted so that a client that never says `done` comes to an end (bad
    /// input 34).
    fn end_round(&mut self) -> Result<Step, Error> {
        self.rounds += 1;
        let max = self.limits.rounds_max;
        if self.rounds > max {
            return Err(Error::TooMany { what: "negotiation rounds", max });
        }
        Ok(Step::Round)
    }
}

impl Phase {
    const fn place(self) -> &'static str {
        match self {
            Self::Wants => IN_WANTS,
            Self::Haves => IN_HAVES,
            Self::Done => AFTER_DONE,
        }
    }
}
