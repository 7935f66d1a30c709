//! Programs and libraries that come from Debian packages.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cargo::wait;
use crate::environment::Environment;
use crate::prepare::Purpose;
use crate::stage::Verdict;

/// One thing the machine must have, and the package that brings it.
struct Need {
    package: &'static str,
    purpose: Purpose,
    is_met: fn(&Environment) -> bool,
}

const NEEDS: &[Need] = &[
    Need { package: "g++", purpose: Purpose::Build, is_met: has_cxx },
    Need { package: "libclang-dev", purpose: Purpose::Build, is_met: has_libclang },
    Need { package: "make", purpose: Purpose::Build, is_met: |env| env.has_program("make") },
    Need { package: "git", purpose: Purpose::Test, is_met: |env| env.has_program("git") },
    Need {
        package: "openssh-client",
        purpose: Purpose::Test,
        is_met: |env| env.has_program("ssh"),
    },
    Need { package: "fuse3", purpose: Purpose::Test, is_met: |env| env.has_program("fusermount3") },
    Need { package: "iproute2", purpose: Purpose::Test, is_met: |env| env.has_program("ip") },
];

/// Finds what is missing and installs it when it may, else says the line that does.
pub(crate) fn ensure_packages(environment: &Environment, purpose: Purpose) -> Result<()> {
    let missing = missing(environment, purpose);
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() || !environment.has_program("apt-get") {
        bail!("missing on this machine; run: sudo apt-get install -y {}", missing.join(" "));
    }
    install(&missing)
}

fn missing(environment: &Environment, purpose: Purpose) -> Vec<&'static str> {
    let wanted = |need: &&Need| need.purpose == Purpose::Build || need.purpose == purpose;
    let unmet = |need: &&Need| !(need.is_met)(environment);
    NEEDS.iter().filter(wanted).filter(unmet).map(|need| need.package).collect()
}

fn install(packages: &[&str]) -> Result<()> {
    eprintln!("== prepare: apt-get install {}", packages.join(" "));
    // A list of packages that is absent or old makes the first try fail; then it is fetched.
    if apt_get(&["install", "-y", "--no-install-recommends"], packages)? == Verdict::Passed {
        return Ok(());
    }
    ensure!(apt_get(&["update"], &[])? == Verdict::Passed, "apt-get update failed");
    let again = apt_get(&["install", "-y", "--no-install-recommends"], packages)?;
    ensure!(again == Verdict::Passed, "apt-get could not install {}", packages.join(" "));
    Ok(())
}

fn apt_get(args: &[&str], packages: &[&str]) -> Result<Verdict> {
    let mut command = Command::new("apt-get");
    wait(command.args(args).args(packages).env("DEBIAN_FRONTEND", "noninteractive"))
        .context("install Debian packages")
}

/// The owner of our own process entry is the user we act as.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn has_cxx(environment: &Environment) -> bool {
    environment.cxx.is_some()
        || ["c++", "g++", "clang++"].iter().any(|cxx| environment.has_program(cxx))
}

/// bindgen loads libclang at build time, and needs the headers that the -dev package brings.
fn has_libclang(environment: &Environment) -> bool {
    environment.libclang.is_some()
        || holds_libclang(Path::new("/usr/lib64"))
        || fs::read_dir("/usr/lib").is_ok_and(|entries| {
            entries
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm"))
                .any(|entry| holds_libclang(&entry.path().join("lib")))
        })
}

fn holds_libclang(folder: &Path) -> bool {
    folder.join("libclang.so").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(search: &[&Path]) -> Environment {
        Environment {
            cargo: "cargo".into(),
            cache: "/cache".into(),
            target: "/target".into(),
            search: search.iter().map(|path| path.to_path_buf()).collect(),
            cxx: None,
            libclang: Some("/clang".into()),
            rocksdb: None,
        }
    }

    #[test]
    fn only_what_the_purpose_needs_is_asked_for() {
        let nothing = bare(&[]);
        assert_eq!(missing(&nothing, Purpose::Build), ["g++", "make"]);
        let all = ["g++", "make", "git", "openssh-client", "fuse3", "iproute2"];
        assert_eq!(missing(&nothing, Purpose::Test), all);
    }

    #[test]
    fn a_program_on_the_path_meets_its_need() {
        let folder = tempfile::tempdir().expect("a folder");
        for program in ["clang++", "make"] {
            fs::write(folder.path().join(program), "").expect("written");
        }
        assert!(missing(&bare(&[folder.path()]), Purpose::Build).is_empty());
    }
}
