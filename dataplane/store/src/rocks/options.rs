use std::path::PathBuf;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    LogLevel, Options, WriteBufferManager,
};

use super::wal::Verdict;
use crate::engine::Family;

/// Bytes of rows that one column family holds before they become a sorted file.
const WRITE_BUFFER_BYTES: usize = 8 << 20;
/// Bytes of log after which the oldest rows are flushed so that it can be dropped.
const LOG_BYTES_MAX: u64 = 32 << 20;
/// Sorted files kept open.
const OPEN_FILES_MAX: i32 = 256;
/// Bytes of RocksDB's own diary before a new one is begun; two are kept.
const DIARY_BYTES_MAX: usize = 1 << 20;
/// Bytes per key of the filter that spares reads of absent keys, in bits.
const FILTER_BITS_PER_KEY: f64 = 10.0;

/// The memory that all engines of a process share.
#[derive(Clone)]
pub struct RocksMemory {
    cache: Cache,
    write_buffers: WriteBufferManager,
}

impl RocksMemory {
    /// A budget of `cache_bytes` for blocks read, of which `write_buffer_bytes` may hold
    /// rows not yet flushed.
    pub fn new(cache_bytes: usize, write_buffer_bytes: usize) -> Self {
        let cache = Cache::new_lru_cache(cache_bytes);
        let write_buffers = WriteBufferManager::new_write_buffer_manager_with_cache(
            write_buffer_bytes,
            false,
            cache.clone(),
        );
        Self { cache, write_buffers }
    }
}

/// What is needed to open an engine.
#[derive(Clone)]
pub struct RocksOptions {
    /// Its directory; nothing else may live there.
    pub path: PathBuf,
    /// Its column families. Families can be added at a later open, not left out.
    pub families: Vec<Family>,
    /// The memory it shares with the other engines of the process.
    pub memory: RocksMemory,
}

pub(super) fn open(options: &RocksOptions, verdict: Verdict) -> Result<DB, rocksdb::Error> {
    let names = options.families.iter().map(|family| family.0).chain(["default"]);
    let families = names.map(|name| ColumnFamilyDescriptor::new(name, family(&options.memory)));
    DB::open_cf_descriptors(&database(&options.memory, verdict), &options.path, families)
}

fn database(memory: &RocksMemory, verdict: Verdict) -> Options {
    let mut options = family(memory);
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    // A whole log that is gone, not only one that ends too early.
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_wal_recovery_mode(match verdict {
        Verdict::Sound => DBRecoveryMode::TolerateCorruptedTailRecords,
        // The examination has shown that nothing synced lies behind the tear.
        Verdict::Torn => DBRecoveryMode::PointInTime,
    });
    options.set_manual_wal_flush(false);
    options.set_max_total_wal_size(LOG_BYTES_MAX);
    options.set_recycle_log_file_num(0);
    options.set_write_buffer_manager(&memory.write_buffers);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(2);
    options.set_max_file_opening_threads(1);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(DIARY_BYTES_MAX);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

fn family(memory: &RocksMemory) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&memory.cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_bloom_filter(FILTER_BITS_PER_KEY, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    options
}
