use std::collections::BTreeMap;

use openraft::EntryPayload;
use openraft::entry::RaftEntry as _;
use openraft::vote::leader_id_std::CommittedLeaderId;

use super::{Entry, LogId, Membership, Vote, Voters};
use crate::command::Opaque;
use crate::raft::{self, Place};

impl From<raft::LogId> for LogId {
    fn from(id: raft::LogId) -> Self {
        Self { term: id.leader_id.term, index: id.index }
    }
}

impl From<LogId> for raft::LogId {
    fn from(id: LogId) -> Self {
        Self { leader_id: CommittedLeaderId::new(id.term), index: id.index }
    }
}

impl From<raft::Vote> for Vote {
    fn from(vote: raft::Vote) -> Self {
        Self {
            term: vote.leader_id.term,
            node: vote.leader_id.voted_for,
            committed: vote.committed,
        }
    }
}

impl From<Vote> for raft::Vote {
    fn from(vote: Vote) -> Self {
        if vote.committed {
            Self::new_committed(vote.term, vote.node)
        } else {
            Self::new(vote.term, vote.node)
        }
    }
}

impl From<&raft::Membership> for Membership {
    fn from(membership: &raft::Membership) -> Self {
        let configs = membership.get_joint_config().iter();
        let members: Vec<u64> = membership.nodes().map(|(id, _)| *id).collect();
        let places: Vec<u64> = membership.nodes().map(|(_, place)| place.node).collect();
        Self {
            configs: configs.map(|set| Voters { nodes: set.iter().copied().collect() }).collect(),
            places: if places == members { Vec::new() } else { places },
            members,
        }
    }
}

impl Membership {
    /// Its meaning, unless it contradicts itself.
    pub(crate) fn read(self) -> Result<raft::Membership, String> {
        if self.configs.is_empty() && self.members.is_empty() {
            return Ok(raft::Membership::default());
        }
        let configs = self.configs.into_iter().map(|set| set.nodes.into_iter().collect());
        let places = if self.places.is_empty() { self.members.clone() } else { self.places };
        if places.len() != self.members.len() {
            return Err("members without a place".to_owned());
        }
        let places = places.into_iter().map(|node| Place { node });
        let members: BTreeMap<u64, Place> = self.members.into_iter().zip(places).collect();
        raft::Membership::new(configs.collect(), members).map_err(|error| error.to_string())
    }
}

impl From<raft::Entry> for Entry {
    fn from(entry: raft::Entry) -> Self {
        let id = entry.log_id().into();
        match entry.payload {
            EntryPayload::Blank => Self { id, command: None, membership: None },
            EntryPayload::Normal(command) => {
                Self { id, command: Some(command.0), membership: None }
            }
            EntryPayload::Membership(membership) => {
                Self { id, command: None, membership: Some((&membership).into()) }
            }
        }
    }
}

impl Entry {
    /// Its meaning, unless it contradicts itself.
    pub(crate) fn read(self) -> Result<raft::Entry, String> {
        let payload = match (self.command, self.membership) {
            (None, None) => EntryPayload::Blank,
            (Some(command), None) => EntryPayload::Normal(Opaque(command)),
            (None, Some(membership)) => EntryPayload::Membership(membership.read()?),
            (Some(_), Some(_)) => return Err("both a command and a membership".to_owned()),
        };
        Ok(raft::Entry::new(self.id.into(), payload))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memberships_round_trip_and_contradictions_are_refused() {
        let voters = BTreeSet::from([1, 2, 3]);
        let joint = vec![voters, BTreeSet::from([3, 4])];
        let place = |node| Place { node: if node == 4 { 9 } else { node } };
        let members: BTreeMap<u64, Place> = (1..=5).map(|node| (node, place(node))).collect();
        let membership = raft::Membership::new(joint, members).unwrap();
        assert_eq!(Membership::from(&membership).read(), Ok(membership));
        let configs = vec![Voters { nodes: vec![9] }];
        let nobody = Membership { configs, members: vec![1], places: Vec::new() };
        assert!(nobody.read().is_err(), "a voter that is no member");
    }

    proptest! {
        #[test]
        fn entries_round_trip(
            term: u64,
            index: u64,
            command: Option<Vec<u8>>,
        ) {
            let payload = command.map_or(EntryPayload::Blank, |bytes| {
                EntryPayload::Normal(Opaque(bytes.into()))
            });
            let id = raft::LogId { leader_id: CommittedLeaderId::new(term), index };
            let entry = raft::Entry::new(id, payload);
            let read = Entry::from(entry.clone()).read().unwrap();
            prop_assert_eq!(read.log_id(), entry.log_id());
            prop_assert_eq!(read.payload, entry.payload);
        }
    }
}
