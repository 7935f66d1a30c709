use gitstratum_core::{ErrorKind, NodeId, ProcessRole, SeededEntropy};

use super::*;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const CLUSTER: ClusterId = ClusterId([0xc1; 16]);

fn entropy() -> std::sync::Arc<SeededEntropy> {
    SeededEntropy::new(1)
}

fn authority(cluster: ClusterId) -> Authority {
    Authority::create(cluster, NOW, &*entropy()).unwrap()
}

fn peer() -> Peer {
    Peer { cluster: CLUSTER, role: ProcessRole::Object, node: NodeId(7) }
}

fn file<'a>(name: &'a str, text: &'a str) -> PemFile<'a> {
    PemFile { name, bytes: text.as_bytes() }
}

fn load(certificate: &str, key: &str) -> Result<Authority, AuthorityError> {
    Authority::load(CLUSTER, &file("DIR/ca.crt", certificate), &file("DIR/ca.key", key))
}

fn refusal(result: Result<impl Sized, AuthorityError>) -> (ErrorKind, String) {
    let error = result.err().expect("because the test plants a fault");
    (error.kind(), error.to_string())
}

#[test]
fn s46_a_node_certificate_names_its_peer_for_seven_days() {
    let authority = authority(CLUSTER);
    let key = NodeKey::generate().unwrap();
    let request = key.signing_request().unwrap();
    let certificate = authority.sign(peer(), &request, NOW, &*entropy()).unwrap();
    let credentials =
        Credentials::load(&file("node.crt", &certificate), &file("node.key", &key.pem())).unwrap();
    assert_eq!(credentials.peer(), peer());
    assert_eq!(credentials.not_after().0, NOW.0 + 7 * DAY_MILLIS);
    assert_eq!(credentials.renew_at().0, NOW.0 + 7 * DAY_MILLIS / 3 * 2);
}

#[test]
fn s46_certificates_of_seconds_renew_at_two_thirds_too() {
    let authority = authority(CLUSTER).with_lifetime(Duration::from_secs(9));
    let key = NodeKey::generate().unwrap();
    let request = key.signing_request().unwrap();
    let certificate = authority.sign(peer(), &request, NOW, &*entropy()).unwrap();
    let credentials =
        Credentials::load(&file("node.crt", &certificate), &file("node.key", &key.pem())).unwrap();
    assert_eq!(credentials.not_after().0, NOW.0 + 9_000);
    assert_eq!(credentials.renew_at().0, NOW.0 + 6_000);
}

#[test]
fn an_authority_signs_the_same_after_a_restart() {
    let before = authority(CLUSTER);
    let after = load(before.certificate_pem(), &before.key_pem()).unwrap();
    assert_eq!(after.certificate_pem(), before.certificate_pem());
    let request = NodeKey::generate().unwrap().signing_request().unwrap();
    assert!(after.sign(peer(), &request, NOW, &*entropy()).is_ok());
}

#[test]
fn a_lost_file_is_named() {
    let whole = authority(CLUSTER);
    let lost_key = load(whole.certificate_pem(), "");
    assert_eq!(refusal(lost_key), corrupt("DIR/ca.key holds no private key"));
    let lost_certificate = load("", &whole.key_pem());
    assert_eq!(refusal(lost_certificate), corrupt("DIR/ca.crt holds no certificate"));
    let exchanged = load(&whole.key_pem(), whole.certificate_pem());
    assert_eq!(refusal(exchanged), corrupt("DIR/ca.crt holds no certificate"));
}

fn corrupt(message: &str) -> (ErrorKind, String) {
    (ErrorKind::Corrupt, message.to_owned())
}

#[test]
fn a_swapped_file_is_named() {
    let (whole, other) = (authority(CLUSTER), authority(CLUSTER));
    let text = "the key in DIR/ca.key is not that of the certificate in DIR/ca.crt";
    assert_eq!(refusal(load(whole.certificate_pem(), &other.key_pem())), corrupt(text));

    let foreign = authority(ClusterId([0xc2; 16]));
    let (_, message) = refusal(load(foreign.certificate_pem(), &foreign.key_pem()));
    assert!(message.starts_with("DIR/ca.crt is of cluster c2c2"), "{message}");
}

#[test]
fn a_damaged_file_is_named() {
    let whole = authority(CLUSTER);
    let (certificate, key) = (whole.certificate_pem(), whole.key_pem());
    for position in (30..key.len() - 30).step_by(7) {
        let damaged = flip(&key, position);
        let (kind, message) = refusal(load(certificate, &damaged));
        assert_eq!(kind, ErrorKind::Corrupt);
        assert!(message.contains("DIR/ca.key"), "at {position}: {message}");
    }
    let cut = &certificate[..certificate.len() / 2];
    assert!(refusal(load(cut, &key)).1.contains("DIR/ca.crt"));
    assert!(refusal(load(&flip(certificate, 40), &key)).1.contains("DIR/ca.crt"));
}

/// Another letter at `position`.
fn flip(text: &str, position: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_node_certificate_is_no_authority() {
    let whole = authority(CLUSTER);
    let key = NodeKey::generate().unwrap();
    let request = key.signing_request().unwrap();
    let certificate = whole.sign(peer(), &request, NOW, &*entropy()).unwrap();
    let (_, message) = refusal(load(&certificate, &key.pem()));
    assert!(message.starts_with("DIR/ca.crt is of cluster"), "{message}");
}

#[test]
fn a_request_that_does_not_prove_its_key_is_refused() {
    let authority = authority(CLUSTER);
    let mut request = NodeKey::generate().unwrap().signing_request().unwrap();
    *request.last_mut().unwrap() ^= 1;
    let signed = authority.sign(peer(), &request, NOW, &*entropy());
    assert_eq!(refusal(signed).0, ErrorKind::Invalid);
    let nothing = authority.sign(peer(), b"", NOW, &*entropy());
    assert_eq!(refusal(nothing).0, ErrorKind::Invalid);
}

#[test]
fn a_peer_of_another_cluster_gets_nothing() {
    let request = NodeKey::generate().unwrap().signing_request().unwrap();
    let stranger = Peer { cluster: ClusterId([1; 16]), ..peer() };
    let signed = authority(CLUSTER).sign(stranger, &request, NOW, &*entropy());
    assert_eq!(refusal(signed).0, ErrorKind::Denied);
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let authority = authority(CLUSTER);
    let key = NodeKey::generate().unwrap();
    let pem = key.pem();
    let shown = format!("{authority:?} {key:?} {:?}", file("node.key", &pem));
    assert!(!shown.contains("PRIVATE") && !shown.contains(&pem[40..60]), "{shown}");
}
