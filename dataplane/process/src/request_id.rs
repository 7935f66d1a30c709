use std::fmt;
use std::future::Future;

use gitstratum_core::{Entropy, ProcessRole};
use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// One request's name in every log line and call that it causes, in all roles:
/// 64 random bits, shown as 16 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// HTTP header and gRPC metadata key that carries it.
    pub const HEADER: &'static str = "x-request-id";

    /// A fresh one.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        Self(u64::from_be_bytes(bytes))
    }

    /// The 16 hex digits, read back. Anything else is no id of ours: make a fresh one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }

    /// Runs `future` as part of this request; [`crate::spawn`] carries the id on.
    pub fn scope<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, future)
    }

    /// The request that the caller is part of.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|id| *id).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The one span of a request, opened by the layer that receives it.
pub fn request_span(id: RequestId, role: ProcessRole, operation: &str) -> tracing::Span {
    tracing::info_span!("request", request_id = %id, role = role.as_str(), operation)
}

#[cfg(test)]
mod tests {
    use gitstratum_core::SeededEntropy;

    use super::*;

    #[test]
    fn ids_are_sixteen_hex_digits_and_read_back() {
        let id = RequestId::random(&*SeededEntropy::new(1));
        assert_eq!(id.to_string().len(), 16);
        assert_eq!(RequestId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn text_from_outside_that_is_no_id_is_not_taken() {
        for text in ["", "ab", "+0000000000000ab", "00000000000000ab0", "0000000000000\nab"] {
            assert_eq!(RequestId::parse(text), None, "{text:?}");
        }
    }

    #[tokio::test]
    async fn the_current_id_is_that_of_the_innermost_scope() {
        let (outer, inner) = (RequestId(1), RequestId(2));
        assert_eq!(RequestId::current(), None);
        outer
            .scope(async {
                assert_eq!(inner.scope(async { RequestId::current() }).await, Some(inner));
                assert_eq!(RequestId::current(), Some(outer));
            })
            .await;
    }
}
