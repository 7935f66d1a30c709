use gitstratum_core::Token;

use super::{ANY_USER, Entry, Origin};

/// What Git asks: lines of `KEY=VALUE` up to an empty one. Keys that are not known are passed
/// over, as Git wants.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Request {
    protocol: String,
    host: String,
    username: String,
    password: String,
}

impl Request {
    /// The request in `bytes`. Lines that are no UTF-8 are passed over like unknown keys.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut request = Self::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            let pair = std::str::from_utf8(line).ok().and_then(|line| line.split_once('='));
            if let Some((key, value)) = pair {
                request.set(key, value);
            }
        }
        request
    }

    fn set(&mut self, key: &str, value: &str) {
        let field = match key {
            "protocol" => &mut self.protocol,
            "host" => &mut self.host,
            "username" => &mut self.username,
            "password" => &mut self.password,
            _ => return,
        };
        value.clone_into(field);
    }

    /// Which server it is about, if it is one of ours at all.
    pub(super) fn origin(&self) -> Option<Origin> {
        Origin::new(&self.protocol, &self.host)
    }

    /// The password that Git names.
    pub(super) fn password(&self) -> Option<&str> {
        Some(self.password.as_str()).filter(|password| !password.is_empty())
    }

    /// What Git wants kept, if it is a token.
    pub(super) fn entry(&self) -> Option<Entry> {
        Token::parse(&self.password).ok()?;
        let username = if self.username.is_empty() { ANY_USER } else { &self.username };
        Some(Entry { username: username.to_owned(), token: self.password.clone() })
    }

    /// `entry` as an answer, unless another user was asked for.
    pub(super) fn answer(&self, entry: &Entry) -> Option<Answer> {
        let is_any = |name: &str| name.is_empty() || name == ANY_USER;
        let is_asked =
            is_any(&self.username) || is_any(&entry.username) || self.username == entry.username;
        let is_safe = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        let username = if self.username.is_empty() { &entry.username } else { &self.username };
        (is_asked && is_safe(username) && is_safe(&entry.token))
            .then(|| Answer { username: username.clone(), password: entry.token.clone() })
    }
}

/// What Git is told.
#[derive(Clone, PartialEq, Eq)]
pub(in super::super) struct Answer {
    username: String,
    password: String,
}

impl Answer {
    /// The lines for Git.
    pub(super) fn text(&self) -> String {
        format!("username={}\npassword={}\n", self.username, self.password)
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_core::SeededEntropy;

    use super::*;

    fn entry(username: &str) -> Entry {
        Entry { username: username.to_owned(), token: "gst_x".to_owned() }
    }

    fn answer(request: &str, username: &str) -> Option<String> {
        Request::parse(request.as_bytes()).answer(&entry(username)).map(|answer| answer.text())
    }

    #[test]
    fn requests_are_lines_up_to_an_empty_one() {
        let text = b"protocol=https\nhost=h:1\ncapability[]=authtype\nno pair\n\xff=x\nusername=a=b\n\npassword=p\n";
        let request = Request::parse(text);
        assert_eq!(request.origin().unwrap().to_string(), "https://h:1");
        assert_eq!(request.username, "a=b");
        assert_eq!(request.password(), None);
        assert!(Request::parse(b"protocol=ssh\nhost=h\n").origin().is_none());
        assert!(Request::parse(b"\n").origin().is_none());
    }

    #[test]
    fn another_user_is_not_answered_for() {
        let ada = "username=ada\npassword=gst_x\n";
        assert_eq!(answer("", "ada").as_deref(), Some(ada));
        assert_eq!(answer("username=ada\n", "ada").as_deref(), Some(ada));
        assert_eq!(answer("username=ada\n", ANY_USER).as_deref(), Some(ada));
        assert_eq!(answer("username=eve\n", "ada"), None);
    }

    #[test]
    fn an_answer_cannot_smuggle_lines() {
        let mut entry = entry("ada");
        entry.token = "gst_x\nhost=elsewhere".to_owned();
        assert!(Request::default().answer(&entry).is_none());
    }

    #[test]
    fn only_tokens_of_ours_are_kept() {
        let token = Token::generate(&*SeededEntropy::new(1));
        let keep = |password: &str| {
            Request::parse(format!("username=ada\npassword={password}\n").as_bytes()).entry()
        };
        assert_eq!(keep(token.expose()).map(|entry| entry.username).as_deref(), Some("ada"));
        assert!(keep("hunter2").is_none());
        assert!(keep("").is_none());
    }
}
