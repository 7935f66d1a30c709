//! The C++ compiler, and compiling several units at once.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};

use crate::cargo::wait;
use crate::environment::Environment;
use crate::prepare::unity::Unit;
use crate::stage::Verdict;

/// Memory one unit may take while it is compiled, KiB: g++ was seen at 2.3 GB.
const UNIT_MEMORY_KIB: u64 = 2_500_000;

/// A C++ compiler and all that every unit is compiled with.
pub(crate) struct Compiler {
    program: OsString,
    /// First line of its `--version`.
    pub(crate) version: String,
    pub(crate) flags: Vec<&'static str>,
}

impl Compiler {
    /// The compiler the user asked for, else the first one found.
    pub(crate) fn find(environment: &Environment, flags: Vec<&'static str>) -> Result<Self> {
        let known = ["c++", "g++", "clang++"].into_iter();
        let found = known.filter(|name| environment.has_program(name)).map(OsString::from).next();
        let program = environment.cxx.clone().or(found).context("no C++ compiler on PATH")?;
        let output = Command::new(&program)
            .arg("--version")
            .output()
            .with_context(|| format!("run {} --version", program.to_string_lossy()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().next().unwrap_or_default().to_owned();
        Ok(Self { program, version, flags })
    }

    /// Compiles `units` into `out`, as many at once as cores and memory allow, from within
    /// `source`; gives the object files.
    pub(crate) fn compile(
        &self,
        units: &[Unit],
        includes: &[PathBuf],
        source: &Path,
        out: &Path,
    ) -> Result<Vec<PathBuf>> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.compile_one(unit, includes, source, out)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let jobs: Vec<_> = (0..jobs(units.len())).map(|_| scope.spawn(work)).collect();
            jobs.into_iter().try_for_each(|job| {
                job.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a compile job panicked")))
            })
        })?;
        Ok(units.iter().map(|unit| out.join(&unit.name).with_extension("o")).collect())
    }

    fn compile_one(
        &self,
        unit: &Unit,
        includes: &[PathBuf],
        source: &Path,
        out: &Path,
    ) -> Result<()> {
        let text = out.join(&unit.name).with_extension("cc");
        fs::write(&text, &unit.text).with_context(|| format!("write {}", text.display()))?;
        let mut command = Command::new(&self.program);
        command.current_dir(source).args(&self.flags);
        for include in includes {
            command.arg("-I").arg(include);
        }
        command.arg("-c").arg(&text).arg("-o").arg(text.with_extension("o"));
        ensure!(wait(&mut command)? == Verdict::Passed, "could not compile {}", text.display());
        Ok(())
    }
}

/// Gathers object files into the static library `library`.
pub(crate) fn archive(library: &Path, objects: &[PathBuf]) -> Result<()> {
    let archived = wait(Command::new("ar").arg("crs").arg(library).args(objects))?;
    ensure!(archived == Verdict::Passed, "could not make {}", library.display());
    Ok(())
}

fn jobs(units: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available_kib(&text));
    let fitting = memory.map_or(2, |kib| usize::try_from(kib / UNIT_MEMORY_KIB).unwrap_or(2));
    cores.min(fitting).clamp(1, units)
}

fn available_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_in_kib() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:   23000000 kB\n";
        assert_eq!(available_kib(text), Some(23_000_000));
        assert_eq!(available_kib("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn there_is_always_a_job_and_never_more_than_units() {
        assert_eq!(jobs(1), 1);
        assert!((1..=64).contains(&jobs(64)));
    }
}
