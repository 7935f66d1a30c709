//! The control of a disk that another process has mounted: one line asked, some answered,
//! over a Unix socket.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::control::{Control, Space};
use crate::disk::Loss;

/// Longest line that is asked, bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// Listens for commands.
pub struct Listener {
    socket: UnixListener,
}

/// What a command asks the process for.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Unmount,
}

impl Listener {
    /// Listens on a new socket at `path`.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn new(path: &Path) -> Result<Self> {
        let socket =
            UnixListener::bind(path).with_context(|| format!("bind {}", path.display()))?;
        Ok(Self { socket })
    }

    /// Carries commands out until one says `unmount`.
    ///
    /// # Errors
    /// When the socket breaks; a broken connection only ends that one.
    pub fn serve(&self, control: &Control) -> Result<()> {
        loop {
            let (stream, _) = self.socket.accept().context("accept a connection")?;
            match answer(stream, control) {
                Ok(Next::Unmount) => return Ok(()),
                Ok(Next::GoOn) => {}
                Err(error) => eprintln!("lossyfs: {error:#}"),
            }
        }
    }
}

/// Tells the disk behind the socket at `path` a command, and gives the lines it answers.
///
/// Commands: `cut-power [SEED]`, `fail OPERATION ERROR TIMES [PATH-PART]`, `space full|free`,
/// `events [FROM]`, `unmount`.
///
/// # Errors
/// When nobody listens, or the command was refused.
pub fn tell(path: &Path, command: &str) -> Result<Vec<String>> {
    let mut stream =
        UnixStream::connect(path).with_context(|| format!("connect to {}", path.display()))?;
    writeln!(stream, "{command}").context("send the command")?;
    let lines: Result<Vec<String>, _> = BufReader::new(stream).lines().collect();
    let mut lines = lines.context("read the answer")?.into_iter();
    match lines.next().as_deref() {
        Some("ok") => Ok(lines.collect()),
        Some(refusal) => bail!("{refusal}"),
        None => bail!("no answer"),
    }
}

fn answer(mut stream: UnixStream, control: &Control) -> Result<Next> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone().context("share the connection")?);
    reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut line).context("read a command")?;
    let (next, text) = match carry_out(line.trim(), control) {
        Ok((next, text)) => (next, format!("ok\n{text}")),
        Err(error) => (Next::GoOn, format!("refused: {error:#}\n")),
    };
    stream.write_all(text.as_bytes()).context("answer")?;
    Ok(next)
}

fn carry_out(line: &str, control: &Control) -> Result<(Next, String)> {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    match (command, rest) {
        ("cut-power", "") => control.cut_power(Loss::Everything),
        ("cut-power", seed) => {
            let seed = seed.parse().context("read the seed")?;
            control.cut_power(Loss::Some { seed });
        }
        ("fail", fault) => control.fail(fault.parse()?),
        ("space", "full") => control.set_space(Space::Full),
        ("space", "free") => control.set_space(Space::Free),
        ("events", from) => {
            let from = if from.is_empty() { 0 } else { from.parse().context("read the number")? };
            let events = control.events_since(from);
            return Ok((Next::GoOn, events.iter().map(|event| format!("{event}\n")).collect()));
        }
        ("unmount", "") => return Ok((Next::Unmount, String::new())),
        _ => bail!("unknown command {line}"),
    }
    Ok((Next::GoOn, String::new()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::disk::{Disk, Power};
    use crate::node::Owner;

    fn disk() -> Arc<Mutex<Disk>> {
        Arc::new(Mutex::new(Disk::new(Owner { mode: 0o755, uid: 0, gid: 0 })))
    }

    #[test]
    fn commands_reach_the_disk() {
        let disk = disk();
        let control = Control::new(Arc::clone(&disk));
        carry_out("space full", &control).expect("done");
        assert_eq!(disk.lock().space, Space::Full);
        carry_out("fail sync EIO 1", &control).expect("done");
        assert!(!disk.lock().faults.is_empty());
        carry_out("cut-power 7", &control).expect("done");
        assert!(disk.lock().power == Power::Off);
        assert_eq!(carry_out("unmount", &control).expect("done").0, Next::Unmount);
        for line in ["", "space", "cut-power soon", "fail", "sing"] {
            assert!(carry_out(line, &control).is_err(), "{line}");
        }
    }

    #[test]
    fn a_command_is_answered_over_the_socket() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control");
        let listener = Listener::new(&path).expect("listening");
        let control = Control::new(disk());
        std::thread::scope(|scope| {
            let served = scope.spawn(|| listener.serve(&control));
            assert!(tell(&path, "events").expect("told").is_empty());
            assert!(tell(&path, "sing").is_err());
            tell(&path, "unmount").expect("told");
            served.join().expect("no panic").expect("served");
        });
    }
}
