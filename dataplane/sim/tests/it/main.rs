//! Runs of the simulation, each in a process of its own.

use std::process::{Command, Stdio};

/// What a run of `seed` prints, and whether it was green.
fn run(seed: u64) -> (String, bool) {
    let seed = seed.to_string();
    let ran = Command::new(env!("CARGO_BIN_EXE_gitstratum-sim"))
        .args(["--seeds", "1", "--from", &seed])
        .stderr(Stdio::inherit())
        .output()
        .expect("the simulation starts");
    (String::from_utf8_lossy(&ran.stdout).into_owned(), ran.status.success())
}

/// The hash over all events of a run.
fn digest(told: &str) -> &str {
    told.rsplit("; ").next().expect("because splitting gives something").trim()
}

#[test]
fn two_processes_see_the_same_events_of_a_seed_and_others_of_another() {
    let (first, is_green) = run(1);
    assert!(is_green, "{first}");
    assert_eq!(run(1).0, first);
    assert_ne!(digest(&run(2).0), digest(&first));
}
