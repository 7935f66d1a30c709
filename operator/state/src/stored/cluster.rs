use std::net::SocketAddr;

use gitstratum_core::{
    ClusterId, Epoch, GrantsVersion, Incarnation, NodeId, PartitionId, ProcessRole, UnixMillis,
};

use super::{BadField, Stored};
use crate::record::{Layout, Node, NodeState, Placement, Setting};
use crate::state::Header;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HeaderMessage {
    #[prost(bytes = "vec", tag = "1")]
    cluster: Vec<u8>,
    #[prost(uint32, tag = "2")]
    generation: u32,
    #[prost(uint64, tag = "3")]
    version: u64,
    #[prost(uint64, tag = "4")]
    change_floor: u64,
    #[prost(uint64, tag = "5")]
    audit_floor: u64,
    #[prost(uint64, tag = "6")]
    audit_bytes: u64,
    #[prost(bytes = "vec", tag = "7")]
    join_token: Vec<u8>,
}

impl Stored for Header {
    type Message = HeaderMessage;

    fn to_message(&self) -> HeaderMessage {
        HeaderMessage {
            cluster: self.cluster.map(|id| id.0.to_vec()).unwrap_or_default(),
            generation: u32::from(self.generation),
            version: self.version.0,
            change_floor: self.change_floor.0,
            audit_floor: self.audit_floor,
            audit_bytes: self.audit_bytes,
            join_token: self.join_token.map(|hash| hash.to_vec()).unwrap_or_default(),
        }
    }

    fn from_message(message: HeaderMessage) -> Result<Self, BadField> {
        Ok(Self {
            cluster: Some(ClusterId::from_slice(&message.cluster).ok_or(BadField("cluster id"))?),
            generation: u16::try_from(message.generation).map_err(|_| BadField("generation"))?,
            version: GrantsVersion(message.version),
            change_floor: GrantsVersion(message.change_floor),
            audit_floor: message.audit_floor,
            audit_bytes: message.audit_bytes,
            join_token: match message.join_token.as_slice() {
                [] => None,
                hash => Some(hash.try_into().map_err(|_| BadField("join token"))?),
            },
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PlacementMessage {
    #[prost(uint32, tag = "1")]
    partition: u32,
    #[prost(uint64, repeated, tag = "2")]
    voters: Vec<u64>,
    #[prost(uint64, tag = "3")]
    preferred_leader: u64,
    #[prost(uint64, tag = "4")]
    epoch: u64,
    #[prost(uint64, repeated, tag = "5")]
    leaving: Vec<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LayoutMessage {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint32, tag = "2")]
    replication_factor: u32,
    #[prost(message, repeated, tag = "3")]
    partitions: Vec<PlacementMessage>,
    #[prost(uint64, tag = "4")]
    version: u64,
}

impl Stored for Layout {
    type Message = LayoutMessage;

    fn to_message(&self) -> LayoutMessage {
        let placement = |placement: &Placement| PlacementMessage {
            partition: placement.partition.0,
            voters: placement.voters.iter().map(|id| id.0).collect(),
            preferred_leader: placement.preferred_leader.0,
            epoch: placement.epoch.0,
            leaving: placement.leaving.iter().map(|id| id.0).collect(),
        };
        LayoutMessage {
            epoch: self.epoch.0,
            replication_factor: u32::from(self.replication_factor),
            partitions: self.partitions.iter().map(placement).collect(),
            version: self.version.0,
        }
    }

    fn from_message(message: LayoutMessage) -> Result<Self, BadField> {
        let placement = |placement: PlacementMessage| Placement {
            partition: PartitionId(placement.partition),
            voters: placement.voters.into_iter().map(NodeId).collect(),
            preferred_leader: NodeId(placement.preferred_leader),
            epoch: Epoch(placement.epoch),
            leaving: placement.leaving.into_iter().map(NodeId).collect(),
        };
        Ok(Self {
            epoch: Epoch(message.epoch),
            replication_factor: u8::try_from(message.replication_factor)
                .map_err(|_| BadField("replication factor"))?,
            partitions: message.partitions.into_iter().map(placement).collect(),
            version: GrantsVersion(message.version),
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NodeMessage {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, repeated, tag = "2")]
    roles: Vec<String>,
    #[prost(string, tag = "3")]
    address: String,
    #[prost(string, tag = "4")]
    region: String,
    #[prost(string, tag = "5")]
    zone: String,
    #[prost(uint32, tag = "6")]
    weight: u32,
    #[prost(uint32, tag = "7")]
    state: u32,
    #[prost(uint64, tag = "8")]
    incarnation: u64,
    #[prost(string, tag = "9")]
    software: String,
    #[prost(bool, tag = "10")]
    in_ring: bool,
    #[prost(uint64, tag = "11")]
    version: u64,
    #[prost(uint64, tag = "12")]
    since_millis: u64,
    #[prost(uint32, tag = "13")]
    failures: u32,
    #[prost(bool, tag = "14")]
    is_draining: bool,
    #[prost(uint64, tag = "15")]
    fence: u64,
    #[prost(message, repeated, tag = "16")]
    endpoints: Vec<EndpointMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EndpointMessage {
    #[prost(string, tag = "1")]
    service: String,
    #[prost(string, tag = "2")]
    address: String,
}

impl Stored for Node {
    type Message = NodeMessage;

    fn to_message(&self) -> NodeMessage {
        NodeMessage {
            id: self.id.0,
            roles: self.roles.iter().map(|role| role.as_str().to_owned()).collect(),
            address: self.address.clone(),
            region: self.region.clone(),
            zone: self.zone.clone(),
            weight: u32::from(self.weight),
            state: self.state.to_wire(),
            incarnation: self.incarnation.0,
            software: self.software.clone(),
            in_ring: self.in_ring,
            version: self.version.0,
            since_millis: self.since.0,
            failures: self.failures,
            is_draining: self.is_draining,
            fence: self.fence,
            endpoints: self.endpoints.iter().map(endpoint_message).collect(),
        }
    }

    fn from_message(message: NodeMessage) -> Result<Self, BadField> {
        Ok(Self {
            id: NodeId(message.id),
            roles: message.roles.iter().map(|word| role(word)).collect::<Result<_, _>>()?,
            address: message.address,
            region: message.region,
            zone: message.zone,
            weight: u16::try_from(message.weight).map_err(|_| BadField("weight"))?,
            state: NodeState::from_wire(message.state).ok_or(BadField("state"))?,
            incarnation: Incarnation(message.incarnation),
            software: message.software,
            in_ring: message.in_ring,
            since: UnixMillis(message.since_millis),
            failures: message.failures,
            is_draining: message.is_draining,
            fence: message.fence,
            endpoints: message.endpoints.into_iter().map(endpoint).collect::<Result<_, _>>()?,
            version: GrantsVersion(message.version),
        })
    }
}

fn endpoint_message((service, address): (&String, &SocketAddr)) -> EndpointMessage {
    EndpointMessage { service: service.clone(), address: address.to_string() }
}

fn endpoint(message: EndpointMessage) -> Result<(String, SocketAddr), BadField> {
    let EndpointMessage { service, address } = message;
    Ok((service, address.parse().map_err(|_| BadField("endpoint"))?))
}

fn role(word: &str) -> Result<ProcessRole, BadField> {
    match word {
        "control" => Ok(ProcessRole::Control),
        "frontend" => Ok(ProcessRole::Frontend),
        "metadata" => Ok(ProcessRole::Metadata),
        "object" => Ok(ProcessRole::Object),
        _ => Err(BadField("role")),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SettingMessage {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(uint64, tag = "3")]
    version: u64,
}

impl Stored for Setting {
    type Message = SettingMessage;

    fn to_message(&self) -> SettingMessage {
        let (key, value) = (self.key.clone(), self.value.clone());
        SettingMessage { key, value, version: self.version.0 }
    }

    fn from_message(message: SettingMessage) -> Result<Self, BadField> {
        let SettingMessage { key, value, version } = message;
        Ok(Self { key, value, version: GrantsVersion(version) })
    }
}
