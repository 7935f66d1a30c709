use std::path::PathBuf;
use std::time::Duration;

use gitstratum_client::cluster::OFFLINE_GRACE;

/// How an agent works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Folder of the snapshot and the incarnation number.
    pub directory: PathBuf,
    /// The Unix socket that the other processes of the node use.
    pub socket: PathBuf,
    /// How often the node is reported alive when nothing else is to be told.
    pub heartbeat_every: Duration,
    /// How long credentials are good without news, unless the cluster has a setting for it.
    pub offline_grace: Duration,
}

/// Longest path of a Unix socket that the kernel takes, in bytes.
const SOCKET_PATH_BYTES_MAX: usize = 107;

impl Config {
    /// The defaults, with everything in `directory`.
    pub fn new(directory: PathBuf) -> Self {
        let socket = directory.join("agent.sock");
        let heartbeat_every = Duration::from_secs(1);
        Self { directory, socket, heartbeat_every, offline_grace: OFFLINE_GRACE }
    }

    /// # Errors
    /// Says what is wrong.
    pub fn validate(&self) -> Result<(), String> {
        let length = self.socket.as_os_str().len();
        if length > SOCKET_PATH_BYTES_MAX {
            let path = self.socket.display();
            return Err(format!(
                "socket path {path} has {length} bytes, the kernel takes {SOCKET_PATH_BYTES_MAX}: use a shorter data directory"
            ));
        }
        Ok(())
    }
}
