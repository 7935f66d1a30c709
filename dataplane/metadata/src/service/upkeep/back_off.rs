use std::collections::BTreeMap;
use std::time::Duration;

/// How long what failed is left alone, and at most, when it fails again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

/// Most keys remembered. Beyond them all are forgotten, and what still fails is noted again.
const KEYS_MAX: usize = 65_536;

/// Who failed lately and is left alone for a while, longer each time.
#[derive(Debug)]
pub(super) struct BackOff<K> {
    pauses: Pauses,
    failing: BTreeMap<K, (Duration, Duration)>,
}

impl<K: Ord> BackOff<K> {
    pub(super) const fn new(pauses: Pauses) -> Self {
        Self { pauses, failing: BTreeMap::new() }
    }

    /// `key` failed at `now`.
    pub(super) fn failed(&mut self, key: K, now: Duration) {
        if self.failing.len() >= KEYS_MAX {
            self.failing.clear();
        }
        let pause = match self.failing.get(&key) {
            // What was under way when it failed is the same failure.
            Some((_, until)) if *until > now => return,
            Some((pause, _)) => (*pause * 2).min(self.pauses.longest),
            None => self.pauses.first,
        };
        self.failing.insert(key, (pause, now + pause));
    }

    /// `key` went well.
    pub(super) fn worked(&mut self, key: &K) {
        self.failing.remove(key);
    }

    /// Whether `key` is left alone at `now`.
    pub(super) fn is_out(&self, key: &K, now: Duration) -> bool {
        self.failing.get(key).is_some_and(|(_, until)| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_is_left_alone_for_longer() {
        let second = Duration::from_secs(1);
        let mut back_off = BackOff::new(Pauses { first: second, longest: second * 3 });
        assert!(!back_off.is_out(&7, Duration::ZERO));
        back_off.failed(7, Duration::ZERO);
        back_off.failed(7, Duration::ZERO);
        assert!(back_off.is_out(&7, second / 2) && !back_off.is_out(&7, second));
        back_off.failed(7, second);
        assert!(back_off.is_out(&7, second * 2) && !back_off.is_out(&7, second * 3));
        back_off.failed(7, second * 3);
        assert!(!back_off.is_out(&7, second * 6), "never for longer than the longest");
        back_off.worked(&7);
        back_off.failed(7, second * 6);
        assert!(!back_off.is_out(&7, second * 7), "it begins anew");
    }
}
