//! Stages of a command: a heading before each, a table of results and times at the end.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does.
    Passed,
    /// It does not; why has been printed.
    Failed,
}

impl Verdict {
    /// Passed if there is nothing to complain about.
    pub(crate) fn from_complaints(count: usize) -> Self {
        if count == 0 { Self::Passed } else { Self::Failed }
    }
}

/// How one stage ended.
enum Outcome {
    Ended(Verdict),
    Skipped(&'static str),
    Broken(anyhow::Error),
}

struct Row {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// The stages of one command, run one after the other; a failed one stops no later one.
pub(crate) struct Stages {
    command: &'static str,
    rows: Vec<Row>,
}

impl Stages {
    /// No stages yet of `command`.
    pub(crate) fn new(command: &'static str) -> Self {
        Self { command, rows: Vec::new() }
    }

    /// Runs one stage under a heading and remembers how it ended.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        stage: impl FnOnce() -> Result<Verdict>,
    ) -> Verdict {
        eprintln!("\n== {}: {name}", self.command);
        let start = now();
        let outcome = match stage() {
            Ok(verdict) => Outcome::Ended(verdict),
            Err(error) => {
                eprintln!("error: {error:#}");
                Outcome::Broken(error)
            }
        };
        let verdict = outcome.verdict();
        self.rows.push(Row { name, outcome, took: start.elapsed() });
        verdict
    }

    /// Notes a stage that is not run here, and why.
    pub(crate) fn skip(&mut self, name: &'static str, reason: &'static str) {
        self.rows.push(Row { name, outcome: Outcome::Skipped(reason), took: Duration::ZERO });
    }

    /// Prints the table and gives the verdict on all stages together.
    pub(crate) fn finish(self) -> Verdict {
        eprintln!("\n== {}: summary", self.command);
        for row in &self.rows {
            eprintln!("{:<10} {:>8.1} s  {}", row.name, row.took.as_secs_f64(), row.outcome);
        }
        let failed = self.rows.iter().filter(|row| row.outcome.verdict() == Verdict::Failed);
        Verdict::from_complaints(failed.count())
    }
}

impl Outcome {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Ended(verdict) => *verdict,
            Self::Skipped(_) => Verdict::Passed,
            Self::Broken(_) => Verdict::Failed,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended(Verdict::Passed) => f.write_str("ok"),
            Self::Ended(Verdict::Failed) => f.write_str("FAILED"),
            Self::Skipped(reason) => write!(f, "skipped: {reason}"),
            Self::Broken(error) => write!(f, "FAILED: {error}"),
        }
    }
}

/// The clock of the development commands.
#[expect(clippy::disallowed_methods, reason = "stages are timed for a person at a terminal")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_or_broken_stage_fails_the_command() {
        let mut stages = Stages::new("trial");
        stages.run("good", || Ok(Verdict::Passed));
        stages.skip("absent", "not installed");
        assert_eq!(stages.finish(), Verdict::Passed);

        let mut stages = Stages::new("trial");
        stages.run("bad", || Ok(Verdict::Failed));
        stages.run("good", || Ok(Verdict::Passed));
        assert_eq!(stages.finish(), Verdict::Failed);

        let mut stages = Stages::new("trial");
        assert_eq!(stages.run("broken", || anyhow::bail!("no such file")), Verdict::Failed);
        assert_eq!(stages.finish(), Verdict::Failed);
    }
}
