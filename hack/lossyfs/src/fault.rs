//! Faults planned ahead: the next so many calls of a kind fail.

use std::str::FromStr;

use anyhow::{Context as _, bail};
use rustix::io::Errno;

/// What a program asks of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Bytes of a file.
    Read,
    /// Bytes, length or reserved space of a file.
    Write,
    /// A new file, directory or link.
    Create,
    /// Another name.
    Rename,
    /// One name less.
    Remove,
    /// `fsync` or `fdatasync` of a file.
    Sync,
    /// `fsync` of a directory.
    SyncDirectory,
}

/// Calls that are to fail.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The kind of call.
    pub operation: Operation,
    /// What it fails with, as the number of the system.
    pub error: i32,
    /// How many of them fail, counted from now.
    pub times: u32,
    /// Only those on a path that contains this; the empty text is in every path.
    pub path_contains: String,
}

/// The faults that are still to come.
#[derive(Default)]
pub(crate) struct Faults {
    planned: Vec<Fault>,
}

impl Faults {
    /// Plans one more.
    pub(crate) fn plan(&mut self, fault: Fault) {
        self.planned.push(fault);
    }

    /// Whether any is planned; without, nobody needs to work out paths.
    pub(crate) fn is_empty(&self) -> bool {
        self.planned.is_empty()
    }

    /// The error of the first fault that fits, which is then used up by one.
    pub(crate) fn strike(&mut self, operation: Operation, path: &str) -> Option<Errno> {
        let fits = |fault: &Fault| {
            fault.operation == operation && fault.times > 0 && path.contains(&fault.path_contains)
        };
        let fault = self.planned.iter_mut().find(|fault| fits(fault))?;
        fault.times -= 1;
        let error = Errno::from_raw_os_error(fault.error);
        self.planned.retain(|fault| fault.times > 0);
        Some(error)
    }
}

impl FromStr for Operation {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> anyhow::Result<Self> {
        Ok(match word {
            "read" => Self::Read,
            "write" => Self::Write,
            "create" => Self::Create,
            "rename" => Self::Rename,
            "remove" => Self::Remove,
            "sync" => Self::Sync,
            "sync-directory" => Self::SyncDirectory,
            _ => bail!("unknown operation {word}"),
        })
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    /// `OPERATION ERROR TIMES [PATH-PART]`, the error as `EIO`, `ENOSPC` or `EROFS`.
    fn from_str(words: &str) -> anyhow::Result<Self> {
        let mut words = words.split_whitespace();
        let operation = words.next().context("no operation")?.parse()?;
        let error = match words.next().context("no error")? {
            "EIO" => Errno::IO,
            "ENOSPC" => Errno::NOSPC,
            "EROFS" => Errno::ROFS,
            other => bail!("unknown error {other}"),
        };
        let times =
            words.next().context("no number of times")?.parse().context("read the number")?;
        let path_contains = words.next().unwrap_or_default().to_owned();
        Ok(Self { operation, error: error.raw_os_error(), times, path_contains })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_as_often_as_it_says_and_where() {
        let mut faults = Faults::default();
        faults.plan("sync EIO 2 wal".parse().expect("a fault"));
        assert_eq!(faults.strike(Operation::Sync, "a/sst"), None);
        assert_eq!(faults.strike(Operation::Write, "a/wal"), None);
        assert_eq!(faults.strike(Operation::Sync, "a/wal"), Some(Errno::IO));
        assert_eq!(faults.strike(Operation::Sync, "b/wal"), Some(Errno::IO));
        assert_eq!(faults.strike(Operation::Sync, "a/wal"), None);
        assert!(faults.is_empty());
    }

    #[test]
    fn a_fault_that_says_nothing_useful_is_refused() {
        for words in ["", "sync", "sync EIO", "sync EIO many", "blink EIO 1", "sync EWHAT 1"] {
            assert!(words.parse::<Fault>().is_err(), "{words}");
        }
    }
}
