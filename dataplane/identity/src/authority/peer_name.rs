use std::time::Duration;

use gitstratum_core::{ClusterId, NodeId, ProcessRole};
use rustls_pki_types::UnixTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::X509Name;

use super::AuthorityError;
use super::moment::from_date;
use crate::Peer;

const SCHEME: &str = "gitstratum://";

/// The name of a peer in its certificate: `gitstratum://CLUSTER/ROLE/NODE`, ids as
/// people see them.
pub(super) fn peer_uri(peer: Peer) -> String {
    format!("{SCHEME}{}/{}/{}", peer.cluster, peer.role, peer.node)
}

/// The peer that a certificate names. Says nothing about who signed it.
///
/// # Errors
/// `NoNode` when it is no certificate or its alternative names are not exactly one
/// node's.
pub fn parse_peer(certificate_der: &[u8]) -> Result<Peer, AuthorityError> {
    let refused = |rule| AuthorityError::NoNode { rule };
    let parsed = x509_parser::parse_x509_certificate(certificate_der);
    let (_, certificate) = parsed.map_err(|_| refused("not a certificate"))?;
    peer_of(&certificate)
}

/// The last moment at which a certificate holds.
///
/// # Errors
/// `NoNode` when it is no certificate.
pub(crate) fn not_after(certificate_der: &[u8]) -> Result<UnixTime, AuthorityError> {
    let parsed = x509_parser::parse_x509_certificate(certificate_der);
    let (_, certificate) =
        parsed.map_err(|_| AuthorityError::NoNode { rule: "not a certificate" })?;
    let end = from_date(certificate.validity().not_after);
    Ok(UnixTime::since_unix_epoch(Duration::from_millis(end.0)))
}

pub(super) fn peer_of(certificate: &X509Certificate<'_>) -> Result<Peer, AuthorityError> {
    let refused = |rule| AuthorityError::NoNode { rule };
    let names = certificate.subject_alternative_name();
    let names = names.map_err(|_| refused("alternative names are malformed"))?;
    let names = names.ok_or_else(|| refused("no alternative name"))?;
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
        return Err(refused("alternative names are not exactly one address"));
    };
    parse_uri(uri).ok_or_else(|| refused("address is not a node's"))
}

fn parse_uri(uri: &str) -> Option<Peer> {
    let mut parts = uri.strip_prefix(SCHEME)?.split('/');
    let (cluster, role, node) = (parts.next()?, parts.next()?, parts.next()?);
    let peer = Peer {
        cluster: ClusterId::parse(cluster)?,
        role: ProcessRole::ALL.into_iter().find(|candidate| candidate.as_str() == role)?,
        node: NodeId::parse(node)?,
    };
    // One spelling for each peer: no extra parts, no upper case, no sign.
    (peer_uri(peer) == uri).then_some(peer)
}

/// The common name, if there is exactly one.
pub(super) fn single_common_name<'a>(name: &'a X509Name<'_>) -> Option<&'a str> {
    let mut names = name.iter_common_name();
    let only = names.next()?.as_str().ok()?;
    names.next().is_none().then_some(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_a_name_as_it_is() {
        let page = include_str!("../../../../docs/formats/certificate.md");
        let example = page.split("```uri\n").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        let peer = parse_uri(example).unwrap();
        assert_eq!(peer.cluster, ClusterId([0xc1; 16]));
        assert_eq!((peer.role, peer.node), (ProcessRole::Object, NodeId::allocate(1, 7)));
    }

    #[test]
    fn peers_have_one_spelling() {
        let cluster = ClusterId([0xab; 16]);
        for role in ProcessRole::ALL {
            let peer = Peer { cluster, role, node: NodeId(7) };
            assert_eq!(parse_uri(&peer_uri(peer)), Some(peer));
        }
        let good = peer_uri(Peer { cluster, role: ProcessRole::Object, node: NodeId(7) });
        let bad = [
            good.to_uppercase(),
            good.replace("object", "owner"),
            good.replace("object/", ""),
            format!("{good}/x"),
            format!("{good}0"),
            good.replace("0000000000000007", "+000000000000007"),
            good.replace("gitstratum", "https"),
            good.replace("abab", "ABAB"),
        ];
        for uri in bad {
            assert_eq!(parse_uri(&uri), None, "{uri}");
        }
    }
}
