use std::time::Duration;

/// Silence from which on there is no news: three reports of a second went unanswered.
const NO_NEWS_AFTER: Duration = Duration::from_secs(3);
/// How long the others have to renew their certificates once there is news again.
const RETURN_WITHIN: Duration = Duration::from_secs(60);

/// Decides how long ago a peer's certificate may have run out (S46): no time while there is
/// news, for who may renew has; `offlineGrace` without, and a moment beyond.
#[derive(Debug, Default)]
pub(super) struct Leniency {
    is_silent: bool,
    /// When there was news again (monotonic).
    returned: Option<Duration>,
}

impl Leniency {
    pub(super) fn judge(&mut self, silent: Duration, grace: Duration, now: Duration) -> Duration {
        let was_silent = std::mem::replace(&mut self.is_silent, silent >= NO_NEWS_AFTER);
        if was_silent && !self.is_silent {
            self.returned = Some(now);
        }
        let is_returning = self.returned.is_some_and(|at| now.saturating_sub(at) < RETURN_WITHIN);
        if self.is_silent || is_returning { grace } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(3_600);

    #[test]
    fn s46_only_without_news_and_a_moment_after_are_old_certificates_believed() {
        let mut leniency = Leniency::default();
        let mut judge = |silent, now| {
            leniency.judge(Duration::from_secs(silent), GRACE, Duration::from_secs(now))
        };
        assert_eq!(judge(1, 10), Duration::ZERO);
        assert_eq!(judge(2, 11), Duration::ZERO, "one report was late");
        assert_eq!(judge(3, 12), GRACE);
        assert_eq!(judge(5_000, 5_009), GRACE, "what ran out longer ago is refused by its age");
        assert_eq!(judge(0, 5_010), GRACE, "the others have yet to renew");
        assert_eq!(judge(0, 5_069), GRACE);
        assert_eq!(judge(1, 5_070), Duration::ZERO);
        assert_eq!(judge(1, 9_000), Duration::ZERO);
    }
}
