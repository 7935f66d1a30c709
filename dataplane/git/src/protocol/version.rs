/// Longest `GIT_PROTOCOL` value that is looked at, in bytes.
const GIT_PROTOCOL_BYTES_MAX: usize = 1_024;

/// A version of the wire protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// The first one: the server speaks first and lists all refs.
    #[default]
    V0,
    /// V0 behind a line that names the version.
    V1,
    /// Commands and their answers.
    V2,
}

impl Version {
    /// The highest version that a `GIT_PROTOCOL` variable or `Git-Protocol` header
    /// asks for: `version=N` among keys that colons part. What is unknown counts for
    /// nothing, and a value of more than 1 KiB is not looked at (bad input 39).
    pub fn negotiate(value: &[u8]) -> Self {
        if value.len() > GIT_PROTOCOL_BYTES_MAX {
            return Self::V0;
        }
        value.split(|byte| *byte == b':').filter_map(Self::of_key).max().unwrap_or_default()
    }

    /// The version that `receive-pack` answers with: it has no v2.
    #[must_use]
    pub const fn for_receive_pack(self) -> Self {
        match self {
            Self::V0 | Self::V2 => Self::V0,
            Self::V1 => Self::V1,
        }
    }

    fn of_key(key: &[u8]) -> Option<Self> {
        match key {
            b"version=0" => Some(Self::V0),
            b"version=1" => Some(Self::V1),
            b"version=2" => Some(Self::V2),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_039_unknown_and_long_protocol_values_fall_back_to_v0() {
        assert_eq!(Version::negotiate(b""), Version::V0);
        assert_eq!(Version::negotiate(b"version=1"), Version::V1);
        assert_eq!(Version::negotiate(b"version=2"), Version::V2);
        assert_eq!(Version::negotiate(b"a=b:version=2:version=1:c"), Version::V2);
        assert_eq!(Version::negotiate(b"version=9"), Version::V0);
        assert_eq!(Version::negotiate(b"version=9:version=1"), Version::V1);
        assert_eq!(Version::negotiate(b"xversion=2"), Version::V0);
    }

    #[test]
    fn bad_input_039_a_protocol_value_is_read_up_to_one_kibibyte() {
        let padded = |length: usize| format!("version=2:{}", "x".repeat(length - 10));
        assert_eq!(Version::negotiate(padded(1_023).as_bytes()), Version::V2);
        assert_eq!(Version::negotiate(padded(1_024).as_bytes()), Version::V2);
        assert_eq!(Version::negotiate(padded(1_025).as_bytes()), Version::V0);
    }

    #[test]
    fn receive_pack_has_no_v2() {
        assert_eq!(Version::V2.for_receive_pack(), Version::V0);
        assert_eq!(Version::V1.for_receive_pack(), Version::V1);
    }
}
