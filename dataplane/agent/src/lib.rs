//! The sidecar: enrolment, heartbeats, the watch stream, last snapshot, socket.
