use std::net::TcpListener;

use gitstratum_control_plane::Founding;
use gitstratum_identity::transport::AddressBook as _;
use gitstratum_store::MemoryFiles;

use super::super::book::Book;
use super::*;

const CLUSTER: ClusterId = ClusterId([7; 16]);

fn plan() -> Plan {
    Plan {
        data: "/data".into(),
        folder: "/data/nodes/1".into(),
        nodes: Some(3),
        node: None,
        http: ANY,
        ssh: ANY,
        https: None,
        metrics: ANY,
        insecure_http: false,
        log_filter: String::new(),
        certificate_lifetime: None,
        offline_grace: None,
        scrub_every: std::time::Duration::from_secs(3_600),
        place: Default::default(),
    }
}

fn files() -> std::sync::Arc<MemoryFiles> {
    let files = MemoryFiles::new();
    files.create_directory(Path::new("/data")).unwrap();
    files
}

#[test]
fn addresses_are_kept_and_differ_and_a_port_that_was_taken_is_chosen_anew() {
    let files = files();
    let (first, ports) = Addresses::settle(&*files, &plan(), (CLUSTER, 3)).unwrap();
    assert_eq!(first.cluster().unwrap(), CLUSTER);
    let again = Addresses::read(&*files, Path::new("/data")).unwrap().unwrap();
    assert_eq!(again, first);
    let mut nodes = first.nodes.clone();
    let all: Vec<SocketAddr> = nodes.iter_mut().flat_map(NodeAddresses::all).map(|a| *a).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 3 * 9);
    let book = Book::of_founders(&first);
    let second = book.address(Founding::node(2), Service::Bulk);
    assert_eq!(second, Some(first.node(2).unwrap().of(Service::Bulk)));
    assert_eq!(book.address(Founding::node(4), Service::Bulk), None);

    let taken = TcpListener::bind(first.node(2).unwrap().of(Service::Bulk)).unwrap();
    drop(ports);
    let (next, _ports) = Addresses::settle(&*files, &plan(), (CLUSTER, 3)).unwrap();
    assert_ne!(next.node(2).unwrap().of(Service::Bulk), taken.local_addr().unwrap());
    assert_eq!(next.node(3).unwrap(), first.node(3).unwrap());
    let asked = Plan { http: taken.local_addr().unwrap(), ..plan() };
    let refused = Addresses::settle(&*files, &asked, (CLUSTER, 3)).unwrap_err();
    assert!(format!("{refused:#}").contains(&asked.http.to_string()));
}

#[test]
fn a_damaged_file_is_named() {
    let files = files();
    for text in ["", "{}", "{\"version\": 1, \"clusterId\": \"x\", \"nodes\": []}"] {
        let path = Path::new("/data").join(FILE);
        write_atomically(&*files, &path, text.as_bytes(), Permissions::Private).unwrap();
        let error = Addresses::read(&*files, Path::new("/data")).unwrap_err();
        assert!(format!("{error:#}").contains("addresses.json is damaged"), "{text}");
    }
}
