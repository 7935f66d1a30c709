use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

/// Lines that one source gets in a second; what is above is counted (S41).
const LINES_PER_SECOND: u32 = 10;
/// Sources told apart; those above share one count.
const SOURCES_MAX: usize = 1_000;
/// Over how long lines are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// The source of those that no longer have one of their own.
const OTHERS: &str = "others";

/// Decides which refusals get an audit line of their own, so that whoever knocks a
/// thousand times a second does not fill the log.
#[derive(Debug)]
pub struct Shares<L> {
    sources: Mutex<BTreeMap<String, Source<L>>>,
}

/// A line that is to be written, and how many like it before are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted<L> {
    /// The line.
    pub line: L,
    /// Refusals of the same source since its last line that have none of their own.
    pub suppressed: u64,
}

/// Somebody who was refused lately.
#[derive(Debug)]
struct Source<L> {
    since: Duration,
    lines: u32,
    /// Refusals without a line.
    suppressed: u64,
    /// The last of them.
    last: Option<L>,
}

impl<L> Default for Shares<L> {
    fn default() -> Self {
        Self { sources: Mutex::default() }
    }
}

impl<L> Shares<L> {
    /// The line to write now for a refusal of `source`, if it gets one.
    pub fn admit(&self, source: &str, line: L, now: Duration) -> Option<Granted<L>> {
        let mut sources = self.sources.lock();
        let is_new = !sources.contains_key(source);
        let name = if is_new && sources.len() >= SOURCES_MAX { OTHERS } else { source };
        let entry = sources.entry(name.to_owned()).or_insert_with(|| Source {
            since: now,
            lines: 0,
            suppressed: 0,
            last: None,
        });
        if now.saturating_sub(entry.since) >= WINDOW {
            (entry.since, entry.lines) = (now, 0);
        }
        if entry.lines >= LINES_PER_SECOND {
            entry.suppressed += 1;
            entry.last = Some(line);
            return None;
        }
        entry.lines += 1;
        entry.last = None;
        Some(Granted { line, suppressed: std::mem::take(&mut entry.suppressed) })
    }

    /// Lines for what was held back in windows that are over; quiet sources are forgotten.
    pub fn overdue(&self, now: Duration) -> Vec<Granted<L>> {
        let mut granted = Vec::new();
        self.sources.lock().retain(|_, source| {
            let is_over = now.saturating_sub(source.since) >= WINDOW;
            if let Some(line) = source.last.take_if(|_| is_over) {
                // The line stands for one of them itself.
                let suppressed = std::mem::take(&mut source.suppressed) - 1;
                granted.push(Granted { line, suppressed });
            }
            !is_over
        });
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gs_cp_14_ten_lines_a_second_and_the_rest_counted() {
        let shares = Shares::default();
        let start = Duration::from_secs(5);
        let written = (0..25).filter_map(|n| shares.admit("eva", n, start)).count();
        assert_eq!(written, 10);
        assert!(shares.admit("adam", 1, start).is_some(), "others are not affected");
        assert_eq!(shares.overdue(start + WINDOW / 2), []);
        assert_eq!(shares.overdue(start + WINDOW), [Granted { line: 24, suppressed: 14 }]);
        assert!(shares.sources.lock().is_empty());
    }

    #[test]
    fn a_later_line_tells_how_many_had_none() {
        let shares = Shares::default();
        for number in 0..12 {
            shares.admit("eva", number, Duration::ZERO);
        }
        let later = shares.admit("eva", 12, WINDOW).expect("a line of its own");
        assert_eq!(later.suppressed, 2);
        assert_eq!(shares.overdue(WINDOW * 3), []);
    }

    #[test]
    fn the_number_of_sources_is_bounded() {
        let shares = Shares::default();
        for number in 0..2_000 {
            shares.admit(&number.to_string(), number, Duration::ZERO);
        }
        assert_eq!(shares.sources.lock().len(), SOURCES_MAX + 1);
    }
}
