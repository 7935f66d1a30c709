//! A repository's refs as readers hold them.

mod base;
mod list;

pub use base::RefListBuilder;
pub use list::{RefChange, RefEntry, RefList, RefValue};
