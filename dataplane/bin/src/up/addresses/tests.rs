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
        is_without_http: false,
    }
}

fn files() -> std::sync::Arc<MemoryFiles> {
    let files = MemoryFiles::new();
    files.create_directory(Path::new("/data")).unwrap();
    files
}

/// Time passes by itself while somebody waits for it.
#[tokio::test(start_paused = true)]
async fn addresses_are_kept_and_differ_and_a_port_that_was_taken_is_chosen_anew() {
    let files = files();
    let (first, ports) = Addresses::settle(&*files, &plan(), (CLUSTER, 3)).await.unwrap();
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
    let (next, _ports) = Addresses::settle(&*files, &plan(), (CLUSTER, 3)).await.unwrap();
    assert_ne!(next.node(2).unwrap().of(Service::Bulk), taken.local_addr().unwrap());
    assert_eq!(next.node(3).unwrap(), first.node(3).unwrap());
    let asked = Plan { http: taken.local_addr().unwrap(), ..plan() };
    let refused = Addresses::settle(&*files, &asked, (CLUSTER, 3)).await.unwrap_err();
    assert!(format!("{refused:#}").contains(&asked.http.to_string()));
}

#[tokio::test]
async fn an_address_that_two_were_to_have_is_refused_or_chosen_anew() {
    let files = files();
    let (first, ports) = Addresses::settle(&*files, &plan(), (CLUSTER, 3)).await.unwrap();
    drop(ports);
    let taken = first.node(2).unwrap().of(Service::Control);
    let free = first.node(1).unwrap().http;
    for (asked, twice) in [
        (Plan { http: taken, ..plan() }, taken),
        (Plan { http: free, metrics: free, ..plan() }, free),
    ] {
        let refused = Addresses::settle(&*files, &asked, (CLUSTER, 3)).await.unwrap_err();
        assert_eq!(format!("{refused:#}"), format!("{twice} is taken twice"));
    }
    // Nobody asked for either: one of them moves.
    let mut twice = first.clone();
    twice.nodes[2].bulk = taken;
    let text = serde_json::to_vec(&twice).unwrap();
    write_atomically(&*files, &Path::new("/data").join(FILE), &text, Permissions::Private).unwrap();
    let (next, _ports) = Addresses::settle(&*files, &plan(), (CLUSTER, 3)).await.unwrap();
    assert_eq!(next.node(2).unwrap(), first.node(2).unwrap());
    assert_ne!(next.node(3).unwrap().of(Service::Bulk), taken);
}

#[tokio::test]
async fn ports_of_nodes_that_are_dying_are_waited_for() {
    let files = files();
    let (first, ports) = Addresses::settle(&*files, &plan(), (CLUSTER, 3)).await.unwrap();
    drop(ports);
    let dying = TcpListener::bind(first.node(2).unwrap().of(Service::Control)).unwrap();
    let dies = async {
        tokio::time::sleep(FREE_EVERY * 3).await;
        drop(dying);
    };
    let plan = plan();
    let (next, ()) = tokio::join!(Addresses::settle(&*files, &plan, (CLUSTER, 3)), dies);
    assert_eq!(next.unwrap().0.nodes[1..], first.nodes[1..]);
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
