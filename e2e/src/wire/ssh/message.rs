use anyhow::{Context as _, Result};

/// Numbers of the messages that are used here (RFC 4250).
pub mod number {
    /// The peer hangs up.
    pub const DISCONNECT: u8 = 1;
    /// Nothing.
    pub const IGNORE: u8 = 2;
    /// A message was not understood.
    pub const UNIMPLEMENTED: u8 = 3;
    /// Words for a log.
    pub const DEBUG: u8 = 4;
    /// A service is wanted.
    pub const SERVICE_REQUEST: u8 = 5;
    /// A service is there.
    pub const SERVICE_ACCEPT: u8 = 6;
    /// Extensions.
    pub const EXT_INFO: u8 = 7;
    /// Algorithms offered.
    pub const KEXINIT: u8 = 20;
    /// New keys are in use from here on.
    pub const NEWKEYS: u8 = 21;
    /// The client's half of a key.
    pub const KEX_INIT: u8 = 30;
    /// The server's half of a key.
    pub const KEX_REPLY: u8 = 31;
    /// A try to log in.
    pub const USERAUTH_REQUEST: u8 = 50;
    /// It failed.
    pub const USERAUTH_FAILURE: u8 = 51;
    /// It succeeded.
    pub const USERAUTH_SUCCESS: u8 = 52;
    /// Words for the user.
    pub const USERAUTH_BANNER: u8 = 53;
    /// The key offered would do.
    pub const USERAUTH_PK_OK: u8 = 60;
    /// Something that is no channel's.
    pub const GLOBAL_REQUEST: u8 = 80;
    /// It was refused.
    pub const REQUEST_FAILURE: u8 = 82;
    /// A channel is wanted.
    pub const CHANNEL_OPEN: u8 = 90;
    /// It is there.
    pub const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
    /// It is refused.
    pub const CHANNEL_OPEN_FAILURE: u8 = 92;
    /// More bytes may come.
    pub const CHANNEL_WINDOW_ADJUST: u8 = 93;
    /// Bytes.
    pub const CHANNEL_DATA: u8 = 94;
    /// Bytes of another stream.
    pub const CHANNEL_EXTENDED_DATA: u8 = 95;
    /// No more bytes.
    pub const CHANNEL_EOF: u8 = 96;
    /// The channel's end.
    pub const CHANNEL_CLOSE: u8 = 97;
    /// Something for a channel.
    pub const CHANNEL_REQUEST: u8 = 98;
    /// It was done.
    pub const CHANNEL_SUCCESS: u8 = 99;
    /// It was not.
    pub const CHANNEL_FAILURE: u8 = 100;
}

/// A message being written (RFC 4251, section 5).
#[derive(Clone, Debug)]
pub struct Message(Vec<u8>);

impl Message {
    /// One with this number.
    pub fn new(number: u8) -> Self {
        Self(vec![number])
    }

    /// Parts of one, without a number.
    pub fn empty() -> Self {
        Self(Vec::new())
    }

    /// A byte.
    #[must_use]
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// A number of four bytes.
    #[must_use]
    pub fn number(self, number: u32) -> Self {
        self.raw(&number.to_be_bytes())
    }

    /// A string: its length, and its bytes.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.number(length).raw(bytes)
    }

    /// A string of text.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// A positive number of any length, shortest form.
    #[must_use]
    pub fn mpint(self, magnitude: &[u8]) -> Self {
        let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
        let digits = &magnitude[zeros..];
        let sign = digits.first().is_some_and(|first| first & 0x80 != 0);
        let digits = if sign { [&[0], digits].concat() } else { digits.to_vec() };
        self.bytes(&digits)
    }

    /// These bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Its bytes.
    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// A message being read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads what follows the number of `payload`.
    pub fn of(payload: &'a [u8]) -> Self {
        Self(payload.get(1..).unwrap_or_default())
    }

    /// The next byte.
    ///
    /// # Errors
    /// At the message's end.
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// The next number.
    ///
    /// # Errors
    /// At the message's end.
    pub fn number(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into()?))
    }

    /// The next string.
    ///
    /// # Errors
    /// At the message's end.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.number()?)?;
        self.take(length)
    }

    /// The next string as text.
    ///
    /// # Errors
    /// At the message's end.
    pub fn text(&mut self) -> Result<String> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).context("a message that is cut")?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_their_shortest_form() {
        let written = |bytes: &[u8]| Message::empty().mpint(bytes).done();
        assert_eq!(written(&[0, 0]), [0, 0, 0, 0]);
        assert_eq!(written(&[0, 1, 2]), [0, 0, 0, 2, 1, 2]);
        assert_eq!(written(&[0x80]), [0, 0, 0, 2, 0, 0x80]);
    }

    #[test]
    fn what_is_written_is_read() {
        let payload = Message::new(9).byte(1).number(7).text("ab").done();
        let mut reader = Reader::of(&payload);
        assert_eq!(reader.byte().unwrap(), 1);
        assert_eq!(reader.number().unwrap(), 7);
        assert_eq!(reader.text().unwrap(), "ab");
        assert!(reader.byte().is_err());
    }
}
