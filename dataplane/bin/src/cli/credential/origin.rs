use std::fmt;

/// A server as Git names it: scheme, host, port. The port of the scheme is left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Origin {
    protocol: &'static str,
    host: String,
}

impl Origin {
    /// The origin of `protocol` and `host[:port]`; none for other protocols than HTTP, which have
    /// no passwords, and for what is no host.
    pub(in super::super) fn new(protocol: &str, host: &str) -> Option<Self> {
        let (protocol, port) = match protocol.to_ascii_lowercase().as_str() {
            "http" => ("http", ":80"),
            "https" => ("https", ":443"),
            _ => return None,
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        let host = host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
        (!host.is_empty() && host.bytes().all(is_host)).then_some(Self { protocol, host })
    }

    /// The origin of a URL, and the user that it names.
    pub(in super::super) fn parse(url: &str) -> Option<(Self, Option<&str>)> {
        let (protocol, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        Self::new(protocol, host).map(|origin| (origin, user.filter(|user| !user.is_empty())))
    }

    pub(in super::super) const fn protocol(&self) -> &'static str {
        self.protocol
    }

    pub(in super::super) fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.protocol, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_server_has_one_name() {
        let parse = |url| Origin::parse(url).map(|(origin, user)| (origin.to_string(), user));
        let plain = Some(("https://git.example.org".to_owned(), None));
        for url in ["https://git.example.org", "HTTPS://GIT.example.org:443/a/b.git?x#y"] {
            assert_eq!(parse(url), plain, "{url}");
        }
        let with_user = Some(("http://127.0.0.1:8080".to_owned(), Some("ada")));
        assert_eq!(parse("http://ada@127.0.0.1:8080/a/b"), with_user);
        assert_eq!(parse("http://@host/"), Some(("http://host".to_owned(), None)));
        for bad in ["ssh://git@host/a/b", "git@host:a/b", "http://", "http://a b/", "", "file:///x"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
