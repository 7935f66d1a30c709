use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gitstratum_client::audit::Shown;
use gitstratum_core::Token;
use http::header::{AUTHORIZATION, HeaderMap};

/// Longest `Authorization` value that is looked at, in bytes.
const VALUE_BYTES_MAX: usize = 8 * 1024;

/// What a request shows to prove who sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    /// Nothing.
    Nothing,
    /// An access token. Whether it is known is found out later.
    Token(Token),
    /// Something that cannot be a token of ours.
    Nonsense,
}

impl Presented {
    /// From the headers: Basic with any user name and the token as password, or Bearer.
    /// More than one value is nonsense: two readers could choose differently.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Self::Nothing };
        if values.next().is_some() || value.len() > VALUE_BYTES_MAX {
            return Self::Nonsense;
        }
        let token = value.to_str().ok().and_then(secret).and_then(|text| Token::parse(&text).ok());
        token.map_or(Self::Nonsense, Self::Token)
    }

    /// The same for the audit log, without the secret.
    pub(crate) fn shown(&self) -> Shown {
        match self {
            Self::Token(token) => Shown::Token(token.hash()),
            Self::Nothing | Self::Nonsense => Shown::Nonsense,
        }
    }
}

fn secret(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (_any_name, password) = pair.split_once(':')?;
    Some(password.to_owned())
}

#[cfg(test)]
mod tests {
    use gitstratum_core::SeededEntropy;

    use super::*;

    fn presented(values: &[&str]) -> Presented {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        Presented::of(&headers)
    }

    fn token() -> Token {
        Token::generate(&*SeededEntropy::new(1))
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn p_s4_basic_and_bearer_carry_the_same_token() {
        let shown = Presented::Token(token());
        let text = token().expose().to_owned();
        assert_eq!(presented(&[&format!("Bearer {text}")]), shown);
        assert_eq!(presented(&[&format!("bearer  {text} ")]), shown);
        assert_eq!(presented(&[&basic(&format!("x-token:{text}"))]), shown);
        assert_eq!(presented(&[&basic(&format!("ann:{text}"))]), shown);
        assert_eq!(presented(&[&basic(&format!(":{text}"))]), shown);
        assert_eq!(presented(&[]), Presented::Nothing);
    }

    #[test]
    fn bad_input_123_what_is_no_token_of_ours_is_nonsense() {
        let text = token().expose().to_owned();
        for value in [
            "Bearer eyJhbGciOiJub25lIn0.e30.",
            "Bearer",
            "Bearer ",
            "Digest username=ann",
            "Basic %%%",
            &basic(&text),
            &basic(&format!("ann:{text}x")),
            &format!("Bearer {}", "x".repeat(VALUE_BYTES_MAX)),
        ] {
            assert_eq!(presented(&[value]), Presented::Nonsense, "{value}");
        }
        let good = format!("Bearer {text}");
        assert_eq!(presented(&[&good, &good]), Presented::Nonsense);
    }

    #[test]
    fn p_s5_a_presented_token_is_not_shown_by_debug() {
        let shown = format!("{:?}", Presented::Token(token()));
        assert!(!shown.contains(&token().expose()[8..]), "{shown}");
    }
}
