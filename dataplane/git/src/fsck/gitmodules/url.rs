//! Addresses of submodules that some client could misread.

use bstr::ByteSlice as _;

/// Schemes of which a client's credentials could be tricked.
const WEB_SCHEMES: [&[u8]; 4] = [b"http", b"https", b"ftp", b"ftps"];

/// Whether a submodule's address only names a place: it is no option, does not
/// climb out of the address that it is relative to, and no line feed appears in
/// it, however often it is decoded.
pub(super) fn is_safe(url: &[u8]) -> bool {
    if url.starts_with(b"-") {
        return false;
    }
    if is_relative(url) || url.starts_with(b"git://") {
        return !decode(url).contains(&b'\n') && !replaces_host(url);
    }
    match as_web_address(url) {
        Some(address) => is_well_formed(address) && !decode(address).contains(&b'\n'),
        None => true,
    }
}

fn is_relative(url: &[u8]) -> bool {
    matches!(url, [b'.', b'/' | b'\\', ..] | [b'.', b'.', b'/' | b'\\', ..])
}

/// Whether, after steps up, it goes on with what would become a host.
fn replaces_host(url: &[u8]) -> bool {
    let mut rest = url;
    let mut steps_up = 0;
    loop {
        match rest {
            [b'.', b'.', b'/' | b'\\', next @ ..] => {
                steps_up += 1;
                rest = next;
            }
            [b'.', b'/' | b'\\', next @ ..] => rest = next,
            _ => return steps_up > 0 && matches!(rest.first(), Some(b':' | b'/' | b'\\')),
        }
    }
}

/// The address that git would give to curl: it has a web scheme, or names one
/// as its transport (`http::ADDRESS`).
fn as_web_address(url: &[u8]) -> Option<&[u8]> {
    WEB_SCHEMES.iter().find_map(|scheme| {
        let rest = url.strip_prefix(*scheme)?;
        match rest.strip_prefix(b"::") {
            Some(address) => Some(address),
            None => rest.starts_with(b"://").then_some(url),
        }
    })
}

/// Whether it has a scheme, a host of host letters, a port that can be one, and
/// only whole escapes, and its path does not climb above its root.
fn is_well_formed(address: &[u8]) -> bool {
    let Some((scheme, rest)) = address.split_once_str("://") else {
        return false;
    };
    let end = rest.find_byteset(b"/?#").unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = match authority.split_once_str("@") {
        Some((user, host)) if has_whole_escapes(user) => host,
        Some(_) => return false,
        None => authority,
    };
    is_scheme(scheme) && is_host(host) && has_whole_escapes(path) && stays_below_root(path)
}

fn is_scheme(scheme: &[u8]) -> bool {
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(byte))
}

fn is_host(host: &[u8]) -> bool {
    let after_bracket = host.rfind_byte(b']').map_or(0, |at| at + 1);
    let (name, port) = match host[after_bracket..].rfind_byte(b':') {
        Some(colon) => (&host[..after_bracket + colon], Some(&host[after_bracket + colon + 1..])),
        None => (host, None),
    };
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_[:]".contains(byte))
        && port.is_none_or(is_port)
}

/// An empty port is the scheme's own.
fn is_port(port: &[u8]) -> bool {
    port.is_empty()
        || std::str::from_utf8(port)
            .is_ok_and(|text| text.parse::<u16>().is_ok_and(|number| number != 0))
}

fn has_whole_escapes(text: &[u8]) -> bool {
    text.find_iter("%").all(|at| {
        text.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The path up to the query never has more steps up than down.
fn stays_below_root(path: &[u8]) -> bool {
    let end = path.find_byteset(b"?#").unwrap_or(path.len());
    let mut depth = 0_usize;
    for segment in path[..end].split(|byte| *byte == b'/').skip(1) {
        match segment {
            b".." if depth == 0 => return false,
            b".." => depth -= 1,
            b"." => {}
            _ => depth += 1,
        }
    }
    true
}

/// Escapes decoded; broken ones stay as they are.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, next)) = rest.split_first() {
        let escaped = (*byte == b'%').then(|| next.get(..2)).flatten();
        match escaped.and_then(gitstratum_core::decode_hex) {
            Some(decoded) => {
                out.extend(decoded);
                rest = &next[2..];
            }
            None => {
                out.push(*byte);
                rest = next;
            }
        }
    }
    out
}
