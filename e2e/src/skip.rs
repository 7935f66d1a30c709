use std::io::Write;

/// Says that a test did not run and why, where `cargo xtask test` reads it.
#[expect(clippy::disallowed_methods, reason = "the one variable by which the runner gathers skips")]
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIP: {}: {reason}", thread.name().unwrap_or("a test"));
    eprintln!("{line}");
    let Ok(path) = std::env::var("GITSTRATUM_TEST_SKIPS") else { return };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    if let Ok(mut file) = file {
        drop(writeln!(file, "{line}"));
    }
}

/// On how many nodes systems are to run whose tests do not say so.
#[expect(clippy::disallowed_methods, reason = "the one variable by which the runner asks for it")]
pub(crate) fn nodes_wanted() -> Option<String> {
    std::env::var("GITSTRATUM_TEST_NODES").ok()
}

/// Whether the run is to show the full figures: `cargo xtask test --long`.
#[expect(clippy::disallowed_methods, reason = "the one variable by which the runner asks for it")]
pub fn is_long() -> bool {
    std::env::var("GITSTRATUM_TEST_LONG").is_ok()
}
