//! The recorded ninetieth percentiles: they may only fall.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::tidy::Findings;
use crate::tidy::sizes::Sizes;

/// Where the record is kept.
const FILE: &str = "docs/sizes.txt";

/// One line of the record: a number, and what it may be exceeded by for a stated reason.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line {
    p90: usize,
    slack: usize,
}

/// What the workspace had reached when the record was last lowered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    files: Line,
    functions: Line,
}

impl Recorded {
    /// Reads the record.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(FILE)).with_context(|| format!("read {FILE}"))?;
        Self::parse(&text)
    }

    /// Lines are `NAME NUMBER`; a slack's number is followed by its reason. `#` begins a remark.
    fn parse(text: &str) -> Result<Self> {
        let mut recorded = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap_or_default();
            let number = words.next().and_then(|word| word.parse().ok());
            let number = number.with_context(|| format!("{FILE}: no number in: {line}"))?;
            let reason = words.next();
            match (name, reason) {
                ("file-lines-p90", _) => recorded.files.p90 = number,
                ("function-lines-p90", _) => recorded.functions.p90 = number,
                ("file-lines-slack", Some(_)) => recorded.files.slack = number,
                ("function-lines-slack", Some(_)) => recorded.functions.slack = number,
                ("file-lines-slack" | "function-lines-slack", None) => {
                    anyhow::bail!("{FILE}: a slack needs a reason: {line}")
                }
                _ => anyhow::bail!("{FILE}: unknown line: {line}"),
            }
        }
        Ok(recorded)
    }
}

/// Refuses sizes that rose above the record.
pub(crate) fn check(recorded: &Recorded, sizes: &Sizes, findings: &mut Findings) {
    let rows = [
        ("file-lines-p90", &recorded.files, sizes.files_p90()),
        ("function-lines-p90", &recorded.functions, sizes.functions_p90()),
    ];
    for (name, line, size) in rows {
        if size > line.p90 + line.slack {
            findings.refuse(format!("{FILE}: {name} rose from {} to {size}", line.p90));
        } else if size < line.p90 {
            findings.ask(format!("{FILE}: {name} fell to {size}: `cargo xtask fix` records it"));
        }
    }
}

/// Writes the sizes that fell into the record; all other lines stay.
pub(crate) fn lower(root: &Path, sizes: &Sizes) -> Result<()> {
    let path = root.join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("read {FILE}"))?;
    let lowered = lowered(&text, sizes.files_p90(), sizes.functions_p90())?;
    fs::write(&path, lowered).with_context(|| format!("write {FILE}"))
}

fn lowered(text: &str, files: usize, functions: usize) -> Result<String> {
    let recorded = Recorded::parse(text)?;
    let mut lowered = String::new();
    for line in text.lines() {
        let (name, p90) = match line.split_whitespace().next() {
            Some(name @ "file-lines-p90") => (name, recorded.files.p90.min(files)),
            Some(name @ "function-lines-p90") => (name, recorded.functions.p90.min(functions)),
            _ => {
                writeln!(lowered, "{line}")?;
                continue;
            }
        };
        writeln!(lowered, "{name} {p90}")?;
    }
    Ok(lowered)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# words\nfile-lines-p90 200\nfunction-lines-p90 25\n\nfile-lines-slack 9 one table\n";

    #[test]
    fn the_record_only_falls() {
        let text = lowered(TEXT, 150, 40).expect("a record");
        let recorded = Recorded::parse(&text).expect("a record");
        assert_eq!(recorded.files, Line { p90: 150, slack: 9 });
        assert_eq!(recorded.functions, Line { p90: 25, slack: 0 });
        assert!(text.starts_with("# words\n"));
    }

    #[test]
    fn a_slack_needs_a_reason() {
        assert!(Recorded::parse("file-lines-slack 9\n").is_err());
        assert!(Recorded::parse("file-lines-p90 many\n").is_err());
        assert!(Recorded::parse("other 9\n").is_err());
    }

    #[test]
    fn a_rise_above_record_and_slack_is_refused() {
        let mut findings = Findings::default();
        let recorded = Recorded::parse(TEXT).expect("a record");
        check(&recorded, &Sizes::default(), &mut findings);
        assert!(findings.refused.is_empty());
        assert_eq!(findings.asked.len(), 2);
        let none = Recorded::default();
        check(&none, &Sizes::of(&[10], &[10]), &mut findings);
        assert_eq!(findings.refused.len(), 2);
    }
}
