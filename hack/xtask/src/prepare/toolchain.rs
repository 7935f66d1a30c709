//! Parts of the Rust toolchain that building does not need, but checking does.

use std::process::Stdio;

use anyhow::{Result, bail};

use crate::cargo::Cargo;

/// Makes sure that `cargo fmt` and `cargo clippy` are there. rustup brings both by itself, as
/// `rust-toolchain.toml` says; other installations may lack them.
pub(crate) fn ensure_components(cargo: &Cargo<'_>) -> Result<()> {
    let is_missing = |name: &&str| {
        let mut probe = cargo.command(&[name, "--version"]);
        let status = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
        !status.is_ok_and(|status| status.success())
    };
    let missing: Vec<&str> = ["fmt", "clippy"].into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("cargo {} is missing; run: rustup component add rustfmt clippy", missing.join(" and "))
}
