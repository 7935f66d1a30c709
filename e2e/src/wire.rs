//! A client of its own for the listeners: it knows the protocols well enough to be served
//! and to say anything wrong. Nothing here is shared with the server's code: what both
//! would misread alike would never be seen.

pub mod http;
pub mod pkt;
pub mod ssh;
mod tcp;

use std::time::Duration;

use anyhow::Result;

pub use tcp::{End, Heard, Wire, talk};

/// The two programs that git runs on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl Program {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

/// What the server said to one request.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// HTTP's status.
    pub status: Option<u16>,
    /// SSH's exit status.
    pub exit: Option<u32>,
    /// The body, or standard output, without the advertisement.
    pub out: Vec<u8>,
    /// SSH's standard error.
    pub err: Vec<u8>,
    /// From the first byte sent to the last byte heard.
    pub took: Duration,
}

impl Said {
    /// Why the request failed as a whole: a status, an `ERR` packet, last words on band 3,
    /// words on standard error. `None` when none of these was said.
    pub fn failure(&self) -> Option<String> {
        if let Some(status) = self.status.filter(|status| *status != 200) {
            return Some(format!("{status} {}", String::from_utf8_lossy(&self.out).trim_end()));
        }
        if let Some(words) = pkt::error_in(&self.out) {
            return Some(words);
        }
        let failed = self.exit.is_some_and(|exit| exit != 0);
        failed.then(|| String::from_utf8_lossy(&self.err).trim_end().to_owned())
    }
}

/// A way to one repository: HTTP or SSH, with somebody's credentials.
pub trait Door {
    /// Runs `program`, sends it `body`, and hears it out. For a push and for protocol v0 the
    /// body is what follows the advertisement.
    ///
    /// # Errors
    /// When no connection can be made or the answer is no answer of its protocol. A
    /// connection that the server cuts is no error: then little was said.
    fn ask(&self, program: Program, body: &[u8]) -> Result<Said>;
}
