//! What a node proves of what it holds: incarnations, inventories, damage, scrubbing.

use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::bulk::Span;
use gitstratum_core::{ErrorKind, Incarnation, NodeId};
use gitstratum_object::Config;
use gitstratum_store::{
    Batch, Durability, Engine as _, Family, Fault, FaultyEngine, Files as _, MemoryEngine,
    Reader as _,
};

use crate::partition::Partitions;
use crate::world::{
    CLUSTER, Disk, INLINE, Made, NODE, RECORDS, World, eventually, flip, flip_row, is_known, path,
    segment, whole,
};

const OTHER: NodeId = NodeId(2);
const SMALL: usize = 1_000;
const LARGE: usize = 1_500_000;
/// Rows of a node, as docs/formats/object-rows.md describes them.
const STATE: Family = Family("node_state");
/// Key of a node's standing with partition 0.
const STANDING: [u8; 5] = [b'i', 0, 0, 0, 0];

/// Everything behind is quick, but scrubbing, which waits.
fn quick(config: Config) -> Config {
    Config {
        sweep_every: Duration::from_millis(20),
        sweep_age: Duration::ZERO,
        inventory_every: Duration::from_millis(100),
        scrub_after_start: Duration::from_secs(3_600),
        ..config
    }
}

async fn start(disk: &Disk, partitions: &Partitions) -> World {
    let on = (Arc::clone(&disk.files) as _, Arc::clone(&disk.engine) as _);
    World::start_before(partitions, on, quick).await
}

#[tokio::test]
async fn s23_every_start_shows_a_higher_number_than_disk_and_partition_know() {
    let (mut disk, partitions) = (Disk::new(), Partitions::default());
    partitions.has_seen(1, NODE, 40);
    let world = start(&disk, &partitions).await;
    let written = world.write(&segment(1, SMALL, CLUSTER)).await.unwrap();
    assert_eq!(written.incarnation, Incarnation(3));
    eventually("partition 1 admits", || partitions.shown(1, NODE) == 41).await;
    assert_eq!(partitions.shown(0, NODE), 3, "shown before the ack");
    world.stop().await;
    disk = disk.crash();
    let world = start(&disk, &partitions).await;
    let written = world.write(&segment(2, LARGE, CLUSTER)).await.unwrap();
    assert_eq!(written.incarnation, Incarnation(4));
    assert_eq!(partitions.shown(0, NODE), 4);
    world.stop().await;
}

#[tokio::test]
async fn s23_a_partition_without_quorum_holds_up_no_other() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    partitions.cut_off(1);
    let world = start(&disk, &partitions).await;
    world.write(&segment(1, SMALL, CLUSTER)).await.unwrap();
    assert_eq!(partitions.shown(1, NODE), 0);
    world.stop().await;
    partitions.cut_off(0);
    partitions.join(1);
    let world = start(&disk, &partitions).await;
    let refused = world.write(&segment(2, SMALL, CLUSTER)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(partitions.shown(1, NODE) > 0);
    partitions.join(0);
    eventually("it admits", || partitions.shown(0, NODE) > 3).await;
    world.write(&segment(3, SMALL, CLUSTER)).await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn s23_a_disk_older_than_seen_serves_only_what_it_has_verified_again() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let (sound, damaged) = (segment(1, LARGE, CLUSTER), segment(2, LARGE, CLUSTER));
    let world = start(&disk, &partitions).await;
    for made in [&sound, &damaged] {
        world.write(made).await.unwrap();
        partitions.list(made.id, &[NODE, OTHER], 1);
    }
    let listed = || world.figure("gitstratum_object_segments") == 2;
    eventually("both are held", listed).await;
    world.stop().await;
    // The rows are gone, and somewhere a bit that the first read does not touch.
    let disk = Disk { files: disk.files, engine: MemoryEngine::new(&gitstratum_object::FAMILIES) };
    flip(&disk.files, &damaged, 900_000);
    let world = start(&disk, &partitions).await;
    eventually("it is admitted", || partitions.shown(0, NODE) > 3).await;
    assert_eq!(world.read(sound.id, whole(&sound)).await.unwrap(), sound.entries);
    let first = Span { offset: 0, length: 100 };
    let refused = world.read(damaged.id, first).await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Corrupt | ErrorKind::NotFound), "{refused}");
    eventually("the loss is told", || partitions.lost() == [(damaged.id, 1)]).await;
    world.stop().await;
}

/// The row by which a disk remembers its standing with partition 0.
fn standing(disk: &Disk) -> Option<Vec<u8>> {
    disk.engine.get(STATE, &STANDING).unwrap().map(|row| row.to_vec())
}

#[tokio::test]
async fn s23_doubt_of_the_whole_disk_outlives_that_of_the_few_that_were_not_listed() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let (damaged, unlisted) = (segment(1, LARGE, CLUSTER), segment(2, LARGE, CLUSTER));
    let world = start(&disk, &partitions).await;
    world.write(&damaged).await.unwrap();
    partitions.list(damaged.id, &[NODE, OTHER], 1);
    eventually("it is known to be listed", || is_known(&disk, &damaged)).await;
    world.write(&unlisted).await.unwrap();
    world.stop().await;
    // The process that found the disk too old ended before it had verified all of it, and the
    // next one hears nothing of the partition at first.
    let mut batch = Batch::new();
    batch.put(STATE, STANDING.to_vec(), vec![1, 1, 0, 0, 0, 0, 0, 0, 0, 3]);
    disk.engine.write(batch, Durability::Synced).unwrap();
    flip(&disk.files, &damaged, 900_000);
    partitions.cut_off(0);
    let read = |world: &World| world.figure("gitstratum_object_read_bytes_total");
    let world = start(&disk, &partitions).await;
    eventually("the unlisted one is verified", || read(&world) >= LARGE as u64).await;
    partitions.join(0);
    eventually("the loss is told", || partitions.lost() == [(damaged.id, 1)]).await;
    eventually("the doubt ends", || standing(&disk).is_some_and(|row| row[1] == 0)).await;
    let (number, shown) = (standing(&disk).unwrap()[9], partitions.shown(0, NODE));
    assert_eq!(u64::from(number), shown, "and the number stays");
    world.stop().await;
}

#[tokio::test]
async fn s23_an_emptied_disk_has_nothing_to_doubt() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    partitions.has_seen(0, NODE, 40);
    let world = start(&disk, &partitions).await;
    eventually("it is admitted", || partitions.shown(0, NODE) == 41).await;
    assert_eq!(standing(&disk).unwrap(), [1, 0, 0, 0, 0, 0, 0, 0, 0, 41]);
    world.stop().await;
}

#[tokio::test]
async fn s21_what_is_listed_and_not_held_is_told_with_the_lists_number() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let (held, gone) = (segment(1, SMALL, CLUSTER), segment(2, SMALL, CLUSTER));
    partitions.list(gone.id, &[NODE, OTHER], 7);
    partitions.list(segment(3, SMALL, CLUSTER).id, &[OTHER], 1);
    let world = start(&disk, &partitions).await;
    world.write(&held).await.unwrap();
    partitions.list(held.id, &[NODE], 1);
    eventually("the loss is told", || !partitions.lost().is_empty()).await;
    assert_eq!(partitions.lost()[0], (gone.id, 7));
    assert!(partitions.lost().iter().all(|(id, _)| *id == gone.id));
    assert_eq!(world.read(held.id, whole(&held)).await.unwrap(), held.entries);
    world.stop().await;
}

/// Nothing is compared meanwhile: it is the read that finds the gap.
#[tokio::test]
async fn rv_m3_a_read_that_finds_a_gap_has_it_repaired() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let on = (Arc::clone(&disk.files) as _, Arc::clone(&disk.engine) as _);
    let rarely = |config| Config { inventory_every: Duration::from_secs(3_600), ..quick(config) };
    let world = World::start_before(&partitions, on, rarely).await;
    let (gone, moved) = (segment(2, SMALL, CLUSTER), segment(3, SMALL, CLUSTER));
    eventually("the comparison of the start", || partitions.compared() > 0).await;
    partitions.list(gone.id, &[NODE, OTHER], 7);
    partitions.list(moved.id, &[OTHER], 3);
    for made in [&moved, &gone] {
        let missing = world.read(made.id, whole(made)).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }
    eventually("the gap is told", || !partitions.lost().is_empty()).await;
    assert_eq!(partitions.lost(), [(gone.id, 7)], "who reads by an old list finds no gap");
    world.stop().await;
}

#[tokio::test]
async fn s21_a_listed_copy_goes_when_a_newer_list_has_other_owners_and_not_before() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let made = segment(1, SMALL, CLUSTER);
    let world = start(&disk, &partitions).await;
    world.write(&made).await.unwrap();
    partitions.list(made.id, &[NODE, OTHER], 1);
    let before = partitions.compared();
    eventually("it is compared", || partitions.compared() > before + 2).await;
    // Asked to have it by list 4, it keeps the copy although list 4 does not name it yet.
    world.pull(made.id, &[], 4).await.unwrap();
    partitions.list(made.id, &[OTHER], 4);
    let before = partitions.compared();
    eventually("it is compared", || partitions.compared() > before + 2).await;
    assert_eq!(world.read(made.id, whole(&made)).await.unwrap(), made.entries);
    partitions.list(made.id, &[OTHER], 5);
    eventually("it is swept", || world.figure("gitstratum_object_segments") == 0).await;
    let gone = world.read(made.id, whole(&made)).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound, "{gone}");
    world.stop().await;
}

#[tokio::test]
async fn s12_what_nobody_lists_goes_only_when_its_writer_is_closed() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let made = segment(1, SMALL, CLUSTER);
    let world = start(&disk, &partitions).await;
    world.write(&made).await.unwrap();
    let before = partitions.compared();
    eventually("it is compared", || partitions.compared() > before + 2).await;
    assert_eq!(world.read(made.id, whole(&made)).await.unwrap(), made.entries);
    partitions.close_writers();
    eventually("it is swept", || world.figure("gitstratum_object_segments") == 0).await;
    world.stop().await;
}

#[tokio::test]
async fn s29_a_damaged_copy_is_put_aside_told_and_replaced() {
    let (disk, other, partitions) = (Disk::new(), Disk::new(), Partitions::default());
    let made = segment(2, LARGE, CLUSTER);
    let world = start(&disk, &partitions).await;
    let beside = world.start_beside(OTHER, &other).await;
    world.write(&made).await.unwrap();
    beside.pull(made.id, &[NODE], 1).await.unwrap();
    partitions.list(made.id, &[NODE, OTHER], 1);
    world.stop().await;
    flip(&disk.files, &made, 700_000);
    let world = start(&disk, &partitions).await;
    let damaged = world.read(made.id, Span { offset: 699_000, length: 2_000 }).await;
    assert!(damaged.is_err());
    eventually("the loss is told", || partitions.lost() == [(made.id, 1)]).await;
    assert_eq!(world.figure("gitstratum_object_damage_found_total"), 1);
    assert_eq!(world.figure("gitstratum_object_copies_lost_total"), 1);
    let aside = path(&made).with_extension("damaged");
    assert!(disk.files.metadata(&aside).unwrap().is_some(), "its bytes are kept");
    let gone = world.read(made.id, Span { offset: 0, length: 10 }).await.unwrap_err();
    assert!(gone.to_string().contains("put aside"), "no byte of it is served: {gone}");
    world.stop().await;
    beside.stop().await;
}

/// P-I4: what nobody wants takes no space, damaged or not. The copy is damaged when its last list
/// has gone, or was put aside and told before that; and the list may be gone or name others.
#[tokio::test]
async fn s21_gs_ob_09_a_damaged_copy_that_nobody_wants_goes() {
    for (is_told_first, owners) in [(false, &[][..]), (true, &[]), (true, &[OTHER])] {
        let (disk, partitions) = (Disk::new(), Partitions::default());
        let made = segment(2, SMALL, CLUSTER);
        let world = start(&disk, &partitions).await;
        world.write(&made).await.unwrap();
        partitions.list(made.id, &[NODE, OTHER], 1);
        eventually("it is known to be listed", || is_known(&disk, &made)).await;
        world.stop().await;
        // Of its header: nothing says any more who wrote it.
        flip_row(&disk, &made, 10);
        if !is_told_first {
            partitions.unlist(made.id);
        }
        let world = start(&disk, &partitions).await;
        if is_told_first {
            world.read(made.id, whole(&made)).await.unwrap_err();
            eventually("the loss is told", || partitions.lost() == [(made.id, 1)]).await;
            match owners {
                [] => partitions.unlist(made.id),
                owners => partitions.list(made.id, owners, 2),
            }
        }
        let aside = path(&made).with_extension("damaged");
        let is_gone = || {
            let row = disk.engine.get(INLINE, &made.id.0).unwrap();
            let record = disk.engine.get(RECORDS, &made.id.0).unwrap();
            let file = disk.files.metadata(&aside).unwrap();
            row.is_none() && record.is_none() && file.is_none()
        };
        eventually("nothing of it is left", is_gone).await;
        world.stop().await;
    }
}

/// The file of a removed segment was gone for good when the power went, its record was not.
#[tokio::test]
async fn s21_gs_ob_09_a_record_that_a_power_cut_brought_back_goes() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let made = segment(2, LARGE, CLUSTER);
    let world = start(&disk, &partitions).await;
    world.write(&made).await.unwrap();
    partitions.list(made.id, &[NODE], 1);
    eventually("it is known to be listed", || is_known(&disk, &made)).await;
    world.stop().await;
    partitions.unlist(made.id);
    disk.files.remove(&path(&made)).unwrap();
    let world = start(&disk, &partitions).await;
    let is_gone = || disk.engine.get(RECORDS, &made.id.0).unwrap().is_none();
    eventually("its record goes", is_gone).await;
    world.stop().await;
}

/// A source gives bytes as they lie there: who copies them is the first to see that they are not
/// sound, and the source has to hear of it.
#[tokio::test]
async fn s21_p_i2_a_source_whose_copy_turns_out_damaged_tells_its_partition() {
    for at in [10, 700_000] {
        let (disk, other, partitions) = (Disk::new(), Disk::new(), Partitions::default());
        let made = segment(2, LARGE, CLUSTER);
        let world = start(&disk, &partitions).await;
        world.write(&made).await.unwrap();
        partitions.list(made.id, &[NODE], 1);
        eventually("it is known to be listed", || is_known(&disk, &made)).await;
        world.stop().await;
        flip(&disk.files, &made, at);
        let world = start(&disk, &partitions).await;
        let beside = world.start_beside(OTHER, &other).await;
        assert!(beside.pull(made.id, &[NODE], 1).await.is_err());
        eventually("the loss is told", || partitions.lost() == [(made.id, 1)]).await;
        world.stop().await;
        beside.stop().await;
    }
}

#[tokio::test]
async fn what_is_held_is_counted_the_same_after_a_restart() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let made: Vec<Made> = (1..=9).map(|byte| segment(byte, LARGE, CLUSTER)).collect();
    // No header or footer stays in memory.
    let forgetful = |config| Config { layout_cache_bytes: 0, ..quick(config) };
    let on = || (Arc::clone(&disk.files) as _, Arc::clone(&disk.engine) as _);
    let world = World::start_before(&partitions, on(), forgetful).await;
    for made in &made {
        world.write(made).await.unwrap();
        partitions.list(made.id, &[NODE], 1);
    }
    eventually("all are known", || made.iter().all(|made| is_known(&disk, made))).await;
    world.stop().await;
    let world = World::start_before(&partitions, on(), forgetful).await;
    let bytes: usize = made.iter().map(|made| made.bytes.len()).sum();
    assert_eq!(world.figure("gitstratum_object_stored_bytes"), bytes as u64);
    world.stop().await;
}

#[tokio::test]
async fn p_i2_scrubbing_finds_what_nobody_reads_and_goes_on_where_it_was() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let made: Vec<Made> = (1..=9).map(|byte| segment(byte, LARGE, CLUSTER)).collect();
    let world = start(&disk, &partitions).await;
    for made in &made {
        world.write(made).await.unwrap();
        partitions.list(made.id, &[NODE, OTHER], 1);
    }
    world.stop().await;
    flip(&disk.files, &made[7], 1_000_000);
    let scrubbing = |config: Config| Config {
        scrub_after_start: Duration::ZERO,
        scrub_every: Duration::from_millis(50),
        ..quick(config)
    };
    let on = (Arc::clone(&disk.files) as _, Arc::clone(&disk.engine) as _);
    let world = World::start_before(&partitions, on, scrubbing).await;
    eventually("a pass ends", || world.figure("gitstratum_object_scrub_passes_total") > 0).await;
    eventually("the loss is told", || partitions.lost() == [(made[7].id, 1)]).await;
    assert!(world.figure("gitstratum_object_scrub_bytes_total") >= 8 * LARGE as u64);
    world.stop().await;
}

#[tokio::test]
async fn p_d5_a_node_that_is_watched_over_ends_after_a_failed_sync_and_comes_back_verified() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let engine = FaultyEngine::new(Arc::clone(&disk.engine) as _);
    let on = (Arc::clone(&disk.files) as _, Arc::clone(&engine) as _);
    let ending = |config| Config { ends_when_unsound: true, ..quick(config) };
    let world = World::start_before(&partitions, on, ending).await;
    let first = segment(1, SMALL, CLUSTER);
    let before = world.write(&first).await.unwrap().incarnation;
    engine.fail_sync(1, Fault::Io);
    assert!(world.write(&segment(2, SMALL, CLUSTER)).await.is_err());
    let ended = world.ended().await;
    assert_eq!(ended.kind(), ErrorKind::Unavailable, "{ended}");
    let world = start(&disk, &partitions).await;
    assert_eq!(world.read(first.id, whole(&first)).await.unwrap(), first.entries);
    let after = world.write(&segment(3, SMALL, CLUSTER)).await.unwrap().incarnation;
    assert!(after > before, "what was acknowledged before and not listed is asked again");
    world.stop().await;
}

/// Found by the simulation (seed 11): the first sync that failed was that of a partition's
/// admission, and the node went on, admitted by nobody and refusing every push.
#[tokio::test]
async fn p_d5_a_node_ends_after_a_failed_sync_that_no_push_waited_for() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let engine = FaultyEngine::new(Arc::clone(&disk.engine) as _);
    engine.fail_sync(1, Fault::Io);
    let on = (Arc::clone(&disk.files) as _, Arc::clone(&engine) as _);
    let ending = |config| Config { ends_when_unsound: true, ..quick(config) };
    let world = World::begin_before(&partitions, on, ending).await;
    let ended = world.ended().await;
    assert_eq!(ended.kind(), ErrorKind::Unavailable, "{ended}");
}
