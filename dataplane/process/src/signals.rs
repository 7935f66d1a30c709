use std::io;

use tokio::signal::unix::{self, SignalKind};

use crate::spawn;

/// What asked the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: a supervisor.
    Terminate,
    /// SIGINT: somebody at the keyboard.
    Interrupt,
}

/// Listens for SIGTERM and SIGINT instead of dying of them.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

/// Exit status of a process that was told twice: that of one killed by SIGINT.
const TOLD_TWICE_STATUS: i32 = 130;

/// Ends the process without waiting for anything: for the second signal.
pub fn exit_at_once() {
    std::process::exit(TOLD_TWICE_STATUS);
}

impl Signals {
    /// Begins to listen; call it first thing in the runtime.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the first signal. From then on the next one calls `at_second`, which
    /// is [`exit_at_once`] in a real process.
    pub async fn first(mut self, at_second: impl FnOnce() + Send + 'static) -> Signal {
        let first = self.next().await;
        let second = async move {
            self.next().await;
            at_second();
        };
        spawn("second signal", second).detach();
        first
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{self as os, getpid, kill_process};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn gs_op_41_the_first_signal_drains_and_the_second_exits() {
        let signals = Signals::install().unwrap();
        let (sender, second) = oneshot::channel();
        kill_process(getpid(), os::Signal::TERM).unwrap();
        let at_second = move || sender.send(()).expect("because the test waits");
        assert_eq!(signals.first(at_second).await, Signal::Terminate);
        kill_process(getpid(), os::Signal::INT).unwrap();
        assert_eq!(second.await, Ok(()));
    }
}
