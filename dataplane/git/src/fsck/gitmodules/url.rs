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
        Some(address) => names_host(address) && !decode(address).contains(&b'\n'),
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

/// Whether a host can be told, so that credentials go to no other.
fn names_host(address: &[u8]) -> bool {
    let Some((_, rest)) = address.split_once_str("://") else {
        return false;
    };
    let end = rest.find_byteset(b"/?#").unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = authority.find_byte(b'@').map_or(authority, |at| &authority[at + 1..]);
    !host.is_empty()
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
