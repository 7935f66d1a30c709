use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use gitstratum_core::{
    Epoch, GrantsVersion, Incarnation, NodeId, PartitionId, ProcessRole, UnixMillis,
};

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Bound to its volume (S23).
    pub id: NodeId,
    /// What runs there.
    pub roles: BTreeSet<ProcessRole>,
    /// `HOST:PORT` for people; the transport has its own book.
    pub address: String,
    /// Where other nodes reach its services, by their names.
    pub endpoints: BTreeMap<String, SocketAddr>,
    /// Geographic region; may be empty.
    pub region: String,
    /// Failure domain; may be empty.
    pub zone: String,
    /// Share of the ring.
    pub weight: u16,
    /// Whether it lives, as far as is known.
    pub state: NodeState,
    /// Since when, by the wall clock of whoever proposed it.
    pub since: UnixMillis,
    /// How often it was taken for dead.
    pub failures: u32,
    /// Whether it is being emptied (S20).
    pub is_draining: bool,
    /// Number of its fence, or of the last one that was lifted: it never falls (S20).
    pub fence: u64,
    /// Number of its last start; an older one is a zombie (RV-S3).
    pub incarnation: Incarnation,
    /// Version of its software.
    pub software: String,
    /// Whether the ring may choose it for new segments.
    pub in_ring: bool,
    /// Version of the last change.
    pub version: GrantsVersion,
}

/// Whether a node lives. That it is being emptied is another matter: it may die meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Registered, not yet seen.
    Joining,
    /// Seen lately.
    Up,
    /// Missing heartbeats.
    Suspect,
    /// Taken for dead.
    Down,
    /// Gone for good.
    Removed,
}

impl NodeState {
    /// Whether a node in this state may be found in state `next` the next time (GS-CP-41).
    pub const fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Joining | Self::Suspect | Self::Down, Self::Up)
            | (Self::Up, Self::Suspect)
            | (Self::Up | Self::Suspect, Self::Down)
            | (Self::Joining | Self::Up | Self::Suspect | Self::Down, Self::Removed) => true,
            (_, Self::Joining | Self::Up | Self::Suspect | Self::Down | Self::Removed) => false,
        }
    }

    /// The state of wire number 1 to 6; 5, of a node that is being emptied, is none of these.
    pub const fn from_wire(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Joining),
            2 => Some(Self::Up),
            3 => Some(Self::Suspect),
            4 => Some(Self::Down),
            6 => Some(Self::Removed),
            _ => None,
        }
    }

    /// Its wire number.
    pub const fn to_wire(self) -> u32 {
        match self {
            Self::Joining => 1,
            Self::Up => 2,
            Self::Suspect => 3,
            Self::Down => 4,
            Self::Removed => 6,
        }
    }

    /// The word people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Removed => "removed",
        }
    }
}

/// Which nodes vote in a partition, and who should lead (S39).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The partition.
    pub partition: PartitionId,
    /// Its voters.
    pub voters: Vec<NodeId>,
    /// One of them.
    pub preferred_leader: NodeId,
    /// Of the layout in which it was placed last; 0: its voters are those of the founding.
    pub epoch: Epoch,
    /// Nodes that may vote besides, in order: the group has not been seen without them (S23).
    pub leaving: Vec<NodeId>,
}

/// How data is placed. The nodes are records of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Rises with every change of the ring or of a placement.
    pub epoch: Epoch,
    /// Copies of a segment when all is well.
    pub replication_factor: u8,
    /// One for each partition, in order.
    pub partitions: Vec<Placement>,
    /// Version of the last change.
    pub version: GrantsVersion,
}

/// A cluster-wide setting or, under `flag.`, a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// Its value as people write it.
    pub value: String,
    /// Version of the last change.
    pub version: GrantsVersion,
}
