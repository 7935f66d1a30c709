use std::collections::HashSet;

use bytes::Bytes;
use gitstratum_core::ObjectFormat;

use super::super::capabilities::Offered;
use super::super::line::{check_format, chomp, object_id, split_once, words};
use super::super::{Error, Excerpt, Limits};
use super::{Capabilities, Command, Push, Refusal};
use crate::pktline::{Packet, SideBand};

const IN_COMMANDS: &str = "in push commands";
const IN_OPTIONS: &str = "in push options";
const AFTER_COMMANDS: &str = "after push commands";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Commands,
    Options,
    Finished,
}

/// Reads what a client sends before its pack.
#[derive(Debug)]
pub struct Parser {
    format: ObjectFormat,
    offered: Offered,
    limits: Limits,
    phase: Phase,
    capabilities_seen: bool,
    side_band: SideBand,
    text_bytes: usize,
    push: Push,
}

impl Parser {
    /// A parser for a repository of `format` whose advertisement offered `offered`.
    pub fn new(format: ObjectFormat, offered: Offered, limits: Limits) -> Self {
        Self {
            format,
            offered,
            limits,
            phase: Phase::Commands,
            capabilities_seen: false,
            side_band: SideBand::None,
            text_bytes: 0,
            push: Push::default(),
        }
    }

    /// How the client wants its answer framed, as far as it has said by now.
    pub const fn side_band(&self) -> SideBand {
        self.side_band
    }

    /// Takes the next packet. Returns the push once it is complete; no packet may
    /// follow it.
    ///
    /// # Errors
    /// When the client breaks the protocol or sends more text than the limit. What is
    /// merely refused is reported instead: see [`Push::refusal`].
    pub fn accept(&mut self, packet: Packet) -> Result<Option<Push>, Error> {
        match (self.phase, packet) {
            (Phase::Commands, Packet::Data(payload)) => self.command_line(&payload)?,
            (Phase::Options, Packet::Data(payload)) => self.option_line(&payload)?,
            (Phase::Commands, Packet::Flush) if self.push.capabilities.push_options => {
                self.phase = Phase::Options;
            }
            (Phase::Commands | Phase::Options, Packet::Flush) => return Ok(Some(self.finish())),
            (phase, packet) => {
                return Err(Error::Misplaced { packet: packet.kind(), place: phase.place() });
            }
        }
        Ok(None)
    }

    fn command_line(&mut self, payload: &[u8]) -> Result<(), Error> {
        let line = chomp(payload, IN_COMMANDS)?;
        self.count_text(line)?;
        if let Some(id) = line.strip_prefix(b"shallow ") {
            self.push.shallow.push(object_id(self.format, id)?);
            return Ok(());
        }
        if line.starts_with(b"push-cert") {
            return Err(Error::NotOffered("push-cert"));
        }
        let command = self.split_capabilities(line)?;
        self.add_command(Command::parse(command, self.format)?);
        Ok(())
    }

    /// The command in `line`; what stands behind a NUL in the first one are capabilities.
    fn split_capabilities<'a>(&mut self, line: &'a [u8]) -> Result<&'a [u8], Error> {
        let first = !std::mem::replace(&mut self.capabilities_seen, true);
        match split_once(line, 0) {
            None => Ok(line),
            Some((command, list)) if first && !list.contains(&0) => {
                self.push.capabilities = self.negotiate(list)?;
                self.side_band = self.push.capabilities.side_band;
                Ok(command)
            }
            Some(_) => Err(Error::Nul { place: IN_COMMANDS }),
        }
    }

    /// Unknown words are passed over, as git does. Those that would change what
    /// follows on the wire must have been offered.
    fn negotiate(&self, list: &[u8]) -> Result<Capabilities, Error> {
        let mut asked = Capabilities::default();
        for word in words(list) {
            match word {
                b"report-status" | b"report-status-v2" => asked.report_status = true,
                b"side-band-64k" => asked.side_band = SideBand::Large,
                b"quiet" => asked.quiet = true,
                b"atomic" => asked.atomic = true,
                b"push-options" if self.offered.push_options => asked.push_options = true,
                b"push-options" => return Err(Error::UnknownCapability(Excerpt::new(word))),
                _ => {
                    if let Some(name) = word.strip_prefix(b"object-format=") {
                        check_format(self.format, name)?;
                    }
                }
            }
        }
        Ok(asked)
    }

    fn add_command(&mut self, command: Command) {
        let max = self.limits.commands_max;
        if self.push.commands.len() < max {
            self.push.commands.push(command);
        } else {
            self.refuse(Refusal::Commands(max));
        }
    }

    fn option_line(&mut self, payload: &[u8]) -> Result<(), Error> {
        let line = payload.strip_suffix(b"\n").unwrap_or(payload);
        self.count_text(line)?;
        let (options_max, bytes_max) =
            (self.limits.push_options_max, self.limits.push_option_bytes_max);
        if self.push.options.len() >= options_max {
            self.refuse(Refusal::Options(options_max));
        } else if line.len() > bytes_max {
            self.refuse(Refusal::OptionBytes(bytes_max));
        } else if line.iter().any(u8::is_ascii_control) {
            self.refuse(Refusal::OptionText);
        } else {
            self.push.options.push(Bytes::copy_from_slice(line));
        }
        Ok(())
    }

    fn finish(&mut self) -> Push {
        self.phase = Phase::Finished;
        if let Some(name) = first_duplicate(&self.push.commands) {
            self.refuse(Refusal::DuplicateRef(name));
        }
        std::mem::take(&mut self.push)
    }

    /// The first reason stands.
    fn refuse(&mut self, refusal: Refusal) {
        self.push.refusal.get_or_insert(refusal);
    }

    fn count_text(&mut self, line: &[u8]) -> Result<(), Error> {
        self.text_bytes += line.len();
        let max = self.limits.push_text_bytes_max;
        if self.text_bytes > max {
            return Err(Error::TooMany { what: "bytes of push commands", max });
        }
        Ok(())
    }
}

impl Phase {
    const fn place(self) -> &'static str {
        match self {
            Self::Commands => IN_COMMANDS,
            Self::Options => IN_OPTIONS,
            Self::Finished => AFTER_COMMANDS,
        }
    }
}

fn first_duplicate(commands: &[Command]) -> Option<Bytes> {
    let mut seen = HashSet::with_capacity(commands.len());
    let twice = commands.iter().find(|command| !seen.insert(&command.raw_name))?;
    Some(twice.raw_name.clone())
}
