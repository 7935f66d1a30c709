//! An HTTP client that says exactly what a test tells it to.

use std::net::SocketAddr;

use base64::Engine as _;
use gitstratum_core::Token;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::within;

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let split = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let split = split.unwrap_or_else(|| panic!("no head: {}", bytes.escape_ascii()));
        let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = bytes[split + 4..].to_vec();
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { unchunked(&body) } else { body };
        Self { status, head, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk's length");
        let digits = std::str::from_utf8(&rest[..end]).unwrap();
        let length = usize::from_str_radix(digits, 16).unwrap();
        rest = &rest[end + 2..];
        if length == 0 {
            return out;
        }
        out.extend_from_slice(&rest[..length]);
        rest = &rest[length + 2..];
    }
}

/// Sends `bytes` and reads to the end of the connection.
pub async fn send(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    within(async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may close before it has read all: what it said counts.
        drop(stream.write_all(bytes).await);
        let mut heard = Vec::new();
        drop(stream.read_to_end(&mut heard).await);
        heard
    })
    .await
}

/// One request, answered on a connection of its own.
pub async fn request(address: SocketAddr, line: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut bytes = format!("{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n").into_bytes();
    for header in headers {
        bytes.extend_from_slice(format!("{header}\r\n").as_bytes());
    }
    if !body.is_empty() {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    Answer::parse(&send(address, &bytes).await)
}

pub async fn get(address: SocketAddr, target: &str, headers: &[&str]) -> Answer {
    request(address, &format!("GET {target}"), headers, b"").await
}

/// A `POST` to a program of `/OWNER/NAME`.
pub async fn call(
    address: SocketAddr,
    target: &str,
    program: &str,
    headers: &[&str],
    body: &[u8],
) -> Answer {
    let media_type = format!("Content-Type: application/x-{program}-request");
    let mut all = vec![media_type.as_str()];
    all.extend_from_slice(headers);
    request(address, &format!("POST {target}/{program}"), &all, body).await
}

pub fn basic(user: &str, password: &str) -> String {
    let pair = format!("{user}:{password}");
    format!("Authorization: Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

pub fn login(token: &Token) -> String {
    basic("x-token", token.expose())
}

/// `lines` as packets; an empty one is a flush, `|` a delimiter.
pub fn packets(lines: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        match *line {
            "" => out.extend_from_slice(b"0000"),
            "|" => out.extend_from_slice(b"0001"),
            line => {
                out.extend_from_slice(format!("{:04x}{line}", line.len() + 4).as_bytes());
            }
        }
    }
    out
}
