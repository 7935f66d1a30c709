use std::path::Path;

use gitstratum_core::{ManualClock, SeededEntropy};
use gitstratum_identity::{Authority, Peer};
use gitstratum_proto::control::v1::Certificate;
use gitstratum_store::MemoryFiles;
use gitstratum_store::files::{Permissions, read_whole, write_atomically};

use super::*;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const NODE: NodeId = NodeId(7);
const ROLES: [ProcessRole; 2] = [ProcessRole::Agent, ProcessRole::Object];

fn authority(cluster: u8) -> Authority {
    Authority::create(ClusterId([cluster; 16]), NOW, &*SeededEntropy::new(1)).unwrap()
}

fn sign(authority: &Authority, node: NodeId, drawn: &Drawn) -> Vec<Certificate> {
    let sign = |asked: gitstratum_proto::control::v1::SigningRequest| {
        let role = ROLES.into_iter().find(|role| role.as_str() == asked.role).unwrap();
        let peer = Peer { cluster: authority.cluster(), role, node };
        let pem = authority.sign(peer, &asked.request, NOW, &*SeededEntropy::new(2)).unwrap();
        Certificate { role: asked.role, pem }
    };
    drawn.requests().into_iter().map(sign).collect()
}

fn enrolled(authority: &Authority, node: NodeId) -> Identity {
    let drawn = Drawn::new(&ROLES).unwrap();
    let certificates = sign(authority, node, &drawn);
    drawn.finish((authority.cluster(), node), authority.certificate_pem(), certificates).unwrap()
}

fn folder() -> (Arc<MemoryFiles>, PathBuf) {
    let (files, directory) = (MemoryFiles::new(), PathBuf::from("/agent"));
    files.create_directory(&directory).unwrap();
    files.sync_directory(Path::new("/")).unwrap();
    (files, directory)
}

fn joining(authority: &Authority, node: Option<NodeId>, directory: &Path) -> Joining {
    Joining {
        directory: directory.to_owned(),
        node,
        roles: vec![ProcessRole::Object],
        bare_roles: Vec::new(),
        token: Token::generate(&*SeededEntropy::new(3)),
        authority_pem: authority.certificate_pem().to_owned(),
        doors: Vec::new(),
    }
}

async fn open(joining: Joining, files: &Arc<MemoryFiles>) -> Result<Arc<Enrolment>, Error> {
    Enrolment::open(joining, Arc::clone(files) as _, ManualClock::new(NOW)).await
}

#[tokio::test]
async fn s46_keys_and_certificates_survive_a_power_cut_and_need_no_control_plane() {
    let ((files, directory), authority) = (folder(), authority(1));
    identity::store(&*files, &directory, &enrolled(&authority, NODE)).unwrap();
    incarnation::raise(&*files, &directory).unwrap();
    files.crash();
    let enrolment = open(joining(&authority, Some(NODE), &directory), &files).await.unwrap();
    assert_eq!((enrolment.node(), enrolment.cluster()), (NODE, ClusterId([1; 16])));
    assert!(enrolment.tls(ProcessRole::Object).is_some());
    assert!(enrolment.tls(ProcessRole::Metadata).is_none());
    assert!(!enrolment.is_due());
}

#[tokio::test]
async fn s23_keys_without_a_count_of_starts_are_of_a_disk_that_lost_something() {
    let ((files, directory), authority) = (folder(), authority(1));
    identity::store(&*files, &directory, &enrolled(&authority, NODE)).unwrap();
    // The control plane knows the count, and here is none that could be asked.
    let opening = open(joining(&authority, Some(NODE), &directory), &files);
    assert!(tokio::time::timeout(Duration::from_millis(300), opening).await.is_err());
    incarnation::raise(&*files, &directory).unwrap();
    open(joining(&authority, Some(NODE), &directory), &files).await.unwrap();
}

#[tokio::test]
async fn bad_input_155_keys_of_another_node_or_cluster_are_refused_and_left() {
    let ((files, directory), ours) = (folder(), authority(1));
    identity::store(&*files, &directory, &enrolled(&ours, NODE)).unwrap();
    let path = directory.join("identity");
    let before = read_whole(&*files, &path, 1 << 20).unwrap();
    for (joining, found) in [
        (joining(&ours, Some(NodeId(8)), &directory), "node 0000000000000007"),
        (joining(&authority(2), Some(NODE), &directory), "cluster 0101"),
    ] {
        let refused = open(joining, &files).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        let message = refused.to_string();
        assert!(message.contains(found) && message.contains("/agent/identity"), "{message}");
    }
    assert_eq!(read_whole(&*files, &path, 1 << 20).unwrap(), before);
}

#[tokio::test]
async fn bad_input_155_keys_of_a_node_with_other_roles_are_refused_and_left() {
    let ((files, directory), authority) = (folder(), authority(1));
    identity::store(&*files, &directory, &enrolled(&authority, NODE)).unwrap();
    incarnation::raise(&*files, &directory).unwrap();
    for roles in [vec![], vec![ProcessRole::Frontend]] {
        let joining = Joining { roles, ..joining(&authority, None, &directory) };
        let refused = open(joining, &files).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.to_string().contains("certificates for agent, object"), "{refused}");
    }
    open(joining(&authority, None, &directory), &files).await.unwrap();
}

#[tokio::test]
async fn s23_damaged_keys_are_no_keys_and_no_new_node_and_a_newer_format_is_left() {
    let ((files, directory), authority) = (folder(), authority(1));
    identity::store(&*files, &directory, &enrolled(&authority, NODE)).unwrap();
    let path = directory.join("identity");
    let sound = read_whole(&*files, &path, 1 << 20).unwrap();
    for place in (0..sound.len()).step_by(13).filter(|place| *place != 7) {
        let mut bytes = sound.to_vec();
        bytes[place] ^= 1;
        write_atomically(&*files, &path, &bytes, Permissions::Private).unwrap();
        let found = identity::load(&*files, &directory).unwrap();
        assert!(matches!(found, Loaded::Damaged), "a flipped bit at {place}");
    }
    // Nothing else says which node this is: it must not come back as a new one.
    let damaged = read_whole(&*files, &path, 1 << 20).unwrap();
    let refused = open(joining(&authority, None, &directory), &files).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(refused.to_string().contains("/agent/identity is damaged"), "{refused}");
    assert_eq!(read_whole(&*files, &path, 1 << 20).unwrap(), damaged);
    // There is no control plane that could be asked for others.
    let lost = open(joining(&authority, Some(NODE), &directory), &files);
    let waited = tokio::time::timeout(Duration::from_millis(300), lost).await;
    assert!(waited.is_err(), "it goes on asking");
    let mut newer = sound.to_vec();
    newer[7] = 2;
    write_atomically(&*files, &path, &newer, Permissions::Private).unwrap();
    let refused = open(joining(&authority, Some(NODE), &directory), &files).await.unwrap_err();
    assert!(matches!(refused, Error::NewerFormat { found: 2, .. }));
}

#[test]
fn certificates_for_others_or_other_keys_are_not_taken() {
    let authority = authority(1);
    let whose = (authority.cluster(), NODE);
    let finish = |drawn: Drawn, certificates| {
        drawn.finish(whose, authority.certificate_pem(), certificates).map(drop)
    };
    let drawn = Drawn::new(&ROLES).unwrap();
    let others = sign(&authority, NodeId(8), &drawn);
    assert!(matches!(finish(drawn, others), Err(Error::Answer(_))));
    let drawn = Drawn::new(&ROLES).unwrap();
    let one = sign(&authority, NODE, &drawn).into_iter().take(1).collect();
    assert!(matches!(finish(drawn, one), Err(Error::Answer(_))));
    let certificates = sign(&authority, NODE, &Drawn::new(&ROLES).unwrap());
    let drawn = Drawn::new(&ROLES).unwrap();
    assert!(matches!(finish(drawn, certificates), Err(Error::Authority(_))));
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let identity = enrolled(&authority(1), NODE);
    let shown = format!("{identity:?} {:?}", joining(&authority(1), None, Path::new("/x")));
    assert!(!shown.contains("PRIVATE") && !shown.contains("gst_"), "{shown}");
}
