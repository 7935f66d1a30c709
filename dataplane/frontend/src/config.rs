//! How a frontend works: plain values, no environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes that a push may send besides its pack: commands, options, and what shows that
/// the pack is too large.
const PUSH_EXTRA_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Settings of a frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where plain HTTP is served; port 0 picks a free one, `None` serves none.
    pub http: Option<SocketAddr>,
    /// Where HTTPS is served, likewise.
    pub https: Option<SocketAddr>,
    /// Where SSH is served, likewise.
    pub ssh: Option<SocketAddr>,
    /// Most connections of clients at a time, on each port.
    pub connections_max: usize,
    /// Most of them from one client address.
    pub connections_per_client_max: usize,
    /// How long ports stay open once the drain has started (design §9).
    pub close_after: Duration,
    /// How long requests under way may then take.
    pub drain_within: Duration,
    /// Folder for the unlinked spool files of incoming packs (S17).
    pub spool: PathBuf,
    /// Bytes that all spools together may hold.
    pub spool_bytes_max: u64,
    /// Largest pack of one push, in bytes.
    pub pack_bytes_max: u64,
    /// Most bytes of all requests of one fetch (bad input 12).
    pub fetch_request_bytes_max: u64,
    /// Largest object, in bytes.
    pub object_bytes_max: u64,
    /// Most objects in one push.
    pub objects_max: u32,
    /// Memory for delta bases of one push, in bytes.
    pub delta_base_bytes_max: u64,
    /// Memory that all pushes together may draw, in bytes.
    pub push_memory_bytes_max: u64,
    /// Longest silence of a client.
    pub idle: Duration,
    /// Longest time one request may take.
    pub request_max: Duration,
    /// Longest time a client may take to log in.
    pub login_max: Duration,
    /// How long a push waits for disk or memory before it is told that the server is busy (S17).
    pub budget_wait: Duration,
    /// Memory for held refs and manifests, in bytes.
    pub views_bytes_max: u64,
    /// Fetches of one repository at once, those that wait, and how long.
    pub fetches_per_repository_max: usize,
    /// Fetches that may wait for a place.
    pub fetches_waiting_max: usize,
    /// How long they wait before they are told that the server is busy.
    pub fetch_wait: Duration,
    /// Copies of each segment (the layout's replication factor bounds it).
    pub replication_factor: u8,
}

impl Config {
    /// The defaults, spooling in `spool`.
    pub fn new(spool: PathBuf) -> Self {
        Self {
            http: None,
            https: None,
            ssh: None,
            connections_max: 10_000,
            connections_per_client_max: 1_000,
            close_after: Duration::from_secs(5),
            drain_within: Duration::from_secs(900),
            spool,
            spool_bytes_max: 16 * 1024 * 1024 * 1024,
            pack_bytes_max: 2 * 1024 * 1024 * 1024,
            fetch_request_bytes_max: 64 * 1024 * 1024,
            object_bytes_max: 100 * 1024 * 1024,
            objects_max: 4_000_000,
            delta_base_bytes_max: 96 * 1024 * 1024,
            push_memory_bytes_max: 256 * 1024 * 1024,
            idle: Duration::from_secs(60),
            request_max: Duration::from_secs(3_600),
            login_max: Duration::from_secs(30),
            budget_wait: Duration::from_secs(1),
            views_bytes_max: 64 * 1024 * 1024,
            fetches_per_repository_max: 20,
            fetches_waiting_max: 10,
            fetch_wait: Duration::from_secs(1),
            replication_factor: 3,
        }
    }

    /// Most bytes that a push may send: its pack and the commands before it. Far beyond
    /// what a pack may have, so that a larger one is refused by name and not cut.
    pub(crate) fn push_request_bytes_max(&self) -> u64 {
        self.pack_bytes_max.saturating_add(PUSH_EXTRA_BYTES_MAX)
    }

    /// Whether the settings make sense.
    ///
    /// # Errors
    /// Names the first field that makes no sense.
    pub fn validate(&self) -> Result<(), &'static str> {
        if self.object_bytes_max > 4 * 1024 * 1024 * 1024 {
            return Err("object_bytes_max may be 4 GiB at most");
        }
        if self.spool_bytes_max < self.pack_bytes_max {
            return Err("spool_bytes_max must hold one pack of pack_bytes_max");
        }
        if self.replication_factor == 0 {
            return Err("replication_factor must be at least 1");
        }
        Ok(())
    }
}
