//! The state driven by commands, as the control plane's log drives it.

mod world;

mod authorization;
mod determinism;
mod differences;
mod directory;
mod enrolment;
mod format;
mod founding;
mod nodes;
mod placing;
mod restoring;
mod users;
