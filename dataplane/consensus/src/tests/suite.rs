//! openraft's own conformance suite on our stores.

use std::sync::Arc;

use gitstratum_core::SystemClock;
use gitstratum_store::{Committer, Engine, MemoryEngine, RocksEngine, RocksMemory, RocksOptions};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::applier::{Applied, Applier};
use crate::group::Failure;
use crate::host::families;
use crate::id::GroupId;
use crate::log::{Context, LogStore};
use crate::raft::Types;
use crate::testing::Register;

fn stores(engine: Arc<dyn Engine>) -> (LogStore, Applier<Register>) {
    let committer =
        Committer::start(Arc::clone(&engine), SystemClock::new(), Default::default()).unwrap();
    let failure = Failure::default();
    let context = Context {
        replica: 0,
        group: GroupId(u64::MAX),
        engine: Arc::clone(&engine),
        committer,
        failure: failure.clone(),
    };
    let group = context.group;
    let log = LogStore::open(context).unwrap();
    let applied = Applied::open(group, engine, failure, 1 << 10, Register::new()).unwrap();
    (log, Applier(Arc::new(applied)))
}

struct InMemory;

impl StoreBuilder<Types, LogStore, Applier<Register>> for InMemory {
    async fn build(&self) -> Result<((), LogStore, Applier<Register>), StorageError<Types>> {
        let (log, machine) = stores(MemoryEngine::new(&families()));
        Ok(((), log, machine))
    }
}

struct OnDisk;

impl StoreBuilder<Types, LogStore, Applier<Register>, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, LogStore, Applier<Register>), StorageError<Types>> {
        let directory = tempfile::tempdir().unwrap();
        let engine = RocksEngine::open(RocksOptions {
            path: directory.path().to_owned(),
            families: families().to_vec(),
            memory: RocksMemory::new(8 << 20, 8 << 20),
        });
        let (log, machine) = stores(engine.unwrap());
        Ok((directory, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_in_memory_passes_openrafts_suite() {
    Suite::test_all(InMemory).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_on_disk_passes_openrafts_suite() {
    Suite::test_all(OnDisk).await.unwrap();
}
