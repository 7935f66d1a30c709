//! Refs, repository records and manifests: one replicated state machine per
//! partition, and the service that frontends and object nodes ask.
//!
//! This crate must never know a Git protocol, a socket's format, or how segments are
//! stored; it authorises by the snapshot it is given and never asks the control plane.
//! Its one invariant: a ref moves only by one log entry, which also lists the pack it
//! needs, so that whoever sees a ref can read all that it reaches (S13).

pub mod partition;
pub mod planner;
pub mod refs;
