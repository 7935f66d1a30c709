use std::path::PathBuf;
use std::time::Duration;

/// How an object node works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Folder of the segment files.
    pub segments: PathBuf,
    /// Folder of the files without names in which runs make their packs.
    pub spool: PathBuf,
    /// Largest segment kept as a row instead of a file, in bytes (S4).
    pub inline_bytes_max: usize,
    /// Most segments written at once; further writers wait, then are busy.
    pub writes_max: usize,
    /// Most whole segments given out to copying nodes at once.
    pub transfers_max: usize,
    /// Most segments copied from other nodes at once.
    pub pulls_max: usize,
    /// Bytes that all nodes together copy in a second, where the cluster's settings say nothing:
    /// each takes its share (S38).
    pub copy_bytes_per_second: u64,
    /// Longest silence of a writer.
    pub write_idle: Duration,
    /// Opened segments' headers and footers kept in memory, in bytes.
    pub layout_cache_bytes: u64,
    /// How often unlisted segments are asked about.
    pub sweep_every: Duration,
    /// Age at which an unlisted segment is first asked about.
    pub sweep_age: Duration,
    /// How often what is held is compared with what the partitions list (S21).
    pub inventory_every: Duration,
    /// How often everything held is read and verified (P-I2).
    pub scrub_every: Duration,
    /// Bytes a second that this reads at most.
    pub scrub_bytes_per_second: u64,
    /// Rest between a start and the first of it.
    pub scrub_after_start: Duration,
    /// Whether a damaged copy is put aside, to be replaced by another node's. A node that is alone
    /// goes on giving what is sound of it.
    pub puts_damage_aside: bool,
    /// Whether the service ends when it cannot vouch for its disk any more, to be started anew
    /// (P-D5); else it refuses writes from then on.
    pub ends_when_unsound: bool,
}

impl Config {
    /// The defaults, with segment files in `segments`.
    pub fn new(segments: PathBuf) -> Self {
        Self {
            spool: segments.with_file_name("runs"),
            segments,
            inline_bytes_max: 256 * 1024,
            writes_max: 64,
            transfers_max: 16,
            pulls_max: 8,
            copy_bytes_per_second: 256 * 1024 * 1024,
            write_idle: Duration::from_secs(60),
            layout_cache_bytes: 8 * 1024 * 1024,
            sweep_every: Duration::from_secs(10),
            sweep_age: Duration::from_secs(30),
            inventory_every: Duration::from_secs(3_600),
            scrub_every: Duration::from_secs(7 * 24 * 3_600),
            scrub_bytes_per_second: 16 * 1024 * 1024,
            scrub_after_start: Duration::from_secs(5),
            puts_damage_aside: true,
            ends_when_unsound: false,
        }
    }

    /// # Errors
    /// Names the first field that makes no sense.
    pub fn validate(&self) -> Result<(), &'static str> {
        if self.writes_max == 0 {
            return Err("writes_max must be at least 1");
        }
        if self.transfers_max == 0 || self.pulls_max == 0 || self.copy_bytes_per_second == 0 {
            return Err("transfers_max, pulls_max and copy_bytes_per_second must be at least 1");
        }
        if self.inventory_every.is_zero() || self.scrub_every.is_zero() {
            return Err("inventory_every and scrub_every must be longer than zero");
        }
        if self.scrub_bytes_per_second == 0 {
            return Err("scrub_bytes_per_second must be at least 1");
        }
        if self.sweep_every.is_zero() {
            return Err("sweep_every must be longer than zero");
        }
        Ok(())
    }
}
