//! SSH as a client speaks it, enough of it to log in and run a command with one modern
//! suite of algorithms, and open at every step to lies.

mod channel;
mod cipher;
mod exchange;
mod login;
mod message;
mod transport;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Door, Program, Said, pkt};
use crate::moment::now;

pub use channel::{Channel, Order, Ran};
pub use exchange::Offer;
pub use login::{Request, Verdict};
pub use message::{Message, Reader, number};
pub use transport::{Transport, framed};

/// Kind of the keys that are used here.
pub const KEY_KIND: &str = "ssh-ed25519";
/// The only user name.
const USER: &str = "git";

/// A user's key.
#[derive(Debug)]
pub struct Key(Ed25519KeyPair);

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// When the machine has no randomness.
    pub fn generate() -> Result<Self> {
        Ok(Self(Ed25519KeyPair::generate().context("making a key")?))
    }

    /// Its public half as SSH sends it.
    pub fn public(&self) -> Vec<u8> {
        let bytes = self.0.public_key().as_ref();
        Message::empty().text(KEY_KIND).bytes(bytes).done()
    }

    /// Its public half as it stands in a `.pub` file.
    pub fn public_line(&self) -> String {
        format!("{KEY_KIND} {} test", STANDARD.encode(self.public()))
    }

    /// A signature as SSH sends it.
    pub fn sign(&self, what: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(what);
        Message::empty().text(KEY_KIND).bytes(signature.as_ref()).done()
    }
}

/// A client of one repository with one key.
#[derive(Clone, Copy, Debug)]
pub struct Ssh<'a> {
    address: &'a str,
    host_key: &'a str,
    key: &'a Key,
    repository: &'a str,
    protocol: Option<&'a str>,
}

impl<'a> Ssh<'a> {
    /// A client of `OWNER/NAME` at `ssh://git@HOST:PORT`, whose host key must be
    /// `host_key` (`ssh-ed25519 …`); it asks for protocol v2.
    pub fn new(url: &'a str, host_key: &'a str, key: &'a Key, repository: &'a str) -> Self {
        let address = url.trim_start_matches("ssh://git@");
        Self { address, host_key, key, repository, protocol: Some("version=2") }
    }

    /// The same with this value of `GIT_PROTOCOL`, or none.
    #[must_use]
    pub fn protocol(mut self, value: Option<&'a str>) -> Self {
        self.protocol = value;
        self
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &'a str {
        self.address
    }

    /// Connects, exchanges keys and logs in.
    ///
    /// # Errors
    /// When any of it fails, or the server shows another host key.
    pub fn login(&self) -> Result<Transport> {
        let mut transport = Transport::open(self.address)?;
        let shown = transport.exchange_keys(&Offer::default())?;
        let known = self.host_key.split(' ').nth(1).context("a host key without its bytes")?;
        ensure!(STANDARD.encode(&shown) == known, "another host key");
        transport.begin_login()?;
        let verdict = transport.try_key(USER, self.key)?;
        ensure!(verdict == Verdict::LoggedIn, "not let in: {verdict:?}");
        Ok(transport)
    }

    /// Runs any command line; `input` is sent and then the end of it.
    ///
    /// # Errors
    /// When logging in fails or the server breaks the protocol.
    pub fn run(&self, line: &[u8], input: &[u8]) -> Result<Ran> {
        let mut transport = self.login()?;
        let mut channel = transport.open_channel()?;
        if let Some(value) = self.protocol {
            transport.set_variable(&channel, "GIT_PROTOCOL", value)?;
        }
        transport.order(&channel, &Order::Exec(line))?;
        transport.converse(&mut channel, input)
    }

    /// `git-upload-pack '/OWNER/NAME.git'`.
    pub fn line(&self, program: Program) -> String {
        format!("{} '/{}.git'", program.as_str(), self.repository)
    }
}

impl Door for Ssh<'_> {
    fn ask(&self, program: Program, body: &[u8]) -> Result<Said> {
        let began = now();
        let ran = self.run(self.line(program).as_bytes(), body)?;
        let out = pkt::after_flush(&ran.out).to_vec();
        let took: Duration = began.elapsed();
        Ok(Said { status: None, exit: ran.exit, out, err: ran.err, took })
    }
}
