use anyhow::{Context as _, Result, bail, ensure};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey as Verifier};

use super::KEY_KIND;
use super::cipher::Cipher;
use super::message::{Message, Reader, number};
use super::transport::{BANNER, Transport};

/// What the client offers, each a list of names parted by commas.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Ways to agree on a key.
    pub kex: String,
    /// Ciphers, the same both ways.
    pub ciphers: String,
    /// Checksums for ciphers that have none, the same both ways.
    pub macs: String,
}

impl Default for Offer {
    /// The one suite that is understood here, and strict exchange of keys.
    fn default() -> Self {
        Self {
            kex: "curve25519-sha256,kex-strict-c-v00@openssh.com".to_owned(),
            ciphers: "aes256-gcm@openssh.com".to_owned(),
            macs: "hmac-sha2-256".to_owned(),
        }
    }
}

impl Offer {
    /// The message that says it.
    pub fn message(&self) -> Vec<u8> {
        Message::new(number::KEXINIT)
            .raw(&[0; 16])
            .text(&self.kex)
            .text(KEY_KIND)
            .text(&self.ciphers)
            .text(&self.ciphers)
            .text(&self.macs)
            .text(&self.macs)
            .text("none")
            .text("none")
            .text("")
            .text("")
            .byte(0)
            .number(0)
            .done()
    }
}

/// What both sides have said, which the server signs.
struct Said<'a> {
    ours: &'a [u8],
    theirs: &'a [u8],
    half: &'a [u8],
    reply: &'a [u8],
}

impl Transport {
    /// Agrees on keys and uses them from then on; gives the host key that the server showed
    /// and proved to have.
    ///
    /// # Errors
    /// When the server refuses, breaks the protocol, or proves nothing.
    pub fn exchange_keys(&mut self, offer: &Offer) -> Result<Vec<u8>> {
        let ours = offer.message();
        self.send(&ours)?;
        let theirs = self.expect(number::KEXINIT)?;
        let private = PrivateKey::generate(&X25519).context("making a key")?;
        let half = private.compute_public_key().context("its public half")?;
        self.send(&Message::new(number::KEX_INIT).bytes(half.as_ref()).done())?;
        let reply = self.expect(number::KEX_REPLY)?;
        let their_half = UnparsedPublicKey::new(&X25519, half_in(&reply)?);
        let secret = agree(&private, their_half, anyhow::anyhow!("no agreement"), |secret| {
            Ok(Message::empty().mpint(secret).done())
        })?;
        let said = Said { ours: &ours, theirs: &theirs, half: half.as_ref(), reply: &reply };
        let (host_key, hash) = self.verify(&said, &secret)?;
        if self.session.is_empty() {
            self.session.clone_from(&hash);
        }
        self.switch(&secret, &hash)?;
        Ok(host_key)
    }

    /// The hash of everything said, once the host key's signature of it was checked.
    fn verify(&self, said: &Said<'_>, secret: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut reader = Reader::of(said.reply);
        let (host_key, their_half) = (reader.bytes()?, reader.bytes()?);
        let signature = reader.bytes()?;
        let hashed = Message::empty()
            .text(BANNER)
            .text(&self.banner)
            .bytes(said.ours)
            .bytes(said.theirs)
            .bytes(host_key)
            .bytes(said.half)
            .bytes(their_half)
            .raw(secret)
            .done();
        let hash = digest(&SHA256, &hashed).as_ref().to_vec();
        let (public, signature) = (second(host_key)?, second(signature)?);
        let proved = Verifier::new(&ED25519, public).verify(&hash, signature);
        ensure!(proved.is_ok(), "the host key's signature is wrong");
        Ok((host_key.to_vec(), hash))
    }

    fn switch(&mut self, secret: &[u8], hash: &[u8]) -> Result<()> {
        let derived = |letter: u8| {
            let all = [secret, hash, &[letter], &self.session].concat();
            digest(&SHA256, &all).as_ref().to_vec()
        };
        let seal = Cipher::new(&derived(b'C'), &derived(b'A'))?;
        let open = Cipher::new(&derived(b'D'), &derived(b'B'))?;
        self.send(&[number::NEWKEYS])?;
        self.seal = Some(seal);
        match self.next_message()? {
            Some(payload) if payload == [number::NEWKEYS] => {}
            other => bail!("no new keys but {other:?}"),
        }
        self.open = Some(open);
        Ok(())
    }
}

/// The server's half in its reply.
fn half_in(reply: &[u8]) -> Result<&[u8]> {
    let mut reader = Reader::of(reply);
    reader.bytes()?;
    reader.bytes()
}

/// What follows the kind in a key or a signature.
fn second(blob: &[u8]) -> Result<&[u8]> {
    let whole = [&[0], blob].concat();
    let mut reader = Reader::of(&whole);
    ensure!(reader.text()? == KEY_KIND, "not an {KEY_KIND} key");
    let start = 4 + KEY_KIND.len() + 4;
    blob.get(start..).context("a key without its bytes")
}
