use std::fmt;

/// What kind of failure an error is, for whoever must decide what to do next.
/// Each edge translates it once (gRPC code, HTTP status, ERR packet).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The thing asked for does not exist, or may not be known to exist.
    NotFound,
    /// The state is not what the caller expected.
    Conflict,
    /// The caller may not do this.
    Denied,
    /// A limit is reached; the same call may succeed later.
    Busy,
    /// Stored bytes are damaged. Never looks like `NotFound`.
    Corrupt,
    /// A needed part of the system does not answer; nothing was done or it is unknown.
    Unavailable,
    /// The input is wrong.
    Invalid,
    /// Our own fault.
    Bug,
}

impl ErrorKind {
    /// Whether the same call can succeed later without anyone changing it.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable)
    }

    /// The word used in logs and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Busy => "busy",
            Self::Corrupt => "corrupt",
            Self::Unavailable => "unavailable",
            Self::Invalid => "invalid",
            Self::Bug => "bug",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
