//! Pushes without stock git: any commands, any pack, right or wrong.

use anyhow::Result;
use gitstratum_core::{ObjectFormat, ObjectId};

use crate::wire::pkt::{Bands, Packet, Packets, split};
use crate::wire::{Door, Program, Said};

/// A push being put together.
#[derive(Clone, Debug)]
pub struct Push {
    format: ObjectFormat,
    capabilities: String,
    commands: Vec<Vec<u8>>,
    before: Packets,
    options: Option<Vec<Vec<u8>>>,
    pack: Vec<u8>,
}

/// What became of a push.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What was said, as it came.
    pub said: Said,
    /// What the report says of the pack.
    pub unpack: Option<String>,
    /// What it says of each ref: nothing where it is fine.
    pub refs: Vec<(String, Option<String>)>,
    /// What the user reads besides.
    pub told: String,
    /// Why there is no report.
    pub failure: Option<String>,
}

impl Push {
    /// Nothing yet, to a repository of sha1.
    pub fn new() -> Self {
        Self::of(ObjectFormat::Sha1)
    }

    /// Nothing yet, to a repository of `format`.
    pub fn of(format: ObjectFormat) -> Self {
        let capabilities = format!("report-status side-band-64k object-format={format}");
        Self {
            format,
            capabilities,
            commands: Vec::new(),
            before: Packets::new(),
            options: None,
            pack: Vec::new(),
        }
    }

    /// Makes a ref.
    #[must_use]
    pub fn create(self, name: &str, id: &ObjectId) -> Self {
        let null = ObjectId::null(self.format);
        self.update(name, &null, id)
    }

    /// Moves a ref.
    #[must_use]
    pub fn update(self, name: &str, old: &ObjectId, new: &ObjectId) -> Self {
        self.command(&old.to_string(), &new.to_string(), name.as_bytes())
    }

    /// Removes a ref.
    #[must_use]
    pub fn delete(self, name: &str, old: &ObjectId) -> Self {
        let null = ObjectId::null(self.format);
        self.update(name, old, &null)
    }

    /// A command of any words.
    #[must_use]
    pub fn command(mut self, old: &str, new: &str, name: &[u8]) -> Self {
        let line = [old.as_bytes(), b" ", new.as_bytes(), b" ", name].concat();
        self.commands.push(line);
        self
    }

    /// Says this before the commands.
    #[must_use]
    pub fn before(mut self, packets: Packets) -> Self {
        self.before = packets;
        self
    }

    /// Asks for something more.
    #[must_use]
    pub fn capability(mut self, word: &str) -> Self {
        self.capabilities.push(' ');
        self.capabilities.push_str(word);
        self
    }

    /// Asks for exactly this.
    #[must_use]
    pub fn capabilities(mut self, words: &str) -> Self {
        words.clone_into(&mut self.capabilities);
        self
    }

    /// All or nothing.
    #[must_use]
    pub fn atomic(self) -> Self {
        self.capability("atomic")
    }

    /// A push option.
    #[must_use]
    pub fn option(mut self, text: &[u8]) -> Self {
        if self.options.is_none() {
            self = self.capability("push-options");
        }
        self.options.get_or_insert_default().push(text.to_vec());
        self
    }

    /// The pack, or what stands in its place.
    #[must_use]
    pub fn pack(mut self, bytes: Vec<u8>) -> Self {
        self.pack = bytes;
        self
    }

    /// All that the client says after the advertisement.
    pub fn body(&self) -> Vec<u8> {
        let mut packets = self.before.clone();
        for (place, command) in self.commands.iter().enumerate() {
            let line = match place {
                0 => [command, &b"\0 "[..], self.capabilities.as_bytes()].concat(),
                _ => command.clone(),
            };
            packets = packets.data(&line);
        }
        packets = packets.flush();
        if let Some(options) = &self.options {
            packets = options.iter().fold(packets, |packets, option| packets.data(option)).flush();
        }
        packets.raw(&self.pack).bytes()
    }

    /// Pushes.
    ///
    /// # Errors
    /// When there is no answer at all; a refusal is none.
    pub fn send(&self, door: &dyn Door) -> Result<Report> {
        Ok(Report::of(door.ask(Program::ReceivePack, &self.body())?))
    }
}

impl Default for Push {
    fn default() -> Self {
        Self::new()
    }
}

impl Report {
    /// Takes apart what was said.
    pub fn of(said: Said) -> Self {
        let (packets, _) = split(&said.out);
        let bands = Bands::of(&packets);
        let banded = split(&bands.payload).0;
        let lines = if bands.payload.is_empty() { &packets } else { &banded };
        let mut report = Self { told: bands.progress.clone(), ..Self::default() };
        for line in lines.iter().map(Packet::text) {
            if let Some(words) = line.strip_prefix("unpack ") {
                report.unpack = Some(words.to_owned());
            } else if let Some(name) = line.strip_prefix("ok ") {
                report.refs.push((name.to_owned(), None));
            } else if let Some((name, why)) =
                line.strip_prefix("ng ").and_then(|line| line.split_once(' '))
            {
                report.refs.push((name.to_owned(), Some(why.to_owned())));
            }
        }
        if report.unpack.is_none() {
            report.failure = said.failure();
        }
        report.said = said;
        report
    }

    /// Whether everything was done.
    pub fn is_done(&self) -> bool {
        self.unpack.as_deref() == Some("ok")
            && !self.refs.is_empty()
            && self.refs.iter().all(|(_, why)| why.is_none())
    }

    /// Whether the client was told that nothing was done: a report in which every ref is
    /// refused, or a failure in words.
    pub fn is_refused(&self) -> bool {
        match &self.unpack {
            Some(_) => !self.refs.is_empty() && self.refs.iter().all(|(_, why)| why.is_some()),
            None => self.failure.is_some(),
        }
    }

    /// All words of refusal.
    pub fn why(&self) -> String {
        let mut words: Vec<&str> = self.unpack.iter().map(String::as_str).collect();
        words.extend(self.refs.iter().filter_map(|(_, why)| why.as_deref()));
        words.extend(self.failure.as_deref());
        words.push(self.told.trim_end());
        words.join("; ")
    }

    /// What is said of one ref.
    pub fn refusal(&self, name: &str) -> Option<&str> {
        self.refs.iter().find(|(known, _)| known == name)?.1.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(out: &[u8]) -> Report {
        Report::of(Said { status: Some(200), out: out.to_vec(), ..Said::default() })
    }

    #[test]
    fn reports_are_read_with_and_without_bands() {
        let plain = Packets::new().line("unpack ok").line("ok refs/a").line("ng refs/b not so");
        let plain = plain.flush().bytes();
        let banded =
            Packets::new().data(b"\x02hm\n").data(&[&[1], &plain[..]].concat()).flush().bytes();
        for out in [plain, banded] {
            let report = report(&out);
            assert_eq!(report.unpack.as_deref(), Some("ok"));
            assert_eq!(report.refusal("refs/b"), Some("not so"));
            assert!(!report.is_done() && !report.is_refused());
        }
        assert!(report(b"000aERR no").is_refused());
    }

    #[test]
    fn nothing_said_is_neither_done_nor_refused() {
        let nothing = Report::of(Said::default());
        assert!(!nothing.is_done() && !nothing.is_refused());
    }
}
