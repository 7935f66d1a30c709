use gitstratum_core::{Clock as _, ClusterId, ManualClock, NodeId, ProcessRole, UnixMillis};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::testing::{Cluster, DAY, NOW};
use crate::{Credentials, NodeKey, Peer, PemFile};

const METADATA: NodeId = NodeId(1);
const OBJECT: NodeId = NodeId(2);

/// Both ends shake hands and exchange a word each. What each end made of it.
async fn meet(client: &ClientTls, server: &ServerTls) -> (io::Result<()>, io::Result<()>) {
    let (near, far) = duplex(64 * 1024);
    tokio::join!(ask(client, near), answer(server, far))
}

async fn ask(client: &ClientTls, io: DuplexStream) -> io::Result<()> {
    let mut stream = client.connect(io).await?;
    stream.write_all(b"ping").await?;
    stream.read_exact(&mut [0; 4]).await?;
    Ok(())
}

async fn answer(server: &ServerTls, io: DuplexStream) -> io::Result<()> {
    let mut stream = TlsAcceptor::from(Arc::clone(&server.config)).accept(io).await?;
    stream.read_exact(&mut [0; 4]).await?;
    stream.write_all(b"pong").await?;
    stream.shutdown().await
}

struct Pair {
    clock: Arc<ManualClock>,
    cluster: Cluster,
    metadata: InternalTls,
    object: InternalTls,
}

fn pair() -> Pair {
    let (clock, cluster) = (ManualClock::new(NOW), Cluster::new(0xc1));
    let metadata = cluster.tls(ProcessRole::Metadata, METADATA, clock.clone());
    let object = cluster.tls(ProcessRole::Object, OBJECT, clock.clone());
    Pair { clock, cluster, metadata, object }
}

impl Pair {
    /// The metadata node dials the object node.
    async fn meet(&self) -> (io::Result<()>, io::Result<()>) {
        let server = self.object.server(&[ProcessRole::Metadata]).unwrap();
        let client = self.metadata.client(self.cluster.peer(ProcessRole::Object, OBJECT)).unwrap();
        meet(&client, &server).await
    }
}

#[tokio::test]
async fn p_s9_nodes_of_one_cluster_meet() {
    let (asked, answered) = pair().meet().await;
    asked.unwrap();
    answered.unwrap();
}

#[tokio::test]
async fn p_s9_a_role_that_is_not_expected_is_refused_by_the_server() {
    let pair = pair();
    let server = pair.object.server(&[ProcessRole::Frontend]).unwrap();
    let client = pair.metadata.client(pair.cluster.peer(ProcessRole::Object, OBJECT)).unwrap();
    let (asked, answered) = meet(&client, &server).await;
    assert!(asked.is_err());
    let message = answered.unwrap_err().to_string();
    assert!(message.contains("not expected here"), "{message}");
}

#[tokio::test]
async fn p_s9_another_node_or_role_than_dialled_is_refused_by_the_client() {
    let pair = pair();
    let server = pair.object.server(&[ProcessRole::Metadata]).unwrap();
    for other in [
        pair.cluster.peer(ProcessRole::Object, NodeId(3)),
        pair.cluster.peer(ProcessRole::Metadata, OBJECT),
    ] {
        let client = pair.metadata.client(other).unwrap();
        let (asked, answered) = meet(&client, &server).await;
        assert!(asked.unwrap_err().to_string().contains("not expected here"));
        assert!(answered.is_err());
    }
}

#[tokio::test]
async fn p_s9_a_certificate_of_another_cluster_is_refused_by_both() {
    let (ours, clock) = (pair(), ManualClock::new(NOW));
    let foreign = Cluster::new(0xf0).tls(ProcessRole::Metadata, METADATA, clock);
    let server = ours.object.server(&[ProcessRole::Metadata]).unwrap();
    let client = foreign.client(ours.cluster.peer(ProcessRole::Object, OBJECT)).unwrap();
    assert!(meet(&client, &server).await.0.is_err(), "the dialler trusts another authority");

    let server = foreign.server(&[ProcessRole::Metadata]).unwrap();
    let client = ours.metadata.client(ours.cluster.peer(ProcessRole::Metadata, METADATA)).unwrap();
    assert!(meet(&client, &server).await.0.is_err(), "so does the server");
}

/// Two authorities may bear the same cluster id; what counts is the key.
#[tokio::test]
async fn p_s9_the_same_cluster_id_under_another_key_is_refused() {
    let ours = pair();
    let forged = Cluster::new(0xc1).tls(ProcessRole::Metadata, METADATA, ours.clock.clone());
    let server = ours.object.server(&[ProcessRole::Metadata]).unwrap();
    let client = forged.client(ours.cluster.peer(ProcessRole::Object, OBJECT)).unwrap();
    assert!(meet(&client, &server).await.0.is_err());
    let client = ours.metadata.client(ours.cluster.peer(ProcessRole::Metadata, METADATA)).unwrap();
    let server = forged.server(&[ProcessRole::Metadata]).unwrap();
    assert!(meet(&client, &server).await.0.is_err());
}

#[tokio::test]
async fn s46_an_expired_certificate_is_refused_and_a_renewed_one_taken() {
    let pair = pair();
    pair.clock.advance(7 * DAY - Duration::from_secs(1));
    pair.meet().await.0.unwrap();
    pair.clock.advance(Duration::from_secs(2));
    assert!(pair.meet().await.0.is_err());
    let now = pair.clock.wall();
    pair.metadata.replace(&pair.cluster.credentials(ProcessRole::Metadata, METADATA, now));
    pair.object.replace(&pair.cluster.credentials(ProcessRole::Object, OBJECT, now));
    pair.meet().await.0.unwrap();
}

#[tokio::test]
async fn s46_without_news_certificates_that_ran_out_are_believed_for_so_long_and_no_longer() {
    let pair = pair();
    let grace = Duration::from_secs(3_600);
    let server = pair.object.server(&[ProcessRole::Metadata]).unwrap();
    let client = pair.metadata.client(pair.cluster.peer(ProcessRole::Object, OBJECT)).unwrap();
    pair.clock.advance(7 * DAY + grace);
    assert!(meet(&client, &server).await.0.is_err(), "there is news");
    pair.object.tolerate(grace);
    assert!(meet(&client, &server).await.0.is_err(), "each side decides for itself");
    pair.metadata.tolerate(grace);
    let (asked, answered) = meet(&client, &server).await;
    asked.unwrap();
    answered.unwrap();
    pair.clock.advance(Duration::from_secs(1));
    let message = meet(&client, &server).await.0.unwrap_err().to_string();
    assert!(message.contains("certificate expired"), "{message}");
    assert!(message.contains("is not valid after"), "it says since when: {message}");
}

#[tokio::test]
async fn s46_what_was_tolerated_is_still_of_one_authority_and_peer() {
    let pair = pair();
    pair.clock.advance(7 * DAY + Duration::from_secs(60));
    for tls in [&pair.object, &pair.metadata] {
        tls.tolerate(Duration::from_secs(3_600));
    }
    let server = pair.object.server(&[ProcessRole::Frontend]).unwrap();
    let client = pair.metadata.client(pair.cluster.peer(ProcessRole::Object, OBJECT)).unwrap();
    assert!(meet(&client, &server).await.1.is_err(), "another role");
    let forged = Cluster::new(0xc1).tls(ProcessRole::Metadata, METADATA, pair.clock.clone());
    forged.tolerate(Duration::from_secs(3_600));
    let server = pair.object.server(&[ProcessRole::Metadata]).unwrap();
    let client = forged.client(pair.cluster.peer(ProcessRole::Object, OBJECT)).unwrap();
    assert!(meet(&client, &server).await.1.is_err(), "another authority");
}

/// A recorded handshake, sent once more byte by byte, admits nobody: the server's part of
/// it is fresh every time (bad input 161, replay).
#[tokio::test]
async fn bad_input_161_a_replayed_handshake_is_refused() {
    let pair = pair();
    let server = pair.object.server(&[ProcessRole::Metadata]).unwrap();
    let client = pair.metadata.client(pair.cluster.peer(ProcessRole::Object, OBJECT)).unwrap();
    let (near, mut wire_near) = duplex(64 * 1024);
    let (mut wire_far, far) = duplex(64 * 1024);
    let relay = async {
        let (mut heard, mut said, mut back) = (Vec::new(), [0; 4_096], [0; 4_096]);
        loop {
            tokio::select! {
                read = wire_near.read(&mut said) => match read.unwrap_or(0) {
                    0 => return heard,
                    count => {
                        heard.extend_from_slice(&said[..count]);
                        if wire_far.write_all(&said[..count]).await.is_err() {
                            return heard;
                        }
                    }
                },
                read = wire_far.read(&mut back) => match read.unwrap_or(0) {
                    0 => return heard,
                    count => wire_near.write_all(&back[..count]).await.unwrap(),
                },
            }
        }
    };
    let (asked, answered, recorded) = tokio::join!(ask(&client, near), answer(&server, far), relay);
    asked.unwrap();
    answered.unwrap();
    assert!(recorded.len() > 500, "hello, certificate and word were heard");
    let (mut attacker, far) = duplex(64 * 1024);
    let replay = async {
        // The server may hang up at the first wrong record.
        drop(attacker.write_all(&recorded).await);
        let mut said = Vec::new();
        drop(attacker.read_to_end(&mut said).await);
    };
    let (answered, ()) = tokio::join!(answer(&server, far), replay);
    assert!(answered.is_err());
}

#[tokio::test]
async fn s46_a_clock_two_hours_behind_still_accepts() {
    let pair = pair();
    pair.clock.set_wall(UnixMillis(NOW.0 - 2 * 3_600_000));
    pair.meet().await.0.unwrap();
    pair.clock.set_wall(UnixMillis(NOW.0 - 2 * 3_600_000 - 2_000));
    assert!(pair.meet().await.0.is_err());
}

#[derive(Debug)]
struct AtNow;

impl rustls::time_provider::TimeProvider for AtNow {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let now = Duration::from_millis(NOW.0);
        Some(rustls::pki_types::UnixTime::since_unix_epoch(now))
    }
}

#[tokio::test]
async fn gf_22_a_client_without_a_certificate_is_refused() {
    let pair = pair();
    let server = pair.object.server(&[ProcessRole::Metadata]).unwrap();
    let anonymous = ClientConfig::builder_with_details(provider(), Arc::new(AtNow))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verify::Verifier {
            roots: Arc::new(pair.cluster.roots()),
            algorithms: provider().signature_verification_algorithms,
            expected: verify::Expected::One(pair.cluster.peer(ProcessRole::Object, OBJECT)),
            tolerance: Arc::default(),
            guests: false,
        }))
        .with_no_client_auth();
    let (near, far) = duplex(64 * 1024);
    let name = ServerName::try_from("x").unwrap();
    let connector = TlsConnector::from(Arc::new(anonymous));
    let (_, answered) = tokio::join!(connector.connect(name, near), answer(&server, far));
    let message = answered.unwrap_err().to_string();
    assert!(message.contains("peer sent no certificates"), "{message}");
}

/// A public server's certificate, for `host`.
fn public(host: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new([host.to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn files<'a>(pair: &'a (String, String)) -> (PemFile<'a>, PemFile<'a>) {
    let file = |name, text: &'a String| PemFile { name, bytes: text.as_bytes() };
    (file("tls.crt", &pair.0), file("tls.key", &pair.1))
}

/// The protocol agreed on by a browser that trusts `certificate` for `host`.
async fn browse(tls: &ServerTls, certificate: &PemFile<'_>, host: &str) -> io::Result<Vec<u8>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.certificates().unwrap().remove(0)).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let (near, far) = duplex(64 * 1024);
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
    let (connected, _accepted) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
    Ok(connected?.get_ref().1.alpn_protocol().unwrap_or_default().to_vec())
}

#[tokio::test]
async fn gv_01_the_public_certificate_is_exchanged_without_a_restart() {
    let (old, new) = (public("old.example"), public("new.example"));
    let ((old_cert, old_key), (new_cert, new_key)) = (files(&old), files(&new));
    let tls = PublicTls::new(&old_cert, &old_key).unwrap();
    let server = tls.server();
    assert_eq!(browse(&server, &old_cert, "old.example").await.unwrap(), b"h2");
    tls.replace(&new_cert, &new_key).unwrap();
    assert_eq!(browse(&server, &new_cert, "new.example").await.unwrap(), b"h2");
    assert!(browse(&server, &old_cert, "old.example").await.is_err());
}

#[tokio::test]
async fn a_bad_public_certificate_is_named_and_the_old_one_stays() {
    let (one, other) = (public("a.example"), public("b.example"));
    let ((cert, key), (_, other_key)) = (files(&one), files(&other));
    let tls = PublicTls::new(&cert, &key).unwrap();
    let error = tls.replace(&cert, &other_key).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "the key in tls.key is not that of the certificate in tls.crt");
    let empty = PemFile { name: "tls.crt", bytes: b"" };
    assert!(tls.replace(&empty, &key).is_err());
    browse(&tls.server(), &cert, "a.example").await.unwrap();
}

#[tokio::test]
async fn bad_input_111_old_versions_and_early_data_are_not_spoken() {
    let pair = public("a.example");
    let (cert, key) = files(&pair);
    let server = PublicTls::new(&cert, &key).unwrap().server();
    assert_eq!(server.config.max_early_data_size, 0);

    // A TLS 1.0 hello: version, random, no session, one cipher suite, no compression,
    // and signature algorithms, so that nothing but the version is wrong.
    let signatures = [0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
    let hello = [&[3, 1][..], &[7; 32], &[0, 0, 2, 0, 0x2f, 1, 0], &signatures].concat();
    let length = u8::try_from(hello.len()).unwrap();
    let record = [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat();
    let (mut near, far) = duplex(64 * 1024);
    near.write_all(&record).await.unwrap();
    assert!(answer(&server, far).await.is_err());
    let mut alert = Vec::new();
    near.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert[5..], [2, 70], "fatal, protocol_version");
}

#[test]
fn credentials_of_two_nodes_do_not_mix() {
    let cluster = Cluster::new(0xc1);
    let (mine, theirs) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let peer = Peer { cluster: ClusterId([0xc1; 16]), role: ProcessRole::Object, node: OBJECT };
    let certificate = cluster.sign(peer, &mine, NOW);
    let certificate = PemFile { name: "node.crt", bytes: certificate.as_bytes() };
    let their_pem = theirs.pem();
    let key = PemFile { name: "node.key", bytes: their_pem.as_bytes() };
    let error = Credentials::load(&certificate, &key).unwrap_err();
    assert!(error.to_string().contains("node.key"), "{error}");
}
