//! What the process of every role has: supervised tasks, drain, signals, logs and
//! request ids, metrics, the probe port, byte budgets, failpoints, wrongs on purpose, a stall watchdog.
//!
//! This crate must never know what any role does, nor a protocol beyond its own
//! probe port. Its one invariant: nothing started here outlives its owner unseen:
//! a task ends with its handle or is detached by name, and a panic is logged.

mod blocking;
mod drain;
pub mod failpoint;
mod health;
mod limits;
mod log;
pub mod metrics;
mod pause;
mod probe_server;
mod request_id;
pub mod sabotage;
mod signals;
mod stall;
mod task;

#[cfg(any(test, feature = "test-util"))]
pub use blocking::run_blocking_in_line;
pub use blocking::{Blocking, Gone, Outlet, Produced, blocking, is_in_line, produce};
pub use drain::{Drain, DrainTrigger, WorkGuard};
pub use health::{Failing, Flag, Health, Probe};
pub use limits::{BudgetError, ByteBudget, Reservation};
pub use log::{LogConfig, LogError, LogFormat, start_logging};
pub use metrics::Metrics;
pub use pause::pausable;
#[cfg(any(test, feature = "test-util"))]
pub use pause::{pause, resume};
pub use probe_server::{ProbeServer, ProbeServerError};
pub use request_id::{RequestId, request_span};
pub use signals::{Signal, Signals, exit_at_once};
pub use stall::StallWatch;
pub use task::{Task, TaskError, TaskGroup, spawn};
