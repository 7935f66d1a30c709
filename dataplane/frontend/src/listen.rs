//! The ports: what is said on a connection until a command runs. Each carrier turns its
//! requests into conversations and errors into its own words.

mod guarded;
pub(crate) mod http;
pub(crate) mod ssh;
