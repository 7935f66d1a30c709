//! `cargo xtask up`: the whole system, built and started.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Error, Result};

use crate::prepare::{self, Purpose};
use crate::stage::Verdict;
use crate::workspace::Workspace;

/// How the program is built for users: without the simulation, whose features would come with it.
const BUILD: [&str; 7] =
    ["build", "--workspace", "--exclude", "gitstratum-sim", "--bin", "gitstratum", "--locked"];

/// Builds `gitstratum` and becomes `gitstratum up ARGS`, so that signals reach it directly.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> Result<Verdict> {
    let cargo = prepare::cargo_for(workspace, Purpose::Build)?;
    let built = cargo.run(&BUILD)?;
    if built == Verdict::Failed {
        return Ok(Verdict::Failed);
    }
    let program = cargo.program("gitstratum");
    let error = Command::new(&program).arg("up").args(args).exec();
    Err(Error::new(error).context(format!("start {}", program.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features of `gitstratum-process` in a build of these packages, by `cargo tree`.
    fn features(packages: &[&str]) -> String {
        let shown = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--offline", "--edges", "features,no-dev"])
            .args(["--invert", "gitstratum-process"])
            .args(packages)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
        String::from_utf8_lossy(&shown.stdout).into_owned()
    }

    /// What only tests and the simulation ask for is no part of a program for users: without
    /// the feature `sabotage!` drops even the name (promises §3).
    #[test]
    fn no_wrong_on_purpose_is_in_a_program_for_users() {
        let all = features(&["--workspace"]);
        assert!(all.contains("feature \"sabotage\""), "the simulation has them: {all}");
        let packages =
            BUILD.iter().copied().filter(|word| !["build", "--bin", "--locked"].contains(word));
        let packages: Vec<&str> = packages.filter(|word| *word != "gitstratum").collect();
        for packages in [&packages[..], &["--package", "gitstratum"]] {
            let shipped = features(packages);
            for feature in ["sabotage", "failpoints", "test-util"] {
                assert!(!shipped.contains(&format!("feature \"{feature}\"")), "{shipped}");
            }
        }
    }
}
