//! `cargo xtask fix`: what a machine can mend. The only checking command that writes.

use anyhow::Result;

use crate::prepare::{self, Purpose};
use crate::stage::{Stages, Verdict};
use crate::tidy;
use crate::workspace::Workspace;

/// Formats, applies what clippy suggests, and lowers the recorded sizes.
pub(crate) fn run(workspace: &Workspace) -> Result<Verdict> {
    let cargo = prepare::cargo_for(workspace, Purpose::Check)?;
    let mut stages = Stages::new("fix");
    stages.run("clippy", || {
        cargo.run(&[
            "clippy",
            "--fix",
            "--allow-dirty",
            "--allow-staged",
            "--workspace",
            "--all-targets",
            "--locked",
        ])
    });
    stages.run("format", || cargo.run(&["fmt", "--all"]));
    stages.run("sizes", || tidy::lower_recorded_sizes(cargo.root()));
    Ok(stages.finish())
}
