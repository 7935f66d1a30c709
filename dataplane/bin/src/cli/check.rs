use std::process::ExitCode;

use clap::Args;
use gitstratum_core::RepoPath;
use gitstratum_ctl::check::{self, Checked, Report, Subject, Verdict};
use gitstratum_ctl::{Connection, Exit};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Console, Failure};

/// What the bar on a terminal looks like.
const BAR: &str = "{bar:30} {pos}/{len} {msg}";

/// Verify stored data against checksums, manifests and refs
///
/// Reads every segment that a manifest lists and every object that a ref reaches, and prints a line
/// for each repository. Ends with 4 when something is damaged. Nothing is changed; the system goes on
/// serving meanwhile.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum check
  gitstratum check team/engine
  gitstratum check -o json > report.json")]
pub(crate) struct CheckArgs {
    /// Only this repository [default: all, deleted ones too]
    #[arg(value_parser = RepoPath::parse, value_name = "OWNER/NAME")]
    path: Option<RepoPath>,
}

impl CheckArgs {
    pub(super) async fn run(self, console: &Console) -> Result<ExitCode, Failure> {
        let connection = console.connect().await?;
        let subjects = match &self.path {
            Some(path) => vec![check::one(&connection, path).await.map_err(look)?],
            None => check::all(&connection).await?,
        };
        let report = check_all(console, &connection, &subjects).await?;
        if console.is_for_people() {
            console.remark(&report.summary());
        } else {
            console.write(&report.document(console.format)?)?;
        }
        Ok(ExitCode::from(exit(&report).code()))
    }
}

fn look(error: gitstratum_ctl::Error) -> Failure {
    Failure::from(error).or_look("`gitstratum repo list` shows those that you may see")
}

async fn check_all(
    console: &Console,
    connection: &Connection,
    subjects: &[Subject],
) -> Result<Report, Failure> {
    let bar = bar(console, subjects.len());
    let mut report = Report::default();
    for subject in subjects {
        bar.set_message(subject.path().to_owned());
        let checked = check::check(connection, subject).await?;
        bar.suspend(|| show(console, &checked))?;
        bar.inc(1);
        report.add(checked);
    }
    bar.finish_and_clear();
    Ok(report)
}

/// Lines of sound repositories are not for the quiet.
fn show(console: &Console, checked: &Checked) -> Result<(), Failure> {
    let is_wanted = !console.is_quiet() || checked.verdict != Verdict::Ok;
    if console.is_for_people() && is_wanted { console.write(&checked.text()) } else { Ok(()) }
}

/// A bar on standard error, where that is a terminal.
fn bar(console: &Console, length: usize) -> ProgressBar {
    if console.is_quiet() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX)).with_style(style)
}

const fn exit(report: &Report) -> Exit {
    match (report.damaged, report.unchecked) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Failed,
        _ => Exit::Damage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_outweighs_what_could_not_be_looked_at() {
        let report = |damaged, unchecked| Report { damaged, unchecked, ..Report::default() };
        assert_eq!(exit(&report(0, 0)), Exit::Done);
        assert_eq!(exit(&report(0, 1)), Exit::Failed);
        assert_eq!(exit(&report(1, 1)), Exit::Damage);
    }
}
