//! Packs of a repository become one, and objects that no ref reaches go (S35–S38). This is the one
//! part of the room that knows what a Git object is; it serves nothing of it to anyone.
//!
//! | file | does |
//! |---|---|
//! | `runs` | one run from its claim to its swap |
//! | `claim` | the claim that a run works under (S35) |
//! | `choice` | which copy of every object is taken. Pure |
//! | `order` | in which order, and on which bases (S36). Pure |
//! | `copying` | the entries, into a spool |
//! | `survey` | the spool, judged as a pushed pack is |
//! | `storing` | the spool, to the owners of new segments |
//! | `proof` | what the owners have, read back and hashed (S36) |
//! | `mark` | what tips reach (S37) |

mod choice;
mod claim;
mod copying;
mod error;
mod mark;
mod order;
mod proof;
mod runs;
mod spool;
mod storing;
mod survey;

pub(crate) use error::Error;
pub(crate) use runs::{Deps, Runs, Told, What};
