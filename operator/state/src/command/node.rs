use prost::Message;

/// A node has started.
#[derive(Clone, PartialEq, Message)]
pub struct RegisterNode {
    /// 0: a new node.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// control, frontend, metadata, object.
    #[prost(string, repeated, tag = "2")]
    pub roles: Vec<String>,
    /// `HOST:PORT` for people.
    #[prost(string, tag = "3")]
    pub address: String,
    /// May be empty.
    #[prost(string, tag = "4")]
    pub region: String,
    /// May be empty.
    #[prost(string, tag = "5")]
    pub zone: String,
    /// Number of this start.
    #[prost(uint64, tag = "6")]
    pub incarnation: u64,
    /// Version of its software.
    #[prost(string, tag = "7")]
    pub software: String,
    /// Where other nodes reach its services.
    #[prost(message, repeated, tag = "8")]
    pub endpoints: Vec<NodeEndpoint>,
}

/// Where other nodes reach one service of a node.
#[derive(Clone, PartialEq, Message)]
pub struct NodeEndpoint {
    /// control, control-raft, metadata, metadata-raft, object, bulk.
    #[prost(string, tag = "1")]
    pub service: String,
    /// `IP:PORT`.
    #[prost(string, tag = "2")]
    pub address: String,
}

/// A node was heard of again, or not for too long (GS-CP-03).
#[derive(Clone, PartialEq, Message)]
pub struct SetNodeState {
    /// The node.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The start that was heard of or missed.
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
    /// Wire number of the state that it is in now.
    #[prost(uint32, tag = "3")]
    pub state: u32,
}

/// Lets new segments go to an object node (GS-CP-11).
#[derive(Clone, PartialEq, Message)]
pub struct EnterRing {
    /// The node.
    #[prost(uint64, tag = "1")]
    pub id: u64,
}

/// Takes a node out of the ring, to be emptied (S20).
#[derive(Clone, PartialEq, Message)]
pub struct DrainNode {
    /// The node.
    #[prost(uint64, tag = "1")]
    pub id: u64,
}

/// Takes that back.
#[derive(Clone, PartialEq, Message)]
pub struct UndrainNode {
    /// The node.
    #[prost(uint64, tag = "1")]
    pub id: u64,
}

/// Names a partition's voters anew: one comes, one leaves, or another is to lead (S39).
#[derive(Clone, PartialEq, Message)]
pub struct PlacePartition {
    /// The partition.
    #[prost(uint32, tag = "1")]
    pub partition: u32,
    /// All its voters from now on.
    #[prost(uint64, repeated, tag = "2")]
    pub voters: Vec<u64>,
    /// One of them.
    #[prost(uint64, tag = "3")]
    pub preferred_leader: u64,
    /// Number of the layout that this follows from.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    /// The group votes as that layout says: nobody else can be one of its voters.
    #[prost(bool, tag = "5")]
    pub is_followed: bool,
}

/// A node is gone for good (GS-CP-40).
#[derive(Clone, PartialEq, Message)]
pub struct RemoveNode {
    /// The node.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// What was found of it: that nothing is left, or that a loss is accepted.
    #[prost(string, tag = "2")]
    pub finding: String,
    /// The fence under which that was found (S20); 0 for a node that stores no segments.
    #[prost(uint64, tag = "3")]
    pub fence: u64,
}
