use gitstratum_core::ObjectFormat;

use super::super::fetch::Draft;
use super::super::line::{check_format, split_once, text};
use super::super::{Error, Excerpt, Fetch, Limits};
use super::LsRefs;
use super::ls_refs::LsRefsDraft;
use crate::pktline::{Packet, SideBand};

const IN_CAPABILITIES: &str = "in a command's capabilities";
const IN_ARGUMENTS: &str = "in a command's arguments";

/// A complete command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// List refs.
    LsRefs(LsRefs),
    /// Send a pack, or say what is common.
    Fetch(Box<Fetch>),
}

/// What a packet led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The command is not complete yet.
    More,
    /// A command is complete; the next packet begins another one.
    Request(Request),
    /// The client has nothing more to ask.
    Goodbye,
}

/// Reads the commands of one connection or one HTTP request.
#[derive(Debug)]
pub struct Parser {
    format: ObjectFormat,
    limits: Limits,
    state: State,
}

#[derive(Debug)]
enum State {
    Capabilities(Head),
    LsRefs(LsRefsDraft),
    Fetch(Box<Draft>),
}

#[derive(Clone, Copy, Debug)]
enum Command {
    LsRefs,
    Fetch,
}

/// The capability lines of a command seen so far.
#[derive(Debug, Default)]
struct Head {
    command: Option<Command>,
    names_format: bool,
    lines: usize,
}

impl Parser {
    /// A parser for a repository of `format`.
    pub fn new(format: ObjectFormat, limits: Limits) -> Self {
        Self { format, limits, state: State::Capabilities(Head::default()) }
    }

    /// Whether the stream may end here: no command is half read.
    pub fn is_idle(&self) -> bool {
        matches!(&self.state, State::Capabilities(head) if head.lines == 0)
    }

    /// Takes the next packet.
    ///
    /// # Errors
    /// When the client breaks the protocol or a limit; the conversation is over then.
    pub fn accept(&mut self, packet: Packet) -> Result<Step, Error> {
        match packet {
            Packet::Data(payload) => self.line(&payload).map(|()| Step::More),
            Packet::Delim => self.begin_arguments().map(|()| Step::More),
            Packet::Flush if self.is_idle() => Ok(Step::Goodbye),
            Packet::Flush => self.finish().map(Step::Request),
            Packet::ResponseEnd => Err(self.misplaced(&packet)),
        }
    }

    fn line(&mut self, payload: &[u8]) -> Result<(), Error> {
        let line = text(payload, self.place())?;
        match &mut self.state {
            State::Capabilities(head) => head.line(line, self.format, &self.limits),
            State::LsRefs(draft) => draft.line(line, self.limits.ref_prefixes_max),
            State::Fetch(draft) => fetch_line(draft, line),
        }
    }

    fn begin_arguments(&mut self) -> Result<(), Error> {
        let State::Capabilities(head) = &self.state else {
            return Err(self.misplaced(&Packet::Delim));
        };
        let command = head.check(self.format)?;
        self.state = self.arguments_of(command);
        Ok(())
    }

    fn finish(&mut self) -> Result<Request, Error> {
        if let State::Capabilities(head) = &self.state {
            let command = head.check(self.format)?;
            self.state = self.arguments_of(command);
        }
        match std::mem::replace(&mut self.state, State::Capabilities(Head::default())) {
            State::LsRefs(draft) => Ok(Request::LsRefs(draft.finish())),
            State::Fetch(mut draft) => {
                draft.settle()?;
                Ok(Request::Fetch(Box::new(draft.fetch)))
            }
            State::Capabilities(_) => Err(Error::NoCommand),
        }
    }

    fn arguments_of(&self, command: Command) -> State {
        match command {
            Command::LsRefs => State::LsRefs(LsRefsDraft::default()),
            Command::Fetch => {
                let mut draft = Draft::new(self.format, self.limits);
                draft.fetch.side_band = SideBand::Large;
                State::Fetch(Box::new(draft))
            }
        }
    }

    fn place(&self) -> &'static str {
        match self.state {
            State::Capabilities(_) => IN_CAPABILITIES,
            State::LsRefs(_) | State::Fetch(_) => IN_ARGUMENTS,
        }
    }

    fn misplaced(&self, packet: &Packet) -> Error {
        Error::Misplaced { packet: packet.kind(), place: self.place() }
    }
}

impl Head {
    fn line(&mut self, line: &[u8], format: ObjectFormat, limits: &Limits) -> Result<(), Error> {
        self.lines += 1;
        if self.lines > limits.capability_lines_max {
            let max = limits.capability_lines_max;
            return Err(Error::TooMany { what: "capability lines", max });
        }
        match split_once(line, b'=') {
            Some((b"command", name)) => self.name_command(name),
            Some((b"agent", _)) => Ok(()),
            Some((b"object-format", name)) => {
                self.names_format = true;
                check_format(format, name)
            }
            _ => Err(Error::UnknownCapability(Excerpt::new(line))),
        }
    }

    fn name_command(&mut self, name: &[u8]) -> Result<(), Error> {
        if let Some(first) = self.command {
            let second = Excerpt::new(name);
            return Err(Error::SecondCommand { first: first.as_str(), second });
        }
        self.command = Some(Command::parse(name)?);
        Ok(())
    }

    /// The command, once all capabilities are known. Who names no object format means
    /// sha1.
    fn check(&self, format: ObjectFormat) -> Result<Command, Error> {
        let command = self.command.ok_or(Error::NoCommand)?;
        if !self.names_format {
            check_format(format, ObjectFormat::Sha1.as_str().as_bytes())?;
        }
        Ok(command)
    }
}

impl Command {
    fn parse(name: &[u8]) -> Result<Self, Error> {
        match name {
            b"ls-refs" => Ok(Self::LsRefs),
            b"fetch" => Ok(Self::Fetch),
            _ => Err(Error::UnknownCommand(Excerpt::new(name))),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::LsRefs => "ls-refs",
            Self::Fetch => "fetch",
        }
    }
}

fn fetch_line(draft: &mut Draft, line: &[u8]) -> Result<(), Error> {
    let fetch = &mut draft.fetch;
    match line {
        b"thin-pack" => fetch.shape.thin_pack = true,
        b"ofs-delta" => fetch.shape.ofs_delta = true,
        b"include-tag" => fetch.shape.include_tag = true,
        b"no-progress" => fetch.progress = false,
        b"deepen-relative" => draft.deepen_relative(),
        b"wait-for-done" => fetch.wait_for_done = true,
        b"done" => fetch.done = true,
        _ => return fetch_key_line(draft, line),
    }
    Ok(())
}

/// A line `key value`. `want-ref`, `sideband-all` and `packfile-uris` are features that
/// are not advertised, so they are as unknown as any other word (bad inputs 24, 37).
fn fetch_key_line(draft: &mut Draft, line: &[u8]) -> Result<(), Error> {
    let known = match split_once(line, b' ') {
        Some((b"want", id)) => draft.want(id).map(|()| true)?,
        Some((b"have", id)) => draft.have(id).map(|()| true)?,
        Some((key, value)) => draft.shape(key, value)?,
        None => false,
    };
    if known { Ok(()) } else { Err(Error::UnknownLine(Excerpt::new(line))) }
}
