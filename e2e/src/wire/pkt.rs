//! Pkt-lines, written by hand and read without trust.

/// Bytes of the length in front of every packet.
const HEADER_BYTES: usize = 4;
/// Most payload bytes of one packet.
const PAYLOAD_BYTES_MAX: usize = 65_516;

/// Packets being written, right ones and wrong ones.
#[derive(Clone, Debug, Default)]
pub struct Packets(Vec<u8>);

impl Packets {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet of these bytes.
    ///
    /// # Panics
    /// When they do not fit one.
    #[must_use]
    pub fn data(mut self, payload: &[u8]) -> Self {
        assert!(payload.len() <= PAYLOAD_BYTES_MAX, "{} bytes in one packet", payload.len());
        self.0.extend_from_slice(format!("{:04x}", payload.len() + HEADER_BYTES).as_bytes());
        self.0.extend_from_slice(payload);
        self
    }

    /// A packet of this text and a newline.
    #[must_use]
    pub fn line(self, text: &str) -> Self {
        self.data(format!("{text}\n").as_bytes())
    }

    /// A line for each.
    #[must_use]
    pub fn lines(self, texts: impl IntoIterator<Item = String>) -> Self {
        texts.into_iter().fold(self, |packets, text| packets.line(&text))
    }

    /// `0000`.
    #[must_use]
    pub fn flush(self) -> Self {
        self.raw(b"0000")
    }

    /// `0001`.
    #[must_use]
    pub fn delim(self) -> Self {
        self.raw(b"0001")
    }

    /// These bytes, whatever they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The bytes.
    pub fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// One packet heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A payload.
    Data(Vec<u8>),
    /// `0000`.
    Flush,
    /// `0001`.
    Delim,
    /// `0002`.
    ResponseEnd,
}

impl Packet {
    /// Its payload as text, without a newline at its end; empty for the others.
    pub fn text(&self) -> String {
        let Self::Data(payload) = self else { return String::new() };
        String::from_utf8_lossy(payload.strip_suffix(b"\n").unwrap_or(payload)).into_owned()
    }
}

/// The first packet of `bytes`, and what follows it; `None` where none begins.
pub fn first(bytes: &[u8]) -> Option<(Packet, &[u8])> {
    let digits = std::str::from_utf8(bytes.get(..HEADER_BYTES)?).ok()?;
    let length = usize::from_str_radix(digits, 16).ok()?;
    let rest = &bytes[HEADER_BYTES..];
    match length {
        0 => Some((Packet::Flush, rest)),
        1 => Some((Packet::Delim, rest)),
        2 => Some((Packet::ResponseEnd, rest)),
        3 => None,
        _ => {
            let (payload, rest) = rest.split_at_checked(length - HEADER_BYTES)?;
            Some((Packet::Data(payload.to_vec()), rest))
        }
    }
}

/// All packets at the start of `bytes`, and what follows that is none.
pub fn split(bytes: &[u8]) -> (Vec<Packet>, &[u8]) {
    let (mut packets, mut rest) = (Vec::new(), bytes);
    while let Some((packet, after)) = first(rest) {
        packets.push(packet);
        rest = after;
    }
    (packets, rest)
}

/// What follows the first flush of `bytes`: the advertisement is over there. All of them
/// when there is none.
pub fn after_flush(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some((packet, after)) = first(rest) {
        if packet == Packet::Flush {
            return after;
        }
        rest = after;
    }
    bytes
}

/// What multiplexed packets carry.
#[derive(Clone, Debug, Default)]
pub struct Bands {
    /// Band 1.
    pub payload: Vec<u8>,
    /// Band 2.
    pub progress: String,
    /// Band 3.
    pub fatal: String,
}

impl Bands {
    /// Takes packets apart until the first that is no data.
    pub fn of<'a>(packets: impl IntoIterator<Item = &'a Packet>) -> Self {
        let mut bands = Self::default();
        for packet in packets {
            let Packet::Data(payload) = packet else { break };
            match payload.split_first() {
                Some((1, rest)) => bands.payload.extend_from_slice(rest),
                Some((2, rest)) => bands.progress.push_str(&String::from_utf8_lossy(rest)),
                Some((3, rest)) => bands.fatal.push_str(&String::from_utf8_lossy(rest)),
                _ => {}
            }
        }
        bands
    }
}

/// The words of the first `ERR` packet, or of band 3.
pub fn error_in(bytes: &[u8]) -> Option<String> {
    let (packets, _) = split(bytes);
    packets.iter().find_map(|packet| {
        let Packet::Data(payload) = packet else { return None };
        let words = payload.strip_prefix(b"ERR ").or_else(|| payload.strip_prefix(b"\x03"))?;
        Some(String::from_utf8_lossy(words).trim_end().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bytes = Packets::new().line("a").delim().data(b"").flush().raw(b"zz").bytes();
        assert_eq!(bytes, b"0006a\n000100040000zz");
        let (packets, rest) = split(&bytes);
        let data = |payload: &[u8]| Packet::Data(payload.to_vec());
        assert_eq!(packets, [data(b"a\n"), Packet::Delim, data(b""), Packet::Flush]);
        assert_eq!((packets[0].text().as_str(), rest), ("a", &b"zz"[..]));
        assert_eq!(after_flush(&bytes), b"zz");
    }

    #[test]
    fn errors_and_bands_are_found() {
        assert_eq!(error_in(b"000cERR gone0000"), Some("gone".to_owned()));
        assert_eq!(error_in(b"0008\x03no\n"), Some("no".to_owned()));
        assert_eq!(error_in(b"0008NAK\n"), None);
        let (packets, _) = split(b"0007\x01ab0007\x02cd0006\x01e0000");
        let bands = Bands::of(&packets);
        assert_eq!((&bands.payload[..], bands.progress.as_str()), (&b"abe"[..], "cd"));
    }
}
