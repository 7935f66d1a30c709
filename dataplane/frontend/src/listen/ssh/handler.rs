use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use russh::keys::{Algorithm, HashAlg, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty};
use tokio::sync::{mpsc, watch};

use super::CHANNELS_MAX;
use super::exchange::{Exec, Order};
use super::talk::Talk;
use crate::auth::knows_key;
use crate::frontend::Frontend;

/// The one user name: who it is, the key says.
const USER: &str = "git";
/// Keys that a client may offer (bad input 118).
const OFFERS_MAX: usize = 6;
/// The one variable that a client may set, and the most bytes of its value.
const GIT_PROTOCOL: &str = "GIT_PROTOCOL";
const GIT_PROTOCOL_BYTES_MAX: usize = 1_024;

/// Why a connection is ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The client broke the protocol, or the connection broke.
    #[error("ssh protocol")]
    Protocol {
        /// What russh says.
        #[source]
        source: russh::Error,
    },
    /// More keys than a client may offer.
    #[error("more than {OFFERS_MAX} keys offered")]
    TooManyKeys,
}

impl From<russh::Error> for Error {
    fn from(source: russh::Error) -> Self {
        Self::Protocol { source }
    }
}

/// How far a client has come with logging in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Login {
    /// Nothing tried yet.
    #[default]
    Untried,
    /// A key was offered; the last one's fingerprint.
    Tried(String),
    /// It is known who it is.
    Done,
}

impl Login {
    pub(super) fn is_done(&self) -> bool {
        *self == Self::Done
    }
}

/// Answers a client's requests, in the loop that reads its packets: nothing here waits.
pub(super) struct Handler {
    frontend: Arc<Frontend>,
    /// Learns of every message that is for a channel.
    talk: Arc<Talk>,
    login: watch::Sender<Login>,
    execs: mpsc::Sender<Exec>,
    offers: usize,
    /// The user of the last try. No state of a try survives a change of it.
    user: Option<String>,
    /// Fingerprint of the key whose possession was proved.
    proved: Option<String>,
    open: BTreeSet<ChannelId>,
    waiting: BTreeMap<ChannelId, Waiting>,
}

/// A channel on which nothing has been ordered yet.
struct Waiting {
    channel: Channel<Msg>,
    protocol: Vec<u8>,
}

impl Handler {
    pub(super) fn new(
        frontend: Arc<Frontend>,
        talk: Arc<Talk>,
        login: watch::Sender<Login>,
        execs: mpsc::Sender<Exec>,
    ) -> Self {
        Self {
            frontend,
            talk,
            login,
            execs,
            offers: 0,
            user: None,
            proved: None,
            open: BTreeSet::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// The fingerprint of `key`, if `user` may log in with it.
    fn accepted(&mut self, user: &str, key: &PublicKey, algorithm: &Algorithm) -> Option<String> {
        if self.user.as_deref() != Some(user) {
            self.user = Some(user.to_owned());
            self.proved = None;
        }
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let sha1 = *algorithm == Algorithm::Rsa { hash: None };
        let known = knows_key(&self.frontend.feed.current(), &fingerprint);
        (user == USER && !sha1 && known).then_some(fingerprint)
    }

    /// Passes what is ordered on a channel to whoever runs it. A channel takes one order.
    fn order(&mut self, id: ChannelId, order: Order, session: &mut Session) -> Result<(), Error> {
        let fingerprint = self.proved.clone();
        let exec = self.waiting.remove(&id).zip(fingerprint).map(|(waiting, fingerprint)| Exec {
            order,
            fingerprint,
            channel: waiting.channel,
            protocol: waiting.protocol,
        });
        let taken = exec.is_some_and(|exec| self.execs.try_send(exec).is_ok());
        if taken {
            session.channel_success(id)?
        } else {
            session.channel_failure(id)?
        }
        Ok(())
    }
}

impl russh::server::Handler for Handler {
    type Error = Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Error> {
        self.offers += 1;
        if self.offers > OFFERS_MAX {
            return Err(Error::TooManyKeys);
        }
        let fingerprint = offer.public_key.fingerprint(HashAlg::Sha256).to_string();
        self.login.send_replace(Login::Tried(fingerprint));
        let accepted = self.accepted(user, offer.public_key, offer.algorithm);
        Ok(if accepted.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Error> {
        self.proved = self.accepted(user, key.public_key, key.algorithm);
        Ok(if self.proved.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Error> {
        self.login.send_replace(Login::Done);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.talk.note_purpose(0);
        if self.open.len() >= CHANNELS_MAX {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        self.open.insert(channel.id());
        self.waiting.insert(channel.id(), Waiting { channel, protocol: Vec::new() });
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.talk.note_purpose(0);
        self.open.remove(&channel);
        self.waiting.remove(&channel);
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        _channel: ChannelId,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.talk.note_purpose(0);
        Ok(())
    }

    async fn data(
        &mut self,
        _channel: ChannelId,
        data: &[u8],
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.talk.note_purpose(data.len());
        Ok(())
    }

    async fn window_adjusted(
        &mut self,
        _channel: ChannelId,
        _new_size: u32,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.talk.note_purpose(0);
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        self.talk.note_purpose(name.len() + value.len());
        let waiting = self.waiting.get_mut(&channel).filter(|_| name == GIT_PROTOCOL);
        let Some(waiting) = waiting else { return Ok(session.channel_failure(channel)?) };
        // A value that is too long counts for nothing (bad input 39).
        if value.len() <= GIT_PROTOCOL_BYTES_MAX {
            value.as_bytes().clone_into(&mut waiting.protocol);
        }
        Ok(session.channel_success(channel)?)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        self.talk.note_purpose(line.len());
        self.order(channel, Order::Line(line.to_vec()), session)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Error> {
        self.order(channel, Order::Shell, session)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _col_width: u32,
        _row_height: u32,
        _pix_width: u32,
        _pix_height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Error> {
        Ok(session.channel_failure(channel)?)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single_connection: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        Ok(session.channel_failure(channel)?)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        Ok(session.channel_failure(channel)?)
    }
}
