use gitstratum_core::{Clock, ClusterId, Entropy, NodeId, Token};
use gitstratum_identity::Authority;
use gitstratum_state::Reply;
use gitstratum_state::command::{Change, CreateRepository, Found, FoundNode, Origin};

use crate::error::Error;
use crate::plane::Plane;

/// Generation of a control plane that was never rebuilt (S45).
const FIRST_GENERATION: u16 = 1;
/// The first cluster admin.
const ADMIN: &str = "admin";
/// The repository that every new cluster has.
const FIRST_REPOSITORY: &str = "demo/hello";

/// A new cluster, before it exists: its size and its first secrets. The composition root
/// writes the secrets down before it founds the cluster, so that none is lost in between.
#[derive(Debug)]
pub struct Founding {
    /// Fresh.
    pub cluster: ClusterId,
    /// The first nodes; each has every role.
    pub nodes: Vec<NodeId>,
    /// Metadata partitions, fixed for ever.
    pub partitions: u32,
    /// Copies of a segment.
    pub replication_factor: u8,
    /// Token of user `admin`, scope admin, without end.
    pub admin_token: Token,
    /// By which nodes enrol.
    pub join_token: Token,
    /// Signs the certificates of nodes.
    pub authority: Authority,
}

/// Which cluster this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its id.
    pub id: ClusterId,
    /// How often its control plane was founded or rebuilt.
    pub generation: u16,
    /// Its nodes.
    pub nodes: Vec<NodeId>,
}

impl Founding {
    /// A cluster of `nodes` nodes (1 or more) and `partitions` partitions, with fresh id,
    /// token and authority. Segments get as many copies as there are nodes, up to 3.
    ///
    /// # Errors
    /// [`Error::Authority`].
    pub fn draw(
        nodes: u8,
        partitions: u32,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Self, Error> {
        let cluster = ClusterId::random(entropy);
        let authority =
            Authority::create(cluster, clock.wall(), entropy).map_err(Error::Authority)?;
        let tokens = (Token::generate(entropy), Token::generate(entropy));
        Ok(Self::of(cluster, (nodes, partitions), tokens, authority))
    }

    /// The same with an id, tokens (the first admin's, that of joining nodes) and an authority
    /// that were drawn and written down before.
    pub fn of(
        cluster: ClusterId,
        (nodes, partitions): (u8, u32),
        (admin_token, join_token): (Token, Token),
        authority: Authority,
    ) -> Self {
        let replication_factor = nodes.min(3);
        let nodes = (1..=nodes).map(Self::node).collect();
        Self { cluster, nodes, partitions, replication_factor, admin_token, join_token, authority }
    }

    /// The id of founding node `number`, counted from 1. It is known before there is a log:
    /// the founding command comes behind the entries whose indices these ids use up (S47).
    pub const fn node(number: u8) -> NodeId {
        NodeId::allocate(FIRST_GENERATION, number as u64)
    }

    fn command(&self) -> Change {
        let node = |id: &NodeId| FoundNode { id: id.0, zone: String::new() };
        Change::Found(Found {
            cluster: self.cluster.0.to_vec(),
            generation: u32::from(FIRST_GENERATION),
            partitions: self.partitions,
            replication_factor: u32::from(self.replication_factor),
            nodes: self.nodes.iter().map(node).collect(),
            admin: ADMIN.to_owned(),
            admin_token: self.admin_token.hash().to_vec(),
            join_token: self.join_token.hash().to_vec(),
        })
    }
}

/// Which cluster `plane` is of, once founded.
pub(crate) async fn cluster(plane: &Plane) -> Result<Option<Cluster>, Error> {
    plane.barrier().await?;
    plane
        .read(|state| {
            state.cluster().map(|id| Cluster {
                id,
                generation: state.generation(),
                nodes: state.nodes().map(|node| node.id).collect(),
            })
        })
        .await
}

/// Founds the cluster and makes its first repository.
pub(crate) async fn found(plane: &Plane, founding: &Founding) -> Result<Cluster, Error> {
    let outcome = plane.propose(Origin::system(), founding.command()).await?;
    outcome.result.map_err(Error::Refused)?;
    finish(plane).await
}

/// Makes what a founding that was cut short has not made.
pub(crate) async fn finish(plane: &Plane) -> Result<Cluster, Error> {
    let first = CreateRepository {
        path: FIRST_REPOSITORY.to_owned(),
        if_not_exists: true,
        description: "An empty repository to try things with".to_owned(),
        ..CreateRepository::default()
    };
    let outcome = plane.propose(Origin::system(), Change::CreateRepository(first)).await?;
    let made: Reply = outcome.result.map_err(Error::Refused)?;
    tracing::debug!(?made, "the first repository is there");
    cluster(plane).await?.ok_or(Error::Answer)
}
