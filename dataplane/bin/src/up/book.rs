//! Where the services of nodes are reached. What a node registers is streamed to all others
//! with the layout; until then the addresses that a node was started with have to do, and
//! those count more: they are in the hands of whoever runs the nodes.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use gitstratum_control_plane::Founding;
use gitstratum_core::{NodeId, ProcessRole};
use gitstratum_identity::transport::{AddressBook, RoleDialer, TcpDialer};
use gitstratum_identity::{BoxStream, Dialer, InternalTls, Service};
use gitstratum_proto::control::v1::{Layout, Node};
use gitstratum_proto::node_state;
use parking_lot::RwLock;

use super::addresses::{Addresses, NodeAddresses};

/// Most voters of a control plane, and as many that are about to leave it.
const CONTROLS_MAX: usize = 10;

/// Where every node's services are, as far as is known.
#[derive(Default)]
pub(super) struct Book {
    founders: BTreeMap<NodeId, NodeAddresses>,
    doors: Vec<String>,
    learned: RwLock<Learned>,
}

/// What the layout says.
#[derive(Default)]
struct Learned {
    addresses: BTreeMap<(NodeId, Service), SocketAddr>,
    /// Nodes with a control plane: those that are to stay, then those that are drained, which may
    /// lead until others have their votes.
    control: Vec<NodeId>,
}

/// A way to some control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// To this node's.
    Node(NodeId),
    /// To whichever listens there: `HOST:PORT`.
    Door(String),
}

impl Book {
    /// With the nodes that a cluster was founded with on this machine.
    pub(super) fn of_founders(addresses: &Addresses) -> Self {
        let founders = (1..).zip(addresses.nodes()).map(|(number, node)| {
            let id: NodeId = Founding::node(number);
            (id, node.clone())
        });
        Self { founders: founders.collect(), ..Self::default() }
    }

    /// With the control planes behind `doors`, which are `HOST:PORT`.
    pub(super) fn of_doors(doors: Vec<String>) -> Self {
        Self { doors, ..Self::default() }
    }

    /// Takes in where the nodes say that they are.
    pub(super) fn learn(&self, layout: &Layout) {
        let (mut learned, mut drained) = (Learned::default(), Vec::new());
        for node in layout.nodes.iter().filter(|node| node.state != node_state::REMOVED) {
            let id = NodeId(node.id);
            for endpoint in &node.endpoints {
                let address = endpoint.address.parse().ok();
                let known = Service::parse(&endpoint.service).zip(address);
                learned.addresses.extend(known.map(|(service, at)| ((id, service), at)));
            }
            match (has_control(node), node.draining) {
                (true, false) => learned.control.push(id),
                (true, true) => drained.push(id),
                (false, _) => {}
            }
        }
        learned.control.append(&mut drained);
        *self.learned.write() = learned;
    }

    /// Where control planes take those who have no certificate yet.
    pub(super) fn doors(&self) -> Vec<String> {
        let founders = self.founders.values().map(|node| node.of(Service::Control).to_string());
        founders.chain(self.doors.iter().cloned()).collect()
    }

    /// How many ways there may be: one to each control plane, and the doors.
    pub(super) fn ways_max(&self) -> usize {
        CONTROLS_MAX + self.doors.len()
    }

    /// The ways to the control plane that are known now; never none where there was one.
    fn ways(&self) -> Vec<Way> {
        let learned = self.learned.read();
        let is_known = |node: &NodeId| self.find(&learned, *node, Service::Control).is_some();
        let mut ways: Vec<Way> =
            learned.control.iter().copied().filter(is_known).map(Way::Node).collect();
        if ways.is_empty() {
            ways.extend(self.founders.keys().copied().map(Way::Node));
        }
        ways.extend(self.doors.iter().cloned().map(Way::Door));
        ways
    }

    /// The way of this number, of those that are known now.
    fn way(&self, number: usize) -> Option<Way> {
        let mut ways = self.ways();
        let place = number.checked_rem(ways.len())?;
        Some(ways.swap_remove(place))
    }

    fn find(&self, learned: &Learned, node: NodeId, service: Service) -> Option<SocketAddr> {
        let founder = self.founders.get(&node).map(|node| node.of(service));
        founder.or_else(|| learned.addresses.get(&(node, service)).copied())
    }
}

/// Whether the node has a control plane.
pub(super) fn has_control(node: &Node) -> bool {
    let is_control = |role: &String| role == ProcessRole::Control.as_str();
    node.state != node_state::REMOVED && node.roles.iter().any(is_control)
}

impl AddressBook for Book {
    fn address(&self, node: NodeId, service: Service) -> Option<SocketAddr> {
        self.find(&self.learned.read(), node, service)
    }
}

/// Dials one of the control planes that are known when it dials: which, its number says. So
/// an agent finds those that came later, and lets those go that left.
pub(super) struct ControlDialer {
    pub(super) tls: Arc<InternalTls>,
    pub(super) book: Arc<Book>,
    pub(super) number: usize,
}

impl Dialer for ControlDialer {
    fn dial(&self, _: NodeId, service: Service) -> BoxFuture<'static, io::Result<BoxStream>> {
        match self.book.way(self.number) {
            Some(Way::Node(node)) => {
                let (tls, book) = (Arc::clone(&self.tls), Arc::clone(&self.book));
                TcpDialer::new(tls, book as _).dial(node, service)
            }
            Some(Way::Door(address)) => {
                let (tls, role) = (Arc::clone(&self.tls), service.served_by());
                RoleDialer::new(tls, role, address).dial(NodeId(0), service)
            }
            None => std::future::ready(Err(io::ErrorKind::ConnectionRefused.into())).boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_proto::control::v1::NodeEndpoint;

    use super::*;

    fn node(id: u64, roles: &[&str], services: &[(&str, &str)]) -> Node {
        let endpoint = |(service, address): &(&str, &str)| NodeEndpoint {
            service: (*service).to_owned(),
            address: (*address).to_owned(),
        };
        Node {
            id,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            endpoints: services.iter().map(endpoint).collect(),
            ..Node::default()
        }
    }

    #[test]
    fn gs_cp_02_a_node_that_joined_is_dialled_where_it_says_it_is_and_forgotten_when_removed() {
        let book = Book::of_doors(vec!["cp:9090".to_owned()]);
        let joined = node(4, &["object"], &[("object", "10.0.0.4:1"), ("bulk", "10.0.0.4:2")]);
        let layout = |nodes| Layout { nodes, ..Layout::default() };
        assert_eq!(book.address(NodeId(4), Service::Bulk), None);
        book.learn(&layout(vec![joined.clone()]));
        assert_eq!(book.address(NodeId(4), Service::Bulk), "10.0.0.4:2".parse().ok());
        assert_eq!(book.address(NodeId(4), Service::Metadata), None);
        let moved = node(4, &["object"], &[("bulk", "10.0.0.9:2")]);
        book.learn(&layout(vec![moved]));
        assert_eq!(book.address(NodeId(4), Service::Bulk), "10.0.0.9:2".parse().ok());
        assert_eq!(book.address(NodeId(4), Service::Object), None);
        book.learn(&layout(vec![Node { state: node_state::REMOVED, ..joined }]));
        assert_eq!(book.address(NodeId(4), Service::Bulk), None);
    }

    #[test]
    fn gs_cp_36_control_planes_that_joined_are_found_and_those_that_leave_are_asked_last() {
        let book = Book::of_doors(vec!["cp:9090".to_owned()]);
        let door = Way::Door("cp:9090".to_owned());
        assert_eq!(book.ways(), std::slice::from_ref(&door));
        let control = |id| node(id, &["control"], &[("control", "10.0.0.1:1")]);
        let silent = node(7, &["control"], &[]);
        let leaving = Node { draining: true, ..control(6) };
        let nodes = vec![control(4), leaving, control(5), silent, node(8, &["object"], &[])];
        book.learn(&Layout { nodes, ..Layout::default() });
        assert_eq!(
            book.ways(),
            [4, 5, 6].map(|id| Way::Node(NodeId(id))).into_iter().chain([door]).collect::<Vec<_>>()
        );
    }

    #[test]
    fn every_door_is_dialled_by_somebody_beside_five_voters() {
        let doors: Vec<String> = (1..=16).map(|number| format!("cp-{number}:9090")).collect();
        let book = Book::of_doors(doors.clone());
        let control = |id| node(id, &["control"], &[("control", "10.0.0.1:1")]);
        for voters in [0, 5] {
            let nodes = (1..=voters).map(control).collect();
            book.learn(&Layout { nodes, ..Layout::default() });
            let dialled: Vec<Way> =
                (0..book.ways_max()).filter_map(|number| book.way(number)).collect();
            for door in &doors {
                assert!(dialled.contains(&Way::Door(door.clone())), "{door} beside {voters}");
            }
        }
    }
}
