//! Runs of the simulation, each in a process of its own.

use std::process::{Command, Stdio};

/// What a run of `seeds` seeds prints, the first of which is `from`, and whether it was green.
fn run(seeds: u64, from: u64) -> (String, bool) {
    let ran = Command::new(env!("CARGO_BIN_EXE_gitstratum-sim"))
        .args(["--seeds", &seeds.to_string(), "--from", &from.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("the simulation starts");
    (String::from_utf8_lossy(&ran.stdout).into_owned(), ran.status.success())
}

/// The hash over all events of a run.
fn digest(told: &str) -> &str {
    told.rsplit("; ").next().expect("because splitting gives something").trim()
}

/// ADR 0022: what a seed shows in a row of seeds it shows alone, in another process, event by event.
#[test]
fn two_processes_see_the_same_events_of_a_seed_and_others_of_another() {
    let (row, is_green) = run(3, 1);
    assert!(is_green, "{row}");
    let lines: Vec<&str> = row.lines().collect();
    let [first, second, third] = lines[..] else { panic!("three lines of {row}") };
    let (alone, is_green) = run(1, 3);
    assert!(is_green, "{alone}");
    assert_eq!(alone.trim_end(), third);
    assert_ne!(digest(first), digest(third));
    assert_ne!(digest(second), digest(third));
}
