//! Users and their SSH keys.

use gitstratum_core::UserId;
use gitstratum_proto::control::v1 as wire;
use serde::Serialize;

use crate::Error;
use crate::output::{Column, View};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The id, as hex.
    pub id: String,
    /// What the user signs in as, and owner of the repositories under that name.
    pub name: String,
    /// Address, or empty.
    pub email: String,
    /// May do everything.
    pub cluster_admin: bool,
    /// May do nothing for now.
    pub suspended: bool,
    /// Keys that sign in over SSH.
    pub keys: Vec<Key>,
}

/// An SSH key of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// `SHA256:` and base64, as ssh-keygen prints it.
    pub fingerprint: String,
    /// Algorithm and key, as in authorized_keys.
    pub public_key: String,
    /// What stood behind it.
    pub comment: String,
}

impl From<wire::UserRecord> for User {
    fn from(from: wire::UserRecord) -> Self {
        Self {
            id: UserId(from.id).to_string(),
            name: from.name,
            email: from.email,
            cluster_admin: from.cluster_admin,
            suspended: from.suspended,
            keys: from.keys.into_iter().map(Key::from).collect(),
        }
    }
}

impl From<wire::SshKey> for Key {
    fn from(from: wire::SshKey) -> Self {
        Self { fingerprint: from.fingerprint, public_key: from.public_key, comment: from.comment }
    }
}

/// The first word of a key's name for people, where it is one.
const FINGERPRINT_START: &str = "SHA256:";
/// What a private key's file begins with.
const PRIVATE_START: &str = "-----BEGIN";

/// The one public key in the text of a file; empty lines and remarks are passed over.
///
/// # Errors
/// When there is none, or more than one, or a private one, which is then not sent anywhere.
pub fn parse_key_file(name: &str, text: &str) -> Result<String, Error> {
    let fail = |problem| Error::Argument { what: "key file", value: name.to_owned(), problem };
    let lines = text.lines().map(str::trim);
    let mut keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let key = keys.next().ok_or_else(|| fail("has no key"))?;
    if key.starts_with(PRIVATE_START) {
        return Err(fail("is a private key: give its public half, the file that ends in .pub"));
    }
    match keys.next() {
        Some(_) => Err(fail("has more than one key: add them one at a time")),
        None => Ok(key.to_owned()),
    }
}

impl User {
    /// The fingerprint of the key that `wanted` names: a fingerprint, or a public key.
    pub fn fingerprint_of(&self, wanted: &str) -> Option<&str> {
        let mut words = wanted.split_whitespace();
        let (algorithm, body) = (words.next().unwrap_or_default(), words.next());
        let is_wanted = |key: &&Key| match body {
            Some(body) => key.public_key.split_whitespace().eq([algorithm, body]),
            None => key.fingerprint == wanted,
        };
        self.keys.iter().find(is_wanted).map(|key| key.fingerprint.as_str())
    }
}

/// Whether `text` is a fingerprint rather than a file's name.
pub fn is_fingerprint(text: &str) -> bool {
    text.starts_with(FINGERPRINT_START)
}

impl View for User {
    const COLUMNS: &'static [Column] = &[
        Column::always("NAME"),
        Column::always("EMAIL"),
        Column::always("KEYS"),
        Column::always("ADMIN"),
        Column::wide("SUSPENDED"),
        Column::wide("ID"),
    ];

    fn cells(&self) -> Vec<String> {
        let yes = |holds| if holds { "yes" } else { "no" }.to_owned();
        vec![
            self.name.clone(),
            self.email.clone(),
            self.keys.len().to_string(),
            yes(self.cluster_admin),
            yes(self.suspended),
            self.id.clone(),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl View for Key {
    const COLUMNS: &'static [Column] =
        &[Column::always("FINGERPRINT"), Column::always("COMMENT"), Column::wide("KEY")];

    fn cells(&self) -> Vec<String> {
        vec![self.fingerprint.clone(), self.comment.clone(), self.public_key.clone()]
    }

    fn name(&self) -> String {
        self.fingerprint.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_holds_one_public_key() {
        let parse = |text| parse_key_file("-", text);
        assert_eq!(parse("# mine\n\n ssh-ed25519 AAAA me\n").unwrap(), "ssh-ed25519 AAAA me");
        for (text, why) in [
            ("", "no key"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nx", "private key"),
            ("ssh-ed25519 A\nssh-ed25519 B\n", "more than one"),
        ] {
            let error = parse(text).expect_err("because it is not one key").to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn keys_are_named_by_fingerprint_or_by_themselves() {
        let key = Key {
            fingerprint: "SHA256:abc".to_owned(),
            public_key: "ssh-ed25519 AAAA".to_owned(),
            comment: "me@here".to_owned(),
        };
        let user = User { keys: vec![key], ..User::from(wire::UserRecord::default()) };
        for wanted in ["SHA256:abc", "ssh-ed25519 AAAA", "ssh-ed25519 AAAA other comment"] {
            assert_eq!(user.fingerprint_of(wanted), Some("SHA256:abc"), "{wanted}");
        }
        for wanted in ["SHA256:ab", "ssh-ed25519 BBBB", "ssh-ed25519", ""] {
            assert_eq!(user.fingerprint_of(wanted), None, "{wanted}");
        }
    }
}
