use std::os::unix::net::UnixStream;
use std::path::Path;

use gitstratum_ctl::access::Secret;
use gitstratum_ctl::endpoint::{self, Endpoint};

use super::super::Failure;
use super::{Entry, Origin};

/// Name of the user that `up` makes first.
const ADMIN: &str = "admin";

/// An `up` that runs on this machine, at the server that was asked for.
pub(in super::super) struct Local {
    token: Secret,
}

impl Local {
    /// The `up` on `data`, if it serves `origin` and runs: what a killed one left says nothing of
    /// who listens there now, and nobody else shall have its token.
    pub(in super::super) fn find(data: &Path, origin: &Origin) -> Result<Option<Self>, Failure> {
        let Some(found) = Endpoint::read(data)? else { return Ok(None) };
        if !found.serves(origin.protocol(), origin.host()) {
            return Ok(None);
        }
        if UnixStream::connect(endpoint::socket(data, Some(&found))).is_err() {
            return Ok(None);
        }
        let token = Secret::read(&endpoint::admin_token_file(data, Some(&found)))?;
        Ok(Some(Self { token }))
    }

    /// What its first admin signs in with.
    pub(super) fn entry(&self) -> Entry {
        Entry { username: ADMIN.to_owned(), token: self.token.expose().to_owned() }
    }
}
