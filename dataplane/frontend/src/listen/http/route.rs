use gitstratum_core::RepoPath;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use http::{Method, Uri};

use crate::commands::{Phase, Program};

/// Longest path that is looked at, in bytes: two names of 100 bytes, fully escaped, and
/// the rest of a route fit.
const PATH_BYTES_MAX: usize = 1_024;

/// A request for one of the three routes, well-formed. Nothing has been looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The repository that is named.
    pub path: RepoPath,
    /// What is to be run.
    pub program: Program,
    /// How much of it this request carries.
    pub phase: Phase,
    /// How the request's body is packed.
    pub coding: Coding,
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Not at all.
    Plain,
    /// As gzip, once.
    Gzip,
}

/// Why a request is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A path that does not decode.
    BadPath,
    /// No route of that name.
    NoRoute,
    /// The route takes another method.
    Method {
        /// The one it takes.
        allow: &'static str,
    },
    /// A client of the dumb protocol, which asks for files.
    Dumb,
    /// A service that is not offered.
    Service,
    /// A body of another type.
    MediaType,
    /// A body packed in a way that is not taken.
    Coding,
}

impl Route {
    /// Reads the request line and the headers that describe the body. The path is taken
    /// apart as sent; its two names are decoded once and must then be a repository path
    /// (bad inputs 104 to 106).
    pub(super) fn parse(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Self, Refusal> {
        let raw = uri.path();
        if raw.len() > PATH_BYTES_MAX {
            return Err(Refusal::NoRoute);
        }
        if let Some(rest) = raw.strip_suffix("/info/refs") {
            let path = repo_path(rest)?;
            check_method(method, &Method::GET, "GET")?;
            let program = service(uri.query())?;
            return Ok(Self { path, program, phase: Phase::Advertise, coding: Coding::Plain });
        }
        let (rest, name) = raw.rsplit_once('/').ok_or(Refusal::NoRoute)?;
        let program = Program::parse(name).ok_or(Refusal::NoRoute)?;
        let path = repo_path(rest)?;
        check_method(method, &Method::POST, "POST")?;
        check_type(headers, program)?;
        Ok(Self { path, program, phase: Phase::Serve, coding: coding(headers)? })
    }
}

/// `/OWNER/NAME`, `/OWNER/NAME.git`, either below `/git`.
fn repo_path(raw: &str) -> Result<RepoPath, Refusal> {
    let raw = raw.strip_prefix('/').ok_or(Refusal::NoRoute)?;
    let raw = raw.strip_prefix("git/").unwrap_or(raw);
    let (owner, name) = raw.split_once('/').ok_or(Refusal::NoRoute)?;
    let (owner, name) = (decoded(owner)?, decoded(name)?);
    let name = name.strip_suffix(".git").unwrap_or(&name);
    RepoPath::parse(&format!("{owner}/{name}")).map_err(|_| Refusal::NoRoute)
}

/// `text` with its escapes resolved, once.
fn decoded(text: &str) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = after.split_at_checked(2).ok_or(Refusal::BadPath)?;
        let byte = gitstratum_core::decode_hex(digits).ok_or(Refusal::BadPath)?;
        bytes.extend_from_slice(&byte);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| Refusal::BadPath)
}

fn check_method(method: &Method, taken: &Method, allow: &'static str) -> Result<(), Refusal> {
    if method == taken { Ok(()) } else { Err(Refusal::Method { allow }) }
}

/// The one `service` that the query names.
fn service(query: Option<&str>) -> Result<Program, Refusal> {
    let pairs = query.unwrap_or_default().split('&');
    let mut named = pairs.filter_map(|pair| pair.strip_prefix("service="));
    let first = named.next().ok_or(Refusal::Dumb)?;
    if named.next().is_some() {
        return Err(Refusal::Service);
    }
    Program::parse(first).ok_or(Refusal::Service)
}

fn check_type(headers: &HeaderMap, program: Program) -> Result<(), Refusal> {
    let expected = format!("application/x-{}-request", program.as_str());
    let given = single(headers, &CONTENT_TYPE);
    let matches = given.is_some_and(|given| given.trim().eq_ignore_ascii_case(&expected));
    if matches { Ok(()) } else { Err(Refusal::MediaType) }
}

fn coding(headers: &HeaderMap) -> Result<Coding, Refusal> {
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(Coding::Plain);
    }
    let given = single(headers, &CONTENT_ENCODING).ok_or(Refusal::Coding)?;
    match given.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Ok(Coding::Gzip),
        "identity" => Ok(Coding::Plain),
        _ => Err(Refusal::Coding),
    }
}

/// The value of a header that is given once, as text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok()).flatten()
}

#[cfg(test)]
mod tests;
