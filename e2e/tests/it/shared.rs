//! One running system for all tests of a file: a start costs a second, a repository
//! nothing. It lives as long as one of them uses it.

use std::sync::{Arc, Weak};

use anyhow::Result;
use gitstratum_e2e::wire::ssh::Key;
use gitstratum_e2e::{Options, Stratum};
use parking_lot::Mutex;

/// A running system and the admin's credentials.
pub(crate) struct Up {
    pub(crate) stratum: Stratum,
    /// The admin's token.
    pub(crate) token: String,
    /// A key of the admin.
    pub(crate) key: Key,
}

impl Up {
    /// Starts one.
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(Options::default())
    }

    /// The same with options.
    pub(crate) fn start_with(options: Options) -> Result<Self> {
        let stratum = Stratum::start_with(options)?;
        let token = stratum.admin_token()?;
        let key = Key::generate()?;
        stratum.register_public("admin", &key.public_line())?;
        stratum.register_key()?;
        Ok(Self { stratum, token, key })
    }
}

/// Where the tests of a file find theirs.
pub(crate) struct Shared(Mutex<Weak<Up>>);

impl Shared {
    /// Nothing runs yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    /// The one that runs, started if none does.
    pub(crate) fn get(&self) -> Result<Arc<Up>> {
        let mut place = self.0.lock();
        if let Some(up) = place.upgrade() {
            return Ok(up);
        }
        let up = Arc::new(Up::start()?);
        *place = Arc::downgrade(&up);
        Ok(up)
    }
}
