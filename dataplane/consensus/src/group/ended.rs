use std::sync::Arc;

use tokio::sync::watch;

/// Tells, once, that a group has ended. openraft does not: a message that reaches its
/// queue in the moment its task ends is neither answered nor dropped.
#[derive(Clone)]
pub(crate) struct Ended {
    flag: Arc<watch::Sender<bool>>,
}

impl Ended {
    pub(crate) fn new() -> Self {
        Self { flag: Arc::new(watch::Sender::new(false)) }
    }

    /// The group has ended.
    pub(crate) fn set(&self) {
        self.flag.send_replace(true);
    }

    /// The result of `call`; `None` if the group ends before.
    pub(crate) async fn or<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let mut flag = self.flag.subscribe();
        tokio::select! {
            biased;
            done = call => Some(done),
            _ = flag.wait_for(|ended| *ended) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_is_never_answered_ends_with_the_group() {
        let ended = Ended::new();
        assert_eq!(ended.or(std::future::ready(1)).await, Some(1));
        let caller = ended.clone();
        let mut calls = tokio::task::JoinSet::new();
        calls.spawn(async move { caller.or(std::future::pending::<()>()).await });
        tokio::task::yield_now().await;
        ended.set();
        assert_eq!(calls.join_next().await.unwrap().unwrap(), None);
        assert_eq!(ended.or(std::future::ready(1)).await, Some(1), "an answer comes first");
    }
}
