use std::sync::Arc;

use gitstratum_core::{ErrorKind, RepoPath};
use gitstratum_proto::control::v1 as wire;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use super::control::Listed;
use super::*;
use crate::access::Options;
use crate::testing::{Double, Offer, World};

fn repository(path: &str, state: u32) -> wire::Repository {
    wire::Repository { id: 1, path: path.to_owned(), state, ..wire::Repository::default() }
}

async fn connect(double: &Double) -> Connection {
    let options = Options { data: double.data().to_owned(), ..Options::default() };
    Connection::open(&Access::find(&options).unwrap()).await.unwrap()
}

#[tokio::test]
async fn lists_go_through_all_pages() {
    let data = tempfile::tempdir().unwrap();
    let live = ["a/1", "a/2", "a/3", "b/1", "b/2"].map(|path| repository(path, 1));
    let repositories = live.into_iter().chain([repository("a/0", 2)]).collect();
    let double = Double::start(data.path(), World { repositories, ..World::default() }).unwrap();
    let connection = connect(&double).await;
    let paths = async |listed: Listed| {
        let found = connection.repositories(&listed).await.unwrap();
        found.into_iter().map(|repository| repository.path).collect::<Vec<_>>()
    };
    assert_eq!(paths(Listed::default()).await, ["a/1", "a/2", "a/3", "b/1", "b/2"]);
    let of_a = Listed { owner: Some("a".to_owned()), deleted: false };
    assert_eq!(paths(of_a).await, ["a/1", "a/2", "a/3"]);
    assert_eq!(paths(Listed { owner: None, deleted: true }).await, ["a/0"]);
}

#[tokio::test]
async fn gs_cp_06_a_token_that_is_not_known_is_told_apart() {
    let data = tempfile::tempdir().unwrap();
    let double = Double::start(data.path(), World::default()).unwrap();
    std::fs::write(data.path().join("admin.token"), "gst_other").unwrap();
    let error = connect(&double).await.who_am_i().await.expect_err("because it is another token");
    assert!(matches!(error, Error::NotSignedIn(_)), "{error}");
}

#[tokio::test]
async fn refusals_keep_their_kind_and_words() {
    let data = tempfile::tempdir().unwrap();
    let double = Double::start(data.path(), World::default()).unwrap();
    let connection = connect(&double).await;
    let path = RepoPath::parse("a/b").unwrap();
    let error = connection.repository(&path).await.expect_err("because there is none");
    assert!(matches!(error, Error::Refused { kind: ErrorKind::NotFound, .. }));
    assert_eq!(error.to_string(), "repository `a/b` does not exist");
    double.world().await.failure = Some((tonic::Code::Unavailable, "no leader".to_owned()));
    let error = connection.repository(&path).await.expect_err("because all calls fail");
    assert_eq!((error.kind(), error.exit().code()), (ErrorKind::Unavailable, 1));
}

#[tokio::test]
async fn a_socket_that_nobody_listens_on_is_unreachable() {
    let data = tempfile::tempdir().unwrap();
    let double = Double::start(data.path(), World::default()).unwrap();
    let options = Options { data: data.path().to_owned(), ..Options::default() };
    let access = Access::find(&options).unwrap();
    let connection = Connection::open(&access).await.unwrap();
    drop(double);
    tokio::task::yield_now().await;
    let error = Connection::open(&access).await.expect_err("because it is gone");
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    let error = connection.who_am_i().await.expect_err("because it is gone");
    assert_eq!(error.exit().code(), 3, "{error}");
}

#[tokio::test]
async fn stores_are_offered_by_a_node_only() {
    let data = tempfile::tempdir().unwrap();
    let double = Double::offer(data.path(), World::default(), Offer::ControlPlane).unwrap();
    let connection = connect(&double).await;
    assert!(connection.cluster_state().await.is_ok());
    assert!(connection.partitions().await.is_empty());
    let error = connection.records(0).await.expect_err("because it has no stores");
    assert!(matches!(error, Error::NotOffered(_)), "{error}");
}

/// Serves a double over TLS as `localhost`; gives its port and the certificate.
async fn serve_tls(server: &mut JoinSet<()>) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let identity = Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let user = wire::UserRecord { name: "eva".to_owned(), ..wire::UserRecord::default() };
    let world = World { users: vec![user], ..World::default() };
    let routes = double::control_plane(&Arc::new(tokio::sync::Mutex::new(world)));
    let serving = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .unwrap()
        .add_routes(routes)
        .serve_with_incoming(TcpListenerStream::new(listener));
    server.spawn(async move { drop(serving.await) });
    (port, made.cert.pem())
}

#[tokio::test]
async fn a_control_plane_elsewhere_is_believed_by_its_certificate_only() {
    let mut server = JoinSet::new();
    let (port, ca) = serve_tls(&mut server).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, ca).unwrap();
    let token = Some(crate::access::Secret::parse("test", "gst_double").unwrap());
    let server = Some(format!("localhost:{port}"));
    let options = Options { server, ca: Some(path.clone()), token, ..Options::default() };
    let connection = Connection::open(&Access::find(&options).unwrap()).await.unwrap();
    assert_eq!(connection.who_am_i().await.unwrap().name, "eva");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&path, other.cert.pem()).unwrap();
    let error = Connection::open(&Access::find(&options).unwrap()).await;
    let error = error.expect_err("because another certificate is trusted");
    assert_eq!(error.exit().code(), 3, "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
}
