//! Everything of a node is deleted while people push and clone: the others go on, and the node
//! has all of it again soon (S4, S21, S23, P-I5, GS-OP-39).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::copies::wait_for_copies;
use crate::three_nodes::{Three, beside_others};
use crate::work::folder;

/// Longest that nobody's push is taken once the node is gone.
const TAKEN_WITHIN: Duration = Duration::from_secs(3);
/// The same as a median over all pushes.
const TAKEN_MEDIAN: Duration = Duration::from_millis(1_500);
const PUSHES: usize = 12;

/// Clones through two nodes, again and again.
struct Clones {
    stop: Arc<AtomicBool>,
    cloning: Vec<JoinHandle<Result<usize>>>,
}

impl Clones {
    fn start(three: &Three, nodes: [usize; 2]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clone_through = |index: usize| {
            let (git, url, stop) = (three.stratum.git(), three.url(index), Arc::clone(&stop));
            let source = three.source.clone();
            let to = folder(&three.stratum, &format!("beside-{index}.git"));
            std::thread::spawn(move || {
                let (mut count, name) = (0, to.to_str().context("a path that is no text")?);
                while !stop.load(Ordering::Relaxed) {
                    drop(std::fs::remove_dir_all(&to));
                    let cloned = git.try_run(&source, &["clone", "-q", "--bare", &url, name])?;
                    ensure!(cloned.code == 0, "clone {count} through {url}: {}", cloned.err);
                    count += 1;
                }
                Ok(count)
            })
        };
        let cloning = nodes.into_iter().map(clone_through).collect();
        Self { stop, cloning }
    }

    /// How many there were; none failed.
    fn finish(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = 0;
        for thread in self.cloning {
            total += thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(total)
    }
}

/// How the directory goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Under a process that runs.
    Running,
    /// And the process is killed at once.
    Killed,
}

fn delete(three: &mut Three, victim: usize, way: Way) -> Result<()> {
    let others = [(victim + 1) % 3, (victim + 2) % 3];
    let clones = Clones::start(three, others);
    let old = three.node(victim).current_pid().context("the node is not up")?;
    // At one blow: what is removed file by file meets the process that is started anew.
    let directory = three.node(victim).dir.clone();
    let aside = folder(&three.stratum, "gone");
    std::fs::rename(&directory, &aside)?;
    std::fs::remove_dir_all(&aside).or_else(|_| std::fs::remove_dir_all(&aside))?;
    if way == Way::Killed {
        let pid = Pid::from_raw(i32::try_from(old)?).context("no process")?;
        // It may have ended by itself.
        let _was_killed = kill_process(pid, Signal::KILL);
    }
    let mut took = Vec::with_capacity(PUSHES);
    for push in 0..PUSHES {
        took.push(three.push_until_taken(others[push % 2], TAKEN_WITHIN)?);
    }
    took.sort_unstable();
    let (median, longest) = (took[PUSHES / 2], took[PUSHES - 1]);
    ensure!(median < beside_others(TAKEN_MEDIAN), "median {median:?}");
    three.wait_for_new(victim, old)?;
    let back = wait_for_copies(three)?;
    let cloned = clones.finish()?;
    eprintln!(
        "{way:?} node {victim}: pushes median {median:?}, longest {longest:?}; \
         {cloned} clones; all copies back after {back:?}"
    );
    let checked = three.stratum.try_cli(&["check"])?;
    ensure!(checked.code == 0, "check gave {}: {}{}", checked.code, checked.out, checked.err);
    three.verify(&format!("after-{victim}"))
}

/// GS-MD-23: also with its disk.
#[test]
fn gs_op_39_p_i5_a_node_whose_directory_was_deleted_under_load_has_all_of_it_again() -> Result<()> {
    let mut three = Three::start()?;
    three.push(0)?;
    wait_for_copies(&three)?;
    for (victim, way) in [(0, Way::Killed), (1, Way::Running), (2, Way::Killed)] {
        // What the others know of it counts more starts than an empty disk does (S23).
        for _ in 0..2 {
            let old = three.signal(victim, Signal::KILL)?;
            three.wait_for_new(victim, old)?;
            wait_for_copies(&three)?;
        }
        delete(&mut three, victim, way)
            .with_context(|| format!("{way:?} node {victim}; its log:\n{}", three.troubles()))?;
        // With it and one other there is a majority of every partition.
        three.signal(victim + 1, Signal::STOP)?;
        let pushed = three.push_until_taken(victim, Duration::from_secs(5));
        three.go_on(victim + 1)?;
        pushed?;
        wait_for_copies(&three)?;
    }
    Ok(())
}

/// The refs of every repository would be gone without a word.
#[test]
fn s23_partitions_whose_every_replica_is_gone_are_not_begun_anew() -> Result<()> {
    let mut three = Three::start()?;
    three.push(0)?;
    ensure!(three.stratum.stop()? == 0, "it did not stop cleanly");
    let data = three.stratum.data().to_owned();
    let scratch = folder(&three.stratum, "aside");
    std::fs::create_dir(&scratch)?;
    let metadata = |node| data.join(format!("nodes/{node}/metadata"));
    let aside = |node| scratch.join(format!("metadata-{node}"));
    for node in 1..=3 {
        std::fs::rename(metadata(node), aside(node))?;
    }
    let refused = three.stratum.launch().err().context("it began anew")?;
    ensure!(three.stratum.wait_ended()? == 1, "{refused:#}");
    let log = three.stratum.log();
    ensure!(log.contains("put it back"), "{refused:#}\n{log}");
    for node in 1..=3 {
        std::fs::rename(aside(node), metadata(node))?;
    }
    three.stratum.launch()?;
    three.verify("put-back")
}
