use serde_json::{Value, json};

use crate::State;
use crate::record::{Grant, GrantSubject, Node, Placement, Repository, Token, User};

impl State {
    /// The state for people and scripts, without secrets. Ids are hex strings: not every
    /// reader of JSON keeps 64 bits.
    pub fn to_json(&self) -> Value {
        json!({
            "format": 1,
            "cluster": self.cluster().map(|id| id.to_string()),
            "generation": self.generation(),
            "version": self.version().to_string(),
            "layout": {
                "epoch": self.layout.epoch.0,
                "replication_factor": self.layout.replication_factor,
                "partitions": self.layout.partitions.iter().map(placement).collect::<Vec<_>>(),
            },
            "nodes": self.nodes().map(node).collect::<Vec<_>>(),
            "settings": self.settings().map(|s| json!({ "key": s.key, "value": s.value }))
                .collect::<Vec<_>>(),
            "owners": self.owners,
            "users": self.users.values().map(user).collect::<Vec<_>>(),
            "tokens": self.tokens.values().map(|t| self.token_json(t)).collect::<Vec<_>>(),
            "grants": self.grants().map(|g| self.grant_json(g)).collect::<Vec<_>>(),
            "repositories": self.repositories.values().map(repository).collect::<Vec<_>>(),
        })
    }

    fn token_json(&self, token: &Token) -> Value {
        json!({
            "id": token.id().to_string(),
            "user": self.user_by_id(token.user).map(|user| &user.name),
            "scope": token.scope.as_str(),
            "repositories": token.repositories.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "expires_millis": token.expires.map(|at| at.0),
            "created_millis": token.created.0,
        })
    }

    fn grant_json(&self, grant: &Grant) -> Value {
        let subject = match &grant.key.subject {
            GrantSubject::Owner(owner) => owner.clone(),
            GrantSubject::Repository(id) => id.to_string(),
        };
        json!({
            "user": self.user_by_id(grant.key.user).map(|user| &user.name),
            "role": grant.role.as_str(),
            "subject": subject,
        })
    }
}

fn placement(placement: &Placement) -> Value {
    json!({
        "partition": placement.partition.0,
        "voters": placement.voters.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "preferred_leader": placement.preferred_leader.to_string(),
        "epoch": placement.epoch.0,
        "leaving": placement.leaving.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn node(node: &Node) -> Value {
    json!({
        "id": node.id.to_string(),
        "roles": node.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(),
        "address": node.address,
        "endpoints": node.endpoints.iter()
            .map(|(service, at)| (service.clone(), Value::from(at.to_string())))
            .collect::<serde_json::Map<_, _>>(),
        "region": node.region,
        "zone": node.zone,
        "weight": node.weight,
        "state": node.state.as_str(),
        "since_millis": node.since.0,
        "failures": node.failures,
        "draining": node.is_draining,
        "fence": node.fence.to_string(),
        "incarnation": node.incarnation.0,
        "software": node.software,
        "in_ring": node.in_ring,
    })
}

fn user(user: &User) -> Value {
    json!({
        "id": user.id.to_string(),
        "name": user.name,
        "email": user.email,
        "suspended": user.suspended,
        "cluster_admin": user.cluster_admin,
        "keys": user.keys.iter()
            .map(|key| json!({ "fingerprint": key.fingerprint, "comment": key.comment }))
            .collect::<Vec<_>>(),
    })
}

fn repository(repository: &Repository) -> Value {
    json!({
        "id": repository.id.to_string(),
        "path": repository.path.as_str(),
        "partition": repository.partition.0,
        "object_format": repository.format,
        "default_branch": repository.default_branch,
        "visibility": repository.visibility,
        "description": repository.description,
        "state": repository.state.as_str(),
        "created_millis": repository.created.0,
    })
}
