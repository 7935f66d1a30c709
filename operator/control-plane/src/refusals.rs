use std::collections::BTreeMap;
use std::time::Duration;

use gitstratum_state::command::{Origin, RecordRefusal};
use parking_lot::Mutex;

/// Lines that one source gets in a second; what is above is counted (S41).
const LINES_PER_SECOND: u32 = 10;
/// Sources told apart; those above share one count.
const SOURCES_MAX: usize = 1_000;
/// Over how long lines are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// The source of those that no longer have one of their own.
const OTHERS: &str = "others";

/// Decides which refused calls get an audit line of their own, so that whoever knocks
/// a thousand times a second does not fill the log.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    sources: Mutex<BTreeMap<String, Source>>,
}

/// Somebody who was refused lately.
#[derive(Debug)]
struct Source {
    since: Duration,
    lines: u32,
    /// Refusals without a line.
    suppressed: u64,
    /// The last of them.
    last: Option<Line>,
}

/// A refusal on its way to the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) origin: Origin,
    pub(crate) refusal: RecordRefusal,
}

impl Refusals {
    /// The line to write now for a refusal of `source`, if it gets one.
    pub(crate) fn admit(&self, source: &str, mut line: Line, now: Duration) -> Option<Line> {
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
        line.refusal.suppressed = std::mem::take(&mut entry.suppressed);
        entry.last = None;
        Some(line)
    }

    /// Lines for what was held back in windows that are over; quiet sources are forgotten.
    pub(crate) fn overdue(&self, now: Duration) -> Vec<Line> {
        let mut lines = Vec::new();
        self.sources.lock().retain(|_, source| {
            let is_over = now.saturating_sub(source.since) >= WINDOW;
            if let Some(mut line) = source.last.take_if(|_| is_over) {
                // The line stands for one of them itself.
                line.refusal.suppressed = std::mem::take(&mut source.suppressed) - 1;
                lines.push(line);
            }
            !is_over
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u32) -> Line {
        let refusal = RecordRefusal { subject: number.to_string(), ..Default::default() };
        Line { origin: Origin::default(), refusal }
    }

    #[test]
    fn gs_cp_14_ten_lines_a_second_and_the_rest_counted() {
        let refusals = Refusals::default();
        let start = Duration::from_secs(5);
        let written = (0..25).filter_map(|n| refusals.admit("eva", line(n), start)).count();
        assert_eq!(written, 10);
        assert!(refusals.admit("adam", line(1), start).is_some(), "others are not affected");
        assert_eq!(refusals.overdue(start + WINDOW / 2), []);
        let overdue = refusals.overdue(start + WINDOW);
        assert_eq!(overdue.len(), 1);
        let refusal = &overdue[0].refusal;
        assert_eq!((refusal.subject.as_str(), refusal.suppressed), ("24", 14));
        assert!(refusals.sources.lock().is_empty());
    }

    #[test]
    fn a_later_line_tells_how_many_had_none() {
        let refusals = Refusals::default();
        for number in 0..12 {
            refusals.admit("eva", line(number), Duration::ZERO);
        }
        let later = refusals.admit("eva", line(12), WINDOW).expect("a line of its own");
        assert_eq!(later.refusal.suppressed, 2);
        assert_eq!(refusals.overdue(WINDOW * 3), []);
    }

    #[test]
    fn the_number_of_sources_is_bounded() {
        let refusals = Refusals::default();
        for number in 0..2_000 {
            refusals.admit(&number.to_string(), line(number), Duration::ZERO);
        }
        assert_eq!(refusals.sources.lock().len(), SOURCES_MAX + 1);
    }
}
