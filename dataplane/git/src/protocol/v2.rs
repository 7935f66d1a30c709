//! Protocol v2 (gitprotocol-v2): commands and their answers.

mod ls_refs;
mod parser;
mod response;

pub use ls_refs::LsRefs;
pub use parser::{Parser, Request, Step};
pub use response::{
    acknowledgments, listed_ref, packfile_header, shallow_info, shallow_lines, unborn_head,
};

#[cfg(test)]
mod tests;
