//! Git over HTTP/1.1, byte by byte.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Door, End, Heard, Program, Said, Wire};

/// How long an answer may take before the client gives up.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a request shows to prove who sends it.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Nothing.
    Nothing,
    /// A user's name and a token as password.
    Basic(String, String),
    /// A token.
    Bearer(String),
}

/// An answer, taken apart.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, without its chunks.
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub complete: bool,
    /// How long it took.
    pub took: Duration,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Takes apart what was heard.
    ///
    /// # Errors
    /// When it is no answer of HTTP/1.
    pub fn parse(heard: &Heard) -> Result<Self> {
        let bytes = &heard.bytes;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let end = end.with_context(|| format!("no http answer: {:?}", shown()))?;
        let head = std::str::from_utf8(&bytes[..end]).context("a head that is no text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|code| code.parse().ok()).context("no status")?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let answer = Self { status, headers, body: Vec::new(), complete: false, took: heard.took };
        Ok(answer.with_body(&bytes[end + 4..], heard.end))
    }

    fn with_body(mut self, rest: &[u8], end: End) -> Self {
        let length = self.header("content-length").and_then(|length| length.parse::<usize>().ok());
        if self.header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            (self.body, self.complete) = unchunked(rest);
        } else if let Some(length) = length {
            self.complete = rest.len() >= length;
            self.body = rest[..rest.len().min(length)].to_vec();
        } else {
            (self.body, self.complete) = (rest.to_vec(), end == End::Closed);
        }
        self
    }
}

/// The bytes in chunks, and whether the last one came.
fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&rest[..line]).ok();
        let Some(size) = size.and_then(|size| usize::from_str_radix(size, 16).ok()) else {
            return (body, false);
        };
        if size == 0 {
            return (body, true);
        }
        let chunk = &rest[line + 2..];
        if chunk.len() < size + 2 {
            body.extend_from_slice(&chunk[..chunk.len().min(size)]);
            return (body, false);
        }
        body.extend_from_slice(&chunk[..size]);
        rest = &chunk[size + 2..];
    }
}

/// A client of one repository.
#[derive(Clone, Debug)]
pub struct Http {
    address: String,
    repository: String,
    credentials: Credentials,
    protocol: Option<String>,
    headers: Vec<(String, String)>,
    patience: Duration,
}

impl Http {
    /// A client of `OWNER/NAME` at `http://HOST:PORT`, without credentials, that asks for
    /// protocol v2.
    pub fn new(url: &str, repository: &str) -> Self {
        Self {
            address: url.trim_start_matches("http://").to_owned(),
            repository: repository.to_owned(),
            credentials: Credentials::Nothing,
            protocol: Some("version=2".to_owned()),
            headers: Vec::new(),
            patience: PATIENCE,
        }
    }

    /// The same with credentials.
    #[must_use]
    pub fn with(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with this value of `Git-Protocol`, or none.
    #[must_use]
    pub fn protocol(mut self, value: Option<&str>) -> Self {
        self.protocol = value.map(str::to_owned);
        self
    }

    /// The same, waiting no longer than this for an answer.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `GET …/info/refs?service=…`.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn advertise(&self, program: Program) -> Result<Answer> {
        let target = format!("/{}.git/info/refs?service={}", self.repository, program.as_str());
        self.request("GET", &target, &[], b"")
    }

    /// `POST …/git-upload-pack` or `…/git-receive-pack`.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn post(&self, program: Program, body: &[u8]) -> Result<Answer> {
        let (target, media_type) = self.rpc(program);
        self.request("POST", &target, &[("Content-Type", &media_type)], body)
    }

    /// The target and the content type of a `POST`.
    pub fn rpc(&self, program: Program) -> (String, String) {
        let name = program.as_str();
        (format!("/{}.git/{name}", self.repository), format!("application/x-{name}-request"))
    }

    /// Any request; `headers` come behind those of the client.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        let mut bytes = self.head(method, target, headers, body.len()).into_bytes();
        bytes.extend_from_slice(body);
        let heard = Wire::open(&self.address)?.talk(&bytes, self.patience)?;
        ensure!(!heard.bytes.is_empty(), "no answer to {method} {target} in {:?}", heard.took);
        Answer::parse(&heard)
    }

    /// The head of a request, for those who send its body in their own way.
    pub fn head(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body_bytes: usize,
    ) -> String {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.address);
        let mut put = |name: &str, value: &str| head.push_str(&format!("{name}: {value}\r\n"));
        put("Connection", "close");
        if method != "GET" {
            put("Content-Length", &body_bytes.to_string());
        }
        if let Some(value) = self.authorization() {
            put("Authorization", &value);
        }
        if let Some(protocol) = &self.protocol {
            put("Git-Protocol", protocol);
        }
        self.headers.iter().for_each(|(name, value)| put(name, value));
        headers.iter().for_each(|(name, value)| put(name, value));
        head.push_str("\r\n");
        head
    }

    fn authorization(&self) -> Option<String> {
        match &self.credentials {
            Credentials::Nothing => None,
            Credentials::Basic(user, token) => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{token}"))))
            }
            Credentials::Bearer(token) => Some(format!("Bearer {token}")),
        }
    }
}

impl Door for Http {
    fn ask(&self, program: Program, body: &[u8]) -> Result<Said> {
        let answer = self.post(program, body)?;
        let (status, took) = (Some(answer.status), answer.took);
        Ok(Said { status, took, out: answer.body, ..Said::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> Heard {
        Heard { bytes: text.as_bytes().to_vec(), end: End::Closed, took: Duration::ZERO }
    }

    #[test]
    fn answers_of_every_framing_are_taken_apart() {
        let plain = Answer::parse(&heard("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nab"));
        let plain = plain.unwrap();
        assert_eq!((plain.status, &plain.body[..], plain.complete), (404, &b"ab"[..], true));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n";
        let cut = Answer::parse(&heard(chunked)).unwrap();
        assert_eq!((&cut.body[..], cut.complete), (&b"abc"[..], false));
        let whole = Answer::parse(&heard(&format!("{chunked}0\r\n\r\n"))).unwrap();
        assert_eq!((&whole.body[..], whole.complete), (&b"abc"[..], true));
        assert!(Answer::parse(&heard("SSH-2.0-x\r\n")).is_err());
    }
}
