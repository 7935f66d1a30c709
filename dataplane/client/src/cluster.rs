//! The control plane's state as the roles hold it: one immutable view at a time,
//! brought up to date by differences, and the one function that decides who may do
//! what in a repository.

mod access;
mod feed;
mod follow;
mod news;
mod placement;
mod ring;
mod snapshot;

pub use access::allowed;
pub use feed::{Feed, Publisher};
pub use follow::{Applied, Follow, StoreUse, follow};
pub use news::{News, OFFLINE_GRACE, offline_grace};
pub use placement::{Draw, NoOwners, Placement};
pub use ring::ring_layout;
pub use snapshot::Snapshot;
