//! Fetches: negotiation with the partition, then the pack. Every protocol version ends
//! in the same request and the same plan.

mod answer;
mod ask;
mod v0;
mod v2;

pub(crate) use v0::serve_v0;
pub(crate) use v2::serve_v2;
