//! The program: mounts a disk and obeys a socket, or tells another one what to do.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use lossyfs::{Listener, Mount, tell};

/// A file system that forgets what was not synced.
#[derive(Parser)]
enum Command {
    /// Mount FOLDER on POINT and obey SOCKET until it says `unmount`; then FOLDER is written
    Mount {
        /// Plain files that the disk begins with, and becomes again
        folder: PathBuf,
        /// An empty folder
        point: PathBuf,
        /// Where commands come in; made here
        socket: PathBuf,
    },
    /// Say COMMAND to the disk behind SOCKET: `cut-power [SEED]`, `space full|free`,
    /// `fail read|write|create|rename|remove|sync|sync-directory EIO|ENOSPC|EROFS TIMES [PART]`,
    /// `events [FROM]`, `unmount`
    Tell {
        /// Where it listens
        socket: PathBuf,
        /// The words of the command
        command: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Mount { folder, point, socket } => {
            let listener = Listener::new(&socket)?;
            let mount = Mount::new(&folder, &point)?;
            let served = listener.serve(&mount.control());
            std::fs::remove_file(&socket)?;
            served.and_then(|()| mount.unmount())
        }
        Command::Tell { socket, command } => {
            use std::io::Write as _;
            let lines = tell(&socket, &command.join(" "))?;
            let mut out = std::io::stdout().lock();
            lines.iter().try_for_each(|line| writeln!(out, "{line}")).map_err(Into::into)
        }
    }
}
