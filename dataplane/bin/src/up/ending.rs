use rustix::process::{Signal, getpid, kill_process};

/// Ends this process at once: nothing more of it runs, nor what libraries do at an exit,
/// which would wait for threads that hang on a disk. Whoever watches starts it again.
pub(super) fn die() {
    if let Err(error) = kill_process(getpid(), Signal::KILL) {
        tracing::error!(%error, "this process could not be killed");
        std::process::abort();
    }
}
