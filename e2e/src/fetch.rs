//! Fetches without stock git, by protocol v2.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use gitstratum_core::{ObjectFormat, ObjectId};

use crate::wire::pkt::{Bands, Packet, Packets, split};
use crate::wire::{Door, Program, Said};

/// A `fetch` command being put together.
#[derive(Clone, Debug)]
pub struct Fetch {
    capabilities: Vec<String>,
    arguments: Vec<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// What was said, as it came.
    pub said: Said,
    /// The pack.
    pub pack: Option<Vec<u8>>,
    /// Lines of the section `acknowledgments`.
    pub acknowledgments: Vec<String>,
    /// Lines of the section `shallow-info`.
    pub shallow: Vec<String>,
    /// Why there is no pack.
    pub error: Option<String>,
}

impl Fetch {
    /// A fetch that wants nothing yet, from a repository of sha1.
    pub fn new() -> Self {
        Self::of(ObjectFormat::Sha1)
    }

    /// The same from a repository of `format`.
    pub fn of(format: ObjectFormat) -> Self {
        let capabilities = vec!["command=fetch".to_owned(), format!("object-format={format}")];
        let arguments = ["thin-pack", "ofs-delta", "no-progress"].map(str::to_owned).to_vec();
        Self { capabilities, arguments }
    }

    /// Wants an object.
    #[must_use]
    pub fn want(self, id: &ObjectId) -> Self {
        self.argument(&format!("want {id}"))
    }

    /// Says that it has an object.
    #[must_use]
    pub fn have(self, id: &ObjectId) -> Self {
        self.argument(&format!("have {id}"))
    }

    /// Wants so many commits of history.
    #[must_use]
    pub fn depth(self, depth: u32) -> Self {
        self.argument(&format!("deepen {depth}"))
    }

    /// Leaves objects out.
    #[must_use]
    pub fn filter(self, spec: &str) -> Self {
        self.argument(&format!("filter {spec}"))
    }

    /// Says that it has said all.
    #[must_use]
    pub fn done(self) -> Self {
        self.argument("done")
    }

    /// Any argument.
    #[must_use]
    pub fn argument(mut self, line: &str) -> Self {
        self.arguments.push(line.to_owned());
        self
    }

    /// Any capability.
    #[must_use]
    pub fn capability(mut self, line: &str) -> Self {
        self.capabilities.push(line.to_owned());
        self
    }

    /// All that the client says.
    pub fn body(&self) -> Vec<u8> {
        let packets = Packets::new().lines(self.capabilities.iter().cloned()).delim();
        packets.lines(self.arguments.iter().cloned()).flush().bytes()
    }

    /// Fetches.
    ///
    /// # Errors
    /// When there is no answer at all, or a pack that is cut; a refusal is none.
    pub fn send(&self, door: &dyn Door) -> Result<Fetched> {
        Fetched::of(door.ask(Program::UploadPack, &self.body())?)
    }
}

impl Default for Fetch {
    fn default() -> Self {
        Self::new()
    }
}

impl Fetched {
    fn of(said: Said) -> Result<Self> {
        let (packets, _) = split(&said.out);
        let mut fetched = Self { error: said.failure(), ..Self::default() };
        let mut rest = &packets[..];
        while let Some((first, after)) = rest.split_first() {
            let end = after.iter().position(|packet| !matches!(packet, Packet::Data(_)));
            let lines = &after[..end.unwrap_or(after.len())];
            let words = || lines.iter().map(Packet::text).collect();
            match first.text().as_str() {
                "acknowledgments" => fetched.acknowledgments = words(),
                "shallow-info" => fetched.shallow = words(),
                "packfile" if end.is_some() => fetched.pack = Some(Bands::of(lines).payload),
                "packfile" if fetched.error.is_none() => bail!("a pack that is cut"),
                _ => {}
            }
            rest = after.get(lines.len() + 1..).unwrap_or_default();
        }
        fetched.said = said;
        Ok(fetched)
    }

    /// Whether the server sent a pack and no error.
    pub fn is_done(&self) -> bool {
        self.pack.is_some() && self.error.is_none()
    }
}

/// Every ref by name, `HEAD` left out, as `ls-refs` gives them.
///
/// # Errors
/// When there is no answer, or it is an error.
pub fn ls_refs(door: &dyn Door, format: ObjectFormat) -> Result<BTreeMap<String, String>> {
    let request = Packets::new()
        .line("command=ls-refs")
        .line(&format!("object-format={format}"))
        .delim()
        .line("peel")
        .flush();
    let said = door.ask(Program::UploadPack, &request.bytes())?;
    if let Some(words) = said.failure() {
        bail!("ls-refs: {words}");
    }
    let (packets, _) = split(&said.out);
    let lines = packets.iter().map(Packet::text).filter(|line| !line.is_empty());
    let refs = lines.filter_map(|line| {
        let mut words = line.split(' ').map(str::to_owned);
        let (id, name) = (words.next()?, words.next()?);
        Some((name, id))
    });
    Ok(refs.filter(|(name, _)| name != "HEAD").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_told_apart() {
        let out = Packets::new()
            .line("acknowledgments")
            .line("ACK 12")
            .line("ready")
            .delim()
            .line("shallow-info")
            .line("shallow 34")
            .delim()
            .line("packfile")
            .data(b"\x01PACK")
            .data(b"\x02hm")
            .data(b"\x01rest")
            .flush()
            .bytes();
        let fetched = Fetched::of(Said { status: Some(200), out, ..Said::default() }).unwrap();
        assert!(fetched.is_done());
        assert_eq!(fetched.pack.as_deref(), Some(&b"PACKrest"[..]));
        assert_eq!(fetched.acknowledgments, ["ACK 12", "ready"]);
        assert_eq!(fetched.shallow, ["shallow 34"]);
    }

    #[test]
    fn a_pack_that_is_cut_is_no_pack() {
        let out = Packets::new().line("packfile").data(b"\x01PACK").bytes();
        assert!(Fetched::of(Said { status: Some(200), out, ..Said::default() }).is_err());
    }
}
