//! The outgoing pack: entries copied as they are stored, only what cannot be copied
//! encoded (S25, S26). Memory is a frame and a batch of encoded objects, whatever the
//! size of the pack.

mod arrange;
mod framed;
mod send;

pub(crate) use framed::Framed;
pub(crate) use send::{Deltas, send};

#[cfg(test)]
mod tests;
