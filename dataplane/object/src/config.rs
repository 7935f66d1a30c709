use std::path::PathBuf;
use std::time::Duration;

/// How an object node works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Folder of the segment files.
    pub segments: PathBuf,
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
}

impl Config {
    /// The defaults, with segment files in `segments`.
    pub fn new(segments: PathBuf) -> Self {
        Self {
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
        if self.sweep_every.is_zero() {
            return Err("sweep_every must be longer than zero");
        }
        Ok(())
    }
}
