//! Doubles and the conformance suites of [`crate::Engine`] and [`crate::Files`].

mod files_suite;
mod recording;
mod suite;

pub use files_suite::{FilesUnderTest, check_files};
pub use recording::{Event, RecordingEngine, SyncGate};
pub use suite::{FAMILIES, check_engine};
