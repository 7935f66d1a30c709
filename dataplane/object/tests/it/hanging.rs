//! A disk that hangs in the midst of a copy, and wakes when nobody waits for it any more.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{NodeId, SegmentId};
use gitstratum_process::spawn;
use gitstratum_store::files::{Entry, Error, Lock, Metadata, Space};
use gitstratum_store::{File, Files, MemoryFiles, Permissions};
use parking_lot::{Condvar, Mutex};
use tonic::Code;

use crate::world::{
    CLUSTER, Disk, NODE, World, eventually, flip, mark_known, path, segment, whole,
};

const OTHER: NodeId = NodeId(2);
const THIRD: NodeId = NodeId(3);
const LARGE: usize = 1_500_000;
/// Longest that a call hangs: a test that fails is to end.
const HANGS_MAX: Duration = Duration::from_secs(20);

/// What hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Create,
    Remove,
    Rename,
}

/// Files of which one kind of call hangs.
struct HangingFiles {
    inner: Arc<MemoryFiles>,
    plan: Mutex<Plan>,
    resumed: Condvar,
}

#[derive(Default)]
struct Plan {
    hangs: Option<Call>,
    hanging: u32,
}

impl HangingFiles {
    fn new(inner: &Arc<MemoryFiles>) -> Arc<Self> {
        let (plan, resumed) = (Mutex::default(), Condvar::new());
        Arc::new(Self { inner: Arc::clone(inner), plan, resumed })
    }

    fn hang(&self, call: Call) {
        self.plan.lock().hangs = Some(call);
    }

    fn resume(&self) {
        self.plan.lock().hangs = None;
        self.resumed.notify_all();
    }

    fn hanging(&self) -> u32 {
        self.plan.lock().hanging
    }

    fn pass(&self, call: Call) {
        let mut plan = self.plan.lock();
        plan.hanging += 1;
        self.resumed.wait_while_for(&mut plan, |plan| plan.hangs == Some(call), HANGS_MAX);
        plan.hanging -= 1;
    }
}

impl Files for HangingFiles {
    fn create(&self, path: &Path, permissions: Permissions) -> Result<Box<dyn File>, Error> {
        self.pass(Call::Create);
        self.inner.create(path, permissions)
    }

    fn create_unnamed(&self, directory: &Path) -> Result<Box<dyn File>, Error> {
        self.inner.create_unnamed(directory)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>, Error> {
        self.inner.open(path)
    }

    fn create_directory(&self, path: &Path) -> Result<(), Error> {
        self.inner.create_directory(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.pass(Call::Rename);
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        self.pass(Call::Remove);
        self.inner.remove(path)
    }

    fn remove_directory(&self, path: &Path) -> Result<(), Error> {
        self.inner.remove_directory(path)
    }

    fn list(&self, directory: &Path) -> Result<Vec<Entry>, Error> {
        self.inner.list(directory)
    }

    fn sync_directory(&self, directory: &Path) -> Result<(), Error> {
        self.inner.sync_directory(directory)
    }

    fn space(&self, directory: &Path) -> Result<Space, Error> {
        self.inner.space(directory)
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, Error> {
        self.inner.metadata(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, Error> {
        self.inner.lock(path)
    }
}

/// A leader asks for the copy, and does not wait for the end.
async fn ask_and_leave(world: &World, (segment, from): (SegmentId, NodeId), files: &HangingFiles) {
    let mut calls = world.calls(gitstratum_core::ProcessRole::Metadata);
    let request = gitstratum_proto::object::v1::PullRequest {
        partition: 0,
        term: 1,
        segment_id: segment.0.to_vec().into(),
        from: vec![from.0],
        list_number: 1,
    };
    let asking = spawn("a leader", async move { calls.pull(request).await.map(drop) });
    eventually("the disk hangs", || files.hanging() > 0).await;
    drop(asking);
    // The connection ends, and with it the call.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

/// What a hanging disk does when it wakes must not meet the file that a later copy has made in
/// the same place: that would be acknowledged, and gone.
#[tokio::test]
async fn p_d1_s4_a_segment_is_held_until_the_disk_has_woken() {
    for call in [Call::Create, Call::Remove, Call::Rename] {
        let (disk, bad, mine) = (Disk::new(), Disk::new(), Disk::new());
        let made = segment(2, LARGE, CLUSTER);
        let world = World::start(&disk).await;
        world.write(&made).await.unwrap();
        let third = world.start_beside(THIRD, &bad).await;
        third.pull(made.id, &[NODE], 1).await.unwrap();
        third.stop().await;
        flip(&bad.files, &made, 700_000);
        // It is not in doubt, and given away as it is.
        mark_known(&bad, &made);
        let third = world.start_beside(THIRD, &bad).await;
        let files = HangingFiles::new(&mine.files);
        let on = (Arc::clone(&files) as _, Arc::clone(&mine.engine) as _);
        let beside = world.start_beside_on(OTHER, on.0, on.1).await;
        let from = match call {
            Call::Create => NODE,
            // What comes from there is damaged, and given up.
            Call::Remove => THIRD,
            // What is there is damaged, and put aside.
            Call::Rename => {
                beside.pull(made.id, &[NODE], 1).await.unwrap();
                flip(&mine.files, &made, 700_000);
                NODE
            }
        };
        files.hang(call);
        ask_and_leave(&beside, (made.id, from), &files).await;
        let again = tokio::time::timeout(HANGS_MAX / 4, beside.pull(made.id, &[NODE], 1)).await;
        let refused = again.expect("it is refused at once").unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{call:?}: {refused}");
        files.resume();
        let gone = || mine.files.metadata(&path(&made)).unwrap().is_none();
        eventually("nothing of it stays", gone).await;
        pull_until_done(&beside, made.id).await;
        assert_eq!(beside.read(made.id, whole(&made)).await.unwrap(), made.entries, "{call:?}");
        assert!(mine.files.metadata(&path(&made)).unwrap().is_some(), "{call:?}: it has a name");
        for node in [world, third, beside] {
            node.stop().await;
        }
    }
}

/// The hold is let go when the disk has woken.
async fn pull_until_done(world: &World, segment: SegmentId) {
    for _ in 0..500 {
        match world.pull(segment, &[NODE], 1).await {
            Ok(_) => return,
            Err(refused) => assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never let go");
}
