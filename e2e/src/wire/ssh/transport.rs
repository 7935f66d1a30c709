use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::cipher::{Cipher, TAG_BYTES};
use super::message::{Message, Reader, number};
use crate::wire::Wire;

/// What the client calls itself.
pub(super) const BANNER: &str = "SSH-2.0-stranger";
/// How long the server may stay silent.
const PATIENCE: Duration = Duration::from_secs(90);
/// Longest line before the server's banner, and longest packet, in bytes.
const BANNER_BYTES_MAX: usize = 64 * 1024;
const PACKET_BYTES_MAX: usize = 256 * 1024;
/// Packets are filled up to a multiple of this, in bytes.
const BLOCK_BYTES: usize = 16;
const PADDING_BYTES_MIN: usize = 4;

/// A connection that carries packets, sealed once keys were exchanged.
#[derive(Debug)]
pub struct Transport {
    wire: Wire,
    heard: Vec<u8>,
    patience: Duration,
    /// What the server calls itself.
    pub banner: String,
    pub(super) seal: Option<Cipher>,
    pub(super) open: Option<Cipher>,
    /// Names the connection in signatures; empty before the first exchange of keys.
    pub session: Vec<u8>,
}

/// A packet in clear: length, padding length, payload, padding, each as it should be.
pub fn framed(payload: &[u8]) -> Vec<u8> {
    framed_behind(payload, 4)
}

/// `uncounted` bytes in front do not count for the block: the length where it is in clear
/// while the rest is not.
fn framed_behind(payload: &[u8], counted: usize) -> Vec<u8> {
    let filled = counted + 1 + payload.len();
    let mut padding = BLOCK_BYTES - filled % BLOCK_BYTES;
    if padding < PADDING_BYTES_MIN {
        padding += BLOCK_BYTES;
    }
    let length = u32::try_from(1 + payload.len() + padding).unwrap_or(u32::MAX);
    let padding_length = u8::try_from(padding).unwrap_or(u8::MAX);
    Message::empty().number(length).byte(padding_length).raw(payload).raw(&vec![0; padding]).done()
}

impl Transport {
    /// Connects and exchanges banners.
    ///
    /// # Errors
    /// When nobody listens, or the server says something else.
    pub fn open(address: &str) -> Result<Self> {
        Self::greet(Wire::open(address)?)
    }

    /// The same from another address of this machine.
    ///
    /// # Errors
    /// As [`Transport::open`].
    pub fn open_from(source: IpAddr, address: &str) -> Result<Self> {
        Self::greet(Wire::open_from(source, address)?)
    }

    fn greet(mut wire: Wire) -> Result<Self> {
        wire.send(format!("{BANNER}\r\n").as_bytes())?;
        let mut transport = Self {
            wire,
            heard: Vec::new(),
            patience: PATIENCE,
            banner: String::new(),
            seal: None,
            open: None,
            session: Vec::new(),
        };
        while transport.banner.is_empty() {
            let line = transport.line()?;
            if line.starts_with("SSH-") {
                transport.banner = line;
            }
        }
        Ok(transport)
    }

    /// How long it waits from now on for each packet.
    pub fn wait_at_most(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, payload: &[u8]) -> Result<()> {
        let packet = match &mut self.seal {
            None => framed(payload),
            Some(cipher) => cipher.seal(&framed_behind(payload, 0))?,
        };
        self.send_raw(&packet)
    }

    /// Sends bytes that need not be a packet.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.wire.send(bytes)?)
    }

    /// Seals any packet, well-formed or not; before keys were exchanged it stays as it is.
    ///
    /// # Errors
    /// When it has no length.
    pub fn sealed(&mut self, packet: &[u8]) -> Result<Vec<u8>> {
        ensure!(packet.len() >= 4, "a packet without a length");
        match &mut self.seal {
            None => Ok(packet.to_vec()),
            Some(cipher) => cipher.seal(packet),
        }
    }

    /// The next message; `None` when the server has closed the connection.
    ///
    /// # Errors
    /// When it is silent for too long, or sends what is no packet.
    pub fn receive(&mut self) -> Result<Option<Vec<u8>>> {
        if !self.fill(4)? {
            return Ok(None);
        }
        let length = usize::try_from(u32::from_be_bytes(self.heard[..4].try_into()?))?;
        ensure!((1..=PACKET_BYTES_MAX).contains(&length), "a packet of {length} bytes");
        let tag = if self.open.is_some() { TAG_BYTES } else { 0 };
        if !self.fill(4 + length + tag)? {
            return Ok(None);
        }
        let mut packet: Vec<u8> = self.heard.drain(..4 + length + tag).collect();
        let (head, body) = packet.split_at_mut(4);
        let clear = match &mut self.open {
            None => body.to_vec(),
            Some(cipher) => cipher.open(head, body)?,
        };
        let padding = usize::from(*clear.first().context("an empty packet")?);
        let end = clear.len().checked_sub(padding).filter(|end| *end > 1);
        Ok(Some(clear[1..end.context("a packet of padding")?].to_vec()))
    }

    /// The next message that is not for logs; answers what must be answered.
    ///
    /// # Errors
    /// As [`Transport::receive`].
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>> {
        while let Some(payload) = self.receive()? {
            match payload[0] {
                number::IGNORE | number::DEBUG | number::EXT_INFO | number::USERAUTH_BANNER => {}
                number::GLOBAL_REQUEST => self.refuse_global(&payload)?,
                number::DISCONNECT => return Ok(None),
                _ => return Ok(Some(payload)),
            }
        }
        Ok(None)
    }

    /// The next message, which must have this number.
    ///
    /// # Errors
    /// When it has another one, or none comes.
    pub fn expect(&mut self, number: u8) -> Result<Vec<u8>> {
        match self.next_message()? {
            Some(payload) if payload[0] == number => Ok(payload),
            Some(payload) => bail!("message {} instead of {number}", payload[0]),
            None => bail!("the server hung up instead of message {number}"),
        }
    }

    /// Listens until the server hangs up, at most `within` for each message; whether it did.
    ///
    /// # Errors
    /// When it sends what is no packet.
    pub fn is_hung_up(&mut self, within: Duration) -> Result<bool> {
        self.patience = within;
        loop {
            match self.next_message() {
                Ok(None) => return Ok(true),
                Ok(Some(_)) => {}
                Err(error) if error.is::<std::io::Error>() => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn refuse_global(&mut self, payload: &[u8]) -> Result<()> {
        let mut reader = Reader::of(payload);
        reader.bytes()?;
        if reader.byte()? != 0 {
            self.send(&Message::new(number::REQUEST_FAILURE).done())?;
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            ensure!(self.heard.len() < BANNER_BYTES_MAX, "a banner without an end");
            let more = self.fill(self.heard.len() + 1)?;
            ensure!(more, "closed before its banner: {:?}", String::from_utf8_lossy(&self.heard));
        }
    }

    /// Reads until so many bytes are here; false at the end of the stream.
    fn fill(&mut self, wanted: usize) -> Result<bool> {
        while self.heard.len() < wanted {
            let piece = self.wire.receive(self.patience)?;
            if piece.is_empty() {
                return Ok(false);
            }
            self.heard.extend_from_slice(&piece);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_filled_up_to_whole_blocks() {
        for length in 0..64 {
            let clear = framed(&vec![7; length]);
            assert_eq!(clear.len() % BLOCK_BYTES, 0, "{length}");
            let sealed = framed_behind(&vec![7; length], 0);
            assert_eq!((sealed.len() - 4) % BLOCK_BYTES, 0, "{length}");
            assert!(usize::from(sealed[4]) >= PADDING_BYTES_MIN);
        }
    }
}
