//! Whole conversations: against stock git, and against anything at all.

mod advertisement;
mod anything;
mod clients;
mod stock;

use bytes::{Bytes, BytesMut};
use gitstratum_core::{ObjectFormat, ObjectId, RefName};

use crate::pktline::{Decoder, Packet};

/// Packets written as `GIT_TRACE_PACKET` shows them: `0000`, `0001` and `0002` for the
/// special ones, any other text as a line.
pub(super) fn packets(lines: &[&str]) -> Vec<Packet> {
    let packet = |line: &&str| match *line {
        "0000" => Packet::Flush,
        "0001" => Packet::Delim,
        "0002" => Packet::ResponseEnd,
        text => Packet::Data(Bytes::from(format!("{text}\n"))),
    };
    lines.iter().map(packet).collect()
}

/// All packets in `bytes`, which end with the last one.
pub(super) fn decode(bytes: &[u8]) -> Vec<Packet> {
    let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::from(bytes));
    let mut found = Vec::new();
    while let Some(packet) = decoder.decode(&mut buffer).unwrap() {
        found.push(packet);
    }
    assert!(buffer.is_empty(), "bytes after the last packet");
    found
}

/// The text lines among the packets in `bytes`, without line feeds.
pub(super) fn lines(bytes: &[u8]) -> Vec<String> {
    decode(bytes).iter().map(line_of).collect()
}

fn line_of(packet: &Packet) -> String {
    match packet {
        Packet::Data(payload) => {
            String::from_utf8_lossy(payload.strip_suffix(b"\n").unwrap_or(payload)).into_owned()
        }
        Packet::Flush => "0000".to_owned(),
        Packet::Delim => "0001".to_owned(),
        Packet::ResponseEnd => "0002".to_owned(),
    }
}

/// A sha1 id whose last byte is `number`.
pub(super) fn id(number: u8) -> ObjectId {
    let mut bytes = [0x11; 20];
    bytes[19] = number;
    ObjectId::from_bytes(ObjectFormat::Sha1, &bytes).unwrap()
}

/// A checked name.
pub(super) fn name(text: &str) -> RefName {
    RefName::parse(text.to_owned()).unwrap()
}
