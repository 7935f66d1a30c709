use gitstratum_core::{ErrorKind, ObjectFormat, ObjectIdError};

use super::{Excerpt, FilterError};

/// Why a conversation cannot go on. Its text is fit for an `ERR` packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A packet of a kind that has no meaning at this point.
    #[error("unexpected {packet} packet {place}")]
    Misplaced {
        /// The packet's kind.
        packet: &'static str,
        /// Where it came.
        place: &'static str,
    },
    /// A line without text.
    #[error("empty line {place}")]
    EmptyLine {
        /// Where it came.
        place: &'static str,
    },
    /// A NUL where a line may have none.
    #[error("line with a NUL {place}")]
    Nul {
        /// Where it came.
        place: &'static str,
    },
    /// A line that begins with a band byte: only servers multiplex.
    #[error("side-band packet from a client")]
    SideBand,
    /// A v2 command that does not exist here.
    #[error("invalid command '{0}'")]
    UnknownCommand(Excerpt),
    /// A second v2 command in one request.
    #[error("command '{second}' requested after command '{first}'")]
    SecondCommand {
        /// The command that came first.
        first: &'static str,
        /// The one that came then.
        second: Excerpt,
    },
    /// A v2 request without a command.
    #[error("no command requested")]
    NoCommand,
    /// A capability that was not advertised.
    #[error("unknown capability '{0}'")]
    UnknownCapability(Excerpt),
    /// A line that means nothing here.
    #[error("unexpected line: '{0}'")]
    UnknownLine(Excerpt),
    /// The client speaks of ids of the other format.
    #[error("mismatched object format: server {server}; client {client}")]
    ObjectFormat {
        /// The repository's format.
        server: ObjectFormat,
        /// What the client named, or sha1 if it named none.
        client: Excerpt,
    },
    /// An id that is none.
    #[error("expected an object id, got '{text}'")]
    ObjectId {
        /// What stood there.
        text: Excerpt,
        /// What is wrong with it.
        source: ObjectIdError,
    },
    /// More lines of a kind than the limit.
    #[error("more than {max} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A depth, time or name to deepen by that is none.
    #[error("invalid {what}: '{text}'")]
    Deepen {
        /// The line's first word.
        what: &'static str,
        /// Its value.
        text: Excerpt,
    },
    /// Two ways to deepen that exclude each other.
    #[error("deepen and deepen-since (or deepen-not) cannot be used together")]
    DeepenBoth,
    /// A filter that is refused.
    #[error("invalid filter '{text}': {source}")]
    Filter {
        /// The specification.
        text: Excerpt,
        /// What is wrong with it.
        source: FilterError,
    },
    /// A second filter.
    #[error("multiple filter-specs cannot be combined")]
    SecondFilter,
    /// A line that needs a capability which the client did not ask for.
    #[error("{0} was not negotiated")]
    NotNegotiated(&'static str),
    /// Something that this server does not offer.
    #[error("{0} is not supported")]
    NotOffered(&'static str),
    /// A push command that is not `OLD NEW NAME`.
    #[error("expected old/new/ref, got '{0}'")]
    PushCommand(Excerpt),
}

impl Error {
    /// What kind of failure this is: always the client's.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}
