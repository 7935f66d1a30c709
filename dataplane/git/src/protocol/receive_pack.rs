//! `receive-pack` after the advertisement (gitprotocol-pack): the commands of a push,
//! and the report that answers it. The pack between them is not this module's: it
//! begins at the byte after the last packet taken.

mod command;
mod parser;
mod report;

pub use command::{Change, Command};
pub use parser::Parser;
pub use report::{Reporter, Verdict};

use bytes::Bytes;
use gitstratum_core::ObjectId;

use crate::pktline::SideBand;

/// What the client asked for behind its first command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `report-status` or `report-status-v2`: it waits for a report. Both are answered
    /// alike, as no ref is renamed here.
    pub report_status: bool,
    /// How the report is multiplexed: not, or `side-band-64k`.
    pub side_band: SideBand,
    /// It does not want to read about progress.
    pub quiet: bool,
    /// All commands succeed or none.
    pub atomic: bool,
    /// Options follow the commands.
    pub push_options: bool,
}

/// What a client asks to push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Push {
    /// The commands, in the order sent, at most as many as the limit. None at all is a
    /// client that only tries whether it may push.
    pub commands: Vec<Command>,
    /// The commits where the client's history is cut.
    pub shallow: Vec<ObjectId>,
    /// The options, at most as many as the limit.
    pub options: Vec<Bytes>,
    /// What the client asked for.
    pub capabilities: Capabilities,
    /// Why nothing of it may be carried out. The pack, if there is one, still has to be
    /// read off the connection before the report.
    pub refusal: Option<Refusal>,
}

/// Why a push is refused as a whole, for its report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Two commands name the same ref (bad input 91).
    #[error("the same ref is named twice")]
    DuplicateRef(Bytes),
    /// More commands than the limit (bad input 96).
    #[error("more than {0} commands in one push")]
    Commands(usize),
    /// More push options than the limit (bad input 99).
    #[error("more than {0} push options")]
    Options(usize),
    /// A push option above the limit of bytes (bad input 99).
    #[error("push option of more than {0} bytes")]
    OptionBytes(usize),
    /// A push option with control characters (bad input 99).
    #[error("push option with a control character")]
    OptionText,
}

impl Push {
    /// Whether a pack follows: not after a push that only deletes.
    pub fn expects_pack(&self) -> bool {
        self.commands.iter().any(|command| !command.new.is_null())
    }
}

#[cfg(test)]
mod tests;
