use anyhow::Result;

use super::message::{Message, number};
use super::transport::Transport;
use super::{KEY_KIND, Key};

/// The only service that runs after a login.
const CONNECTION: &str = "ssh-connection";

/// What a try to log in led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// In.
    LoggedIn,
    /// The key would do: a signature is wanted.
    WouldDo,
    /// Not in.
    Refused,
    /// The server hung up.
    HungUp,
}

/// A request with a key, open to lies in what is signed.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The user it is sent for.
    pub user: &'a str,
    /// The user that is signed.
    pub signed_user: &'a str,
    /// The connection that is signed.
    pub session: &'a [u8],
}

impl Request<'_> {
    /// The request, with the signature made for what it says is signed.
    pub fn message(&self, key: &Key) -> Vec<u8> {
        let signed = Message::empty()
            .bytes(self.session)
            .raw(&Self::head(self.signed_user, 1, &key.public()))
            .done();
        let head = Self::head(self.user, 1, &key.public());
        Message::empty().raw(&head).bytes(&key.sign(&signed)).done()
    }

    /// The request without a signature: would this key do?
    pub fn probe(user: &str, key: &Key) -> Vec<u8> {
        Self::head(user, 0, &key.public())
    }

    fn head(user: &str, signed: u8, public: &[u8]) -> Vec<u8> {
        Message::new(number::USERAUTH_REQUEST)
            .text(user)
            .text(CONNECTION)
            .text("publickey")
            .byte(signed)
            .text(KEY_KIND)
            .bytes(public)
            .done()
    }
}

impl Transport {
    /// Asks for the service that logs in.
    ///
    /// # Errors
    /// When there is none.
    pub fn begin_login(&mut self) -> Result<()> {
        self.send(&Message::new(number::SERVICE_REQUEST).text("ssh-userauth").done())?;
        self.expect(number::SERVICE_ACCEPT).map(drop)
    }

    /// Logs in with a key, as an honest client does once it knows that the key would do.
    ///
    /// # Errors
    /// When the server breaks the protocol.
    pub fn try_key(&mut self, user: &str, key: &Key) -> Result<Verdict> {
        let session = self.session.clone();
        let request = Request { user, signed_user: user, session: &session };
        self.try_login(&request.message(key))
    }

    /// Sends any request to log in and hears what it led to.
    ///
    /// # Errors
    /// When the server breaks the protocol or is silent.
    pub fn try_login(&mut self, request: &[u8]) -> Result<Verdict> {
        if self.send(request).is_err() {
            return Ok(Verdict::HungUp);
        }
        let Some(payload) = self.next_message()? else { return Ok(Verdict::HungUp) };
        match payload[0] {
            number::USERAUTH_SUCCESS => Ok(Verdict::LoggedIn),
            number::USERAUTH_FAILURE => Ok(Verdict::Refused),
            number::USERAUTH_PK_OK => Ok(Verdict::WouldDo),
            other => anyhow::bail!("message {other} instead of a verdict"),
        }
    }
}
