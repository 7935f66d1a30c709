use anyhow::{Result, bail};

use super::message::{Message, Reader, number};
use super::transport::Transport;

/// Bytes that the server may send before it is told to go on; more than any test hears.
const WINDOW_BYTES: u32 = 0x7fff_ffff;
/// Largest packet that is taken, in bytes.
const PACKET_BYTES: u32 = 32 * 1024;
/// The channel's number on our side: there is one.
const OURS: u32 = 0;

/// An open channel.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its number on the server's side.
    pub theirs: u32,
    window: u32,
    packet_max: u32,
}

/// What is ordered on a channel.
#[derive(Clone, Copy, Debug)]
pub enum Order<'a> {
    /// A command line.
    Exec(&'a [u8]),
    /// A shell.
    Shell,
    /// A subsystem.
    Subsystem(&'a str),
    /// A terminal.
    Terminal,
    /// That the client's agent be reachable.
    AgentForward,
    /// That the client's screen be reachable.
    ScreenForward,
}

/// What a command said, and how it ended.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: Vec<u8>,
    /// Its exit status, if it gave one.
    pub exit: Option<u32>,
    /// Whether the channel was closed, rather than the connection.
    pub closed: bool,
}

impl Ran {
    /// Standard error as text.
    pub fn words(&self) -> String {
        String::from_utf8_lossy(&self.err).into_owned()
    }
}

impl Order<'_> {
    fn message(&self, channel: u32) -> Vec<u8> {
        let kind = match self {
            Self::Exec(_) => "exec",
            Self::Shell => "shell",
            Self::Subsystem(_) => "subsystem",
            Self::Terminal => "pty-req",
            Self::AgentForward => "auth-agent-req@openssh.com",
            Self::ScreenForward => "x11-req",
        };
        let message = Message::new(number::CHANNEL_REQUEST).number(channel).text(kind).byte(1);
        let message = match self {
            Self::Exec(line) => message.bytes(line),
            Self::Subsystem(name) => message.text(name),
            Self::Terminal => {
                message.text("xterm").number(80).number(24).number(0).number(0).bytes(&[0])
            }
            Self::ScreenForward => message.byte(0).text("MIT-MAGIC").text("00").number(0),
            Self::Shell | Self::AgentForward => message,
        };
        message.done()
    }
}

impl Transport {
    /// Opens a session channel.
    ///
    /// # Errors
    /// When it is refused.
    pub fn open_channel(&mut self) -> Result<Channel> {
        self.send(&opening("session", PACKET_BYTES))?;
        let payload = self.expect(number::CHANNEL_OPEN_CONFIRMATION)?;
        let mut reader = Reader::of(&payload);
        reader.number()?;
        Ok(Channel {
            theirs: reader.number()?,
            window: reader.number()?,
            packet_max: reader.number()?,
        })
    }

    /// Sets a variable, or tries to; whether it was taken.
    ///
    /// # Errors
    /// When the server hangs up.
    pub fn set_variable(&mut self, channel: &Channel, name: &str, value: &str) -> Result<bool> {
        let message = Message::new(number::CHANNEL_REQUEST).number(channel.theirs).text("env");
        self.send(&message.byte(1).text(name).text(value).done())?;
        self.is_granted()
    }

    /// Orders something; whether the server took it on.
    ///
    /// # Errors
    /// When the server hangs up.
    pub fn order(&mut self, channel: &Channel, order: &Order<'_>) -> Result<bool> {
        self.send(&order.message(channel.theirs))?;
        self.is_granted()
    }

    fn is_granted(&mut self) -> Result<bool> {
        match self.next_message()? {
            Some(payload) if payload[0] == number::CHANNEL_SUCCESS => Ok(true),
            Some(payload) if payload[0] == number::CHANNEL_FAILURE => Ok(false),
            Some(payload) => bail!("message {} instead of an answer", payload[0]),
            None => bail!("the server hung up"),
        }
    }

    /// Sends `input` and the end of it, and hears the command out.
    ///
    /// # Errors
    /// When the server breaks the protocol or is silent for too long.
    pub fn converse(&mut self, channel: &mut Channel, input: &[u8]) -> Result<Ran> {
        let mut ran = Ran::default();
        self.feed(channel, input, &mut ran)?;
        if !ran.closed {
            // A server that has heard enough may have closed already.
            drop(self.send(&Message::new(number::CHANNEL_EOF).number(channel.theirs).done()));
        }
        self.listen(channel, &mut ran)?;
        Ok(ran)
    }

    /// Sends `input` as the server's window allows, taking what it says meanwhile.
    ///
    /// # Errors
    /// As [`Transport::converse`].
    pub fn feed(&mut self, channel: &mut Channel, input: &[u8], ran: &mut Ran) -> Result<()> {
        let mut rest = input;
        while !rest.is_empty() && !ran.closed {
            let room = channel.window.min(channel.packet_max);
            if room == 0 {
                let Some(payload) = self.next_message()? else { return Ok(()) };
                take(channel, ran, &payload)?;
                continue;
            }
            let (piece, after) = rest.split_at(rest.len().min(usize::try_from(room)?));
            let message = Message::new(number::CHANNEL_DATA).number(channel.theirs).bytes(piece);
            if self.send(&message.done()).is_err() {
                return Ok(());
            }
            channel.window -= u32::try_from(piece.len())?;
            rest = after;
        }
        Ok(())
    }

    /// Takes what the server says until it closes the channel or the connection.
    ///
    /// # Errors
    /// As [`Transport::converse`].
    pub fn listen(&mut self, channel: &mut Channel, ran: &mut Ran) -> Result<()> {
        while !ran.closed {
            let Some(payload) = self.next_message()? else { return Ok(()) };
            take(channel, ran, &payload)?;
        }
        Ok(())
    }
}

/// The message that asks for a channel of `kind` whose packets may have so many bytes.
pub(crate) fn opening(kind: &str, packet_bytes: u32) -> Vec<u8> {
    Message::new(number::CHANNEL_OPEN)
        .text(kind)
        .number(OURS)
        .number(WINDOW_BYTES)
        .number(packet_bytes)
        .done()
}

fn take(channel: &mut Channel, ran: &mut Ran, payload: &[u8]) -> Result<()> {
    let mut reader = Reader::of(payload);
    let _ours = reader.number()?;
    match payload[0] {
        number::CHANNEL_DATA => ran.out.extend_from_slice(reader.bytes()?),
        number::CHANNEL_EXTENDED_DATA => {
            reader.number()?;
            ran.err.extend_from_slice(reader.bytes()?);
        }
        number::CHANNEL_WINDOW_ADJUST => {
            channel.window = channel.window.saturating_add(reader.number()?);
        }
        number::CHANNEL_REQUEST if reader.text()? == "exit-status" => {
            reader.byte()?;
            ran.exit = Some(reader.number()?);
        }
        number::CHANNEL_CLOSE => ran.closed = true,
        _ => {}
    }
    Ok(())
}
