//! What the server says it can do, in each protocol version.
//!
//! **Invariant**: only what the parsers beside this module take is advertised.

use bytes::{BufMut, BytesMut};
use gitstratum_core::{ObjectFormat, ObjectId, RefName};

use super::{AdvertisedRef, Exchange, Version};
use crate::pktline::{flush, frame};

/// The name under which the server shows itself.
pub const AGENT: &str = concat!("gitstratum/", env!("CARGO_PKG_VERSION"));

const UPLOAD_PACK: &str = "multi_ack thin-pack side-band side-band-64k ofs-delta shallow \
     deepen-since deepen-not deepen-relative no-progress include-tag multi_ack_detailed \
     allow-tip-sha1-in-want allow-reachable-sha1-in-want";
const RECEIVE_PACK: &str =
    "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta";

/// Appends the capabilities of protocol v2, complete.
pub fn advertise_v2(format: ObjectFormat, out: &mut BytesMut) {
    put_line(out, &[b"version 2"]);
    put_line(out, &[b"agent=", AGENT.as_bytes()]);
    put_line(out, &[b"ls-refs=unborn"]);
    put_line(out, &[b"fetch=shallow wait-for-done filter"]);
    put_line(out, &[b"object-format=", format.as_str().as_bytes()]);
    flush(out);
}

/// Which program a v0 or v1 advertisement speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// Clone and fetch. Refs are listed with `HEAD` first and tags peeled.
    UploadPack {
        /// How the conversation goes on.
        exchange: Exchange,
        /// The ref that `HEAD` stands for; `None` when it is detached or unborn.
        head_target: Option<RefName>,
    },
    /// Push. Refs are listed without `HEAD` and not peeled.
    ReceivePack(Offered),
}

/// What a push may use besides what is always offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// `push-options`.
    pub push_options: bool,
}

/// The advertisement of v0 and v1, written ref by ref so that a million of them take
/// no memory here (bad input 96).
#[derive(Debug)]
pub struct Advertisement {
    service: Service,
    format: ObjectFormat,
    capabilities_sent: bool,
}

impl Advertisement {
    /// Begins an advertisement. Version 2 has none of this kind: it counts as 0, which
    /// is what `receive-pack` makes of it.
    pub fn begin(
        version: Version,
        service: Service,
        format: ObjectFormat,
        out: &mut BytesMut,
    ) -> Self {
        if version == Version::V1 {
            put_line(out, &[b"version 1"]);
        }
        Self { service, format, capabilities_sent: false }
    }

    /// Appends one ref. Refs are given in the order of their names' bytes, `HEAD`
    /// before them.
    pub fn push(&mut self, entry: &AdvertisedRef<'_>, out: &mut BytesMut) {
        self.put_ref(entry.id, entry.name.as_bytes(), out);
        if let (Service::UploadPack { .. }, Some(peeled)) = (&self.service, entry.peeled) {
            let id = peeled.to_string();
            put_line(out, &[id.as_bytes(), b" ", entry.name.as_bytes(), b"^{}"]);
        }
    }

    /// Ends the advertisement. Without a ref the capabilities stand behind the zero id
    /// and a name that no ref has, so that a client of an empty repository learns its
    /// object format.
    pub fn finish(mut self, out: &mut BytesMut) {
        if !self.capabilities_sent {
            self.put_ref(ObjectId::null(self.format), b"capabilities^{}", out);
        }
        flush(out);
    }

    fn put_ref(&mut self, id: ObjectId, name: &[u8], out: &mut BytesMut) {
        let id = id.to_string();
        if self.capabilities_sent {
            return put_line(out, &[id.as_bytes(), b" ", name]);
        }
        self.capabilities_sent = true;
        let capabilities = self.capabilities();
        put_line(out, &[id.as_bytes(), b" ", name, b"\0", &capabilities]);
    }

    fn capabilities(&self) -> Vec<u8> {
        let mut list = Vec::new();
        match &self.service {
            Service::UploadPack { exchange, head_target } => {
                list.extend_from_slice(UPLOAD_PACK.as_bytes());
                if *exchange == Exchange::Stateless {
                    list.extend_from_slice(b" no-done");
                }
                if let Some(target) = head_target {
                    list.extend_from_slice(b" symref=HEAD:");
                    list.extend_from_slice(target.as_bytes());
                }
                list.extend_from_slice(b" filter");
            }
            Service::ReceivePack(offered) => {
                list.extend_from_slice(RECEIVE_PACK.as_bytes());
                if offered.push_options {
                    list.extend_from_slice(b" push-options");
                }
            }
        }
        let common = format!(" object-format={} agent={AGENT}", self.format);
        list.extend_from_slice(common.as_bytes());
        list
    }
}

/// Appends a line made of ids, checked names and words of ours.
pub(super) fn put_line(out: &mut BytesMut, parts: &[&[u8]]) {
    frame(out, |out| {
        for part in parts {
            out.put_slice(part);
        }
        out.put_u8(b'\n');
    });
}
