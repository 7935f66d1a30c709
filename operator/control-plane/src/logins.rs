use std::net::IpAddr;
use std::time::Duration;

use gitstratum_core::{ErrorKind, NodeId, UnixMillis};
use gitstratum_process::RequestId;
use gitstratum_proto::control::v1::{FailedLogin, LogAuditRequest};
use gitstratum_state::command::{Change, Origin, RecordRefusal};
use gitstratum_state::record::TokenId;

use crate::error::Error;
use crate::plane::{Line, Plane};

/// Logins that one call may tell of.
const LOGINS_MAX: usize = 64;
/// Longest fingerprint of a key, in bytes: `SHA256:` and 43 characters are usual.
const FINGERPRINT_BYTES_MAX: usize = 64;
/// From when on a line says how much later than the login it is.
const LATE: Duration = Duration::from_secs(2);

/// Writes the lines of logins that the frontend of `node` refused.
///
/// # Errors
/// When it is no such request, or a line could not be made durable: those before it are.
pub(crate) async fn record(
    plane: &Plane,
    node: NodeId,
    request: LogAuditRequest,
) -> Result<(), Error> {
    if request.failed_logins.len() > LOGINS_MAX {
        return Err(Error::FailedLogin("there are more than 64"));
    }
    let now = plane.clock.wall();
    let lines = request.failed_logins.iter().map(|login| line(login, now));
    for Line { origin, refusal } in lines.collect::<Result<Vec<_>, _>>()? {
        plane.propose(origin, Change::RecordRefusal(refusal)).await?;
    }
    if request.lost > 0 {
        plane.metrics.audit_lost.add(request.lost);
        tracing::warn!(%node, lost = request.lost, "audit lines of failed logins were lost");
    }
    Ok(())
}

fn line(login: &FailedLogin, now: UnixMillis) -> Result<Line, Error> {
    let FailedLogin { transport, client_addr, request_id, wall_millis, suppressed, .. } = login;
    if !["http", "ssh"].contains(&transport.as_str()) {
        return Err(Error::FailedLogin("its transport is neither http nor ssh"));
    }
    if client_addr.parse::<IpAddr>().is_err() {
        return Err(Error::FailedLogin("its client_addr is no address"));
    }
    if RequestId::parse(request_id).is_none() {
        return Err(Error::FailedLogin("its request_id is none"));
    }
    let subject = format!("{transport} {}", shown(login)?).trim_end().to_owned();
    let mut reason = format!("{}: credentials are not good", ErrorKind::Denied);
    let age = Duration::from_millis(now.0.saturating_sub(*wall_millis));
    if age >= LATE {
        reason.push_str(&format!(" ({} s before this line)", age.as_secs()));
    }
    let action = "login.refused".to_owned();
    let mut origin = Origin::person(&[0; 32], request_id, client_addr);
    origin.credential = login.token_hash.to_vec();
    Ok(Line { origin, refusal: RecordRefusal { action, subject, reason, suppressed: *suppressed } })
}

/// What was shown, as people name it.
fn shown(login: &FailedLogin) -> Result<String, Error> {
    let FailedLogin { token_hash, key_fingerprint, .. } = login;
    let is_plain = key_fingerprint.bytes().all(|byte| byte.is_ascii_graphic());
    if key_fingerprint.len() > FINGERPRINT_BYTES_MAX || !is_plain {
        return Err(Error::FailedLogin("its key_fingerprint is too long or no plain text"));
    }
    if token_hash.is_empty() {
        return Ok(key_fingerprint.clone());
    }
    let hash = token_hash.as_ref().try_into();
    let hash = hash.map_err(|_| Error::FailedLogin("its token_hash has not 32 bytes"))?;
    Ok(TokenId::of(hash).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(100_000);

    fn login() -> FailedLogin {
        FailedLogin {
            transport: "ssh".to_owned(),
            client_addr: "2001:db8::1".to_owned(),
            request_id: "00000000000000ab".to_owned(),
            key_fingerprint: "SHA256:abc".to_owned(),
            wall_millis: NOW.0,
            ..FailedLogin::default()
        }
    }

    #[test]
    fn gs_cp_14_a_line_says_from_where_how_and_with_what() {
        let Line { origin, refusal } = line(&login(), NOW).unwrap();
        let shown = (origin.client_addr.as_str(), refusal.subject.as_str());
        assert_eq!(shown, ("2001:db8::1", "ssh SHA256:abc"));
        assert_eq!(refusal.reason, "denied: credentials are not good");
        let late = line(&FailedLogin { wall_millis: 39_000, ..login() }, NOW).unwrap();
        assert!(late.refusal.reason.ends_with("(61 s before this line)"));
        let nonsense =
            line(&FailedLogin { key_fingerprint: String::new(), ..login() }, NOW).unwrap();
        assert_eq!(nonsense.refusal.subject, "ssh");
        let token = FailedLogin { token_hash: vec![7; 32].into(), ..login() };
        let token = line(&token, NOW).unwrap();
        assert_eq!(token.refusal.subject, format!("ssh {}", TokenId::of(&[7; 32])));
        assert_eq!(token.origin.credential, [7; 32]);
    }

    #[test]
    fn what_no_frontend_says_is_refused_by_field() {
        let wrong = [
            ("transport", FailedLogin { transport: "ftp".to_owned(), ..login() }),
            ("client_addr", FailedLogin { client_addr: "here".to_owned(), ..login() }),
            ("request_id", FailedLogin { request_id: "\n".to_owned(), ..login() }),
            ("key_fingerprint", FailedLogin { key_fingerprint: "a b".to_owned(), ..login() }),
            ("key_fingerprint", FailedLogin { key_fingerprint: "x".repeat(65), ..login() }),
            ("token_hash", FailedLogin { token_hash: vec![7; 31].into(), ..login() }),
        ];
        for (field, login) in wrong {
            let error = line(&login, NOW).expect_err("because it is wrong").to_string();
            assert!(error.contains(field), "{field}: {error}");
        }
    }
}
