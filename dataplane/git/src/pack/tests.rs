//! Whole packs: right ones made by stock git and by hand, and wrong ones.

mod bundles;
mod mark;
mod oracle;
mod reader;
mod resolve;
mod resolve_bases;
pub(in crate::pack) mod support;
