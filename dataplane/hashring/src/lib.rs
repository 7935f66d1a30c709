//! The consistent hash ring: a [`Layout`] and a [`Key`] give the ordered owners of
//! a new segment or cached pack (S48), and two rings give the moves between them.
//!
//! This crate must never know a clock, a network, a file or where things really
//! are: the manifest remembers that (S19). Its one invariant: the owners of a key
//! follow from the layout alone, so every process of a cluster, of any build,
//! names the same nodes in the same order (RV-M4).

mod error;
mod layout;
mod moves;
mod ring;
mod share;

pub use error::LayoutError;
pub use layout::{Layout, NodeState, RingNode, WEIGHT_MAX};
pub use moves::{Move, plan};
pub use ring::{Key, POINTS_PER_WEIGHT, Ring, write_quorum};
pub use share::{Share, WHOLE, moved};
