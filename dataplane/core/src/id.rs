use std::fmt;

use crate::hex::{decode_hex, encode_hex};

/// An id made by the control plane: 16 bits of its generation, 48 bits of the log
/// index that made it (S47). Never reused.
macro_rules! allocated_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// The id that log entry `index` of control-plane generation `generation` makes.
            /// `index` uses its low 48 bits.
            pub const fn allocate(generation: u16, index: u64) -> Self {
                Self(((generation as u64) << 48) | (index & 0xffff_ffff_ffff))
            }

            /// The 16 lower-case hex digits that people see, read back.
            pub fn parse(text: &str) -> Option<Self> {
                (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:016x})"), self.0)
            }
        }
    };
}

/// 128 random bits (S47), shown as lower-case hex. Never reused.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// An id of 16 fresh bytes from `entropy`.
            pub fn random(entropy: &dyn crate::Entropy) -> Self {
                let mut bytes = [0; 16];
                entropy.fill(&mut bytes);
                Self(bytes)
            }

            /// `None` unless `bytes` has 16 bytes.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The 32 hex digits that people see, read back.
            pub fn parse(text: &str) -> Option<Self> {
                Self::from_slice(&decode_hex(text.as_bytes())?)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&encode_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

/// A plain counter with a name.
macro_rules! counter {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        pub struct $name(pub $inner);

        impl $name {
            /// The number after this one.
            ///
            /// # Panics
            /// When the counter is at its end, which no cluster lives to see (RV-L1: versions never wrap).
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("because a counter of this width never ends"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

allocated_id! {
    /// A repository. Its path may change, its id never does.
    RepoId
}
allocated_id! {
    /// A node, bound to its volume: a lost or restored volume is a new node (S23).
    NodeId
}
allocated_id! {
    /// A user.
    UserId
}
random_id! {
    /// A cluster, recorded before its first data exists (S45).
    ClusterId
}
random_id! {
    /// A run of pack entries of one repository with one offset space (S1).
    PackId
}
random_id! {
    /// A stretch of a pack's bytes, the unit of placement (S2).
    SegmentId
}
counter! {
    /// A partition: one Raft group of the metadata service.
    PartitionId(u32)
}
counter! {
    /// A frontend's standing with one partition: the log index that opened it (S10).
    SessionId(u64)
}
counter! {
    /// The number of a push within its session (S10).
    PushNumber(u64)
}
counter! {
    /// Version of a layout.
    Epoch(u64)
}
counter! {
    /// How often a node has started, as its partitions have seen it (S23).
    Incarnation(u64)
}
counter! {
    /// Version of the streamed control-plane state: (generation, log index) as one number (S45).
    GrantsVersion(u64)
}
counter! {
    /// Version of a repository's refs or manifest: the log index of the entry that made it.
    Version(u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocated_ids_carry_generation_and_index() {
        let id = RepoId::allocate(2, 7);
        assert_eq!(id.to_string(), "0002000000000007");
        assert_eq!(RepoId::parse("0002000000000007"), Some(id));
        assert_eq!(RepoId::parse("2000000000007"), None);
    }

    #[test]
    fn random_ids_are_shown_as_lower_case_hex_and_read_back() {
        let id = PackId([0xab; 16]);
        assert_eq!(PackId::parse(&id.to_string()), Some(id));
        assert_eq!(PackId::parse("ab"), None);
    }
}
