//! Whole packs: right ones made by stock git and by hand, and wrong ones.

mod bundles;
pub(in crate::pack) mod support;
