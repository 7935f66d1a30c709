//! Audit lines of the control plane and of all partitions, as one list in the order of time.

use std::collections::BTreeMap;

use gitstratum_core::{ErrorKind, UnixMillis};
use gitstratum_proto::{control, metadata};
use serde::Serialize;

use crate::Error;
use crate::moment::Moment;
use crate::output::{Format, element};
use crate::rpc::{Answers, Connection};
use crate::text::printable;

/// One audited act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// When, by the clock of whoever wrote it.
    pub at: Option<Moment>,
    /// Who.
    pub actor: String,
    /// What: `noun.verb`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// `ok`, or why not.
    pub result: String,
    /// From where.
    pub client_address: String,
    /// The request's id in every log.
    pub request_id: String,
    /// Whose log it stands in: `control` or `partition N`.
    pub source: String,
    /// Where it stands there.
    pub index: u64,
    #[serde(skip)]
    millis: u64,
}

/// A log that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Control,
    Partition(u32),
}

impl Source {
    fn name(self) -> String {
        match self {
            Self::Control => "control".to_owned(),
            Self::Partition(number) => format!("partition {number}"),
        }
    }
}

/// How far each log has been read.
#[derive(Debug)]
pub struct Reader {
    since: UnixMillis,
    read: BTreeMap<Source, u64>,
    has_partitions: bool,
    lost: Vec<String>,
}

impl Reader {
    /// Reads from `since` on.
    pub const fn new(since: UnixMillis) -> Self {
        Self { since, read: BTreeMap::new(), has_partitions: true, lost: Vec::new() }
    }

    /// Whether the partitions' logs could be read too; a control plane elsewhere offers its own
    /// only.
    pub const fn has_partitions(&self) -> bool {
        self.has_partitions
    }

    /// What kept from reading partitions' logs the last time, a line for each.
    pub fn lost(&self) -> &[String] {
        &self.lost
    }

    /// All that was written since the last time. A partition that cannot be read is told by
    /// [`Reader::lost`]; the others are read all the same.
    ///
    /// # Errors
    /// When the control plane's log cannot be opened, or nothing can be asked any more.
    pub async fn open<'a>(&'a mut self, connection: &Connection) -> Result<Merge<'a>, Error> {
        self.lost.clear();
        let state = connection.cluster_state().await?;
        let layout = state.layout.unwrap_or_default();
        let after = |source| self.read.get(&source).copied().unwrap_or_default();
        let request = control::v1::AuditRequest {
            since_millis: self.since.0,
            follow: false,
            after_index: after(Source::Control),
        };
        let control = Log::Control(connection.audit(request).await?);
        let mut logs = vec![Open { source: Source::Control, log: control, head: None }];
        for partition in layout.partitions.iter().map(|placement| placement.partition) {
            let source = Source::Partition(partition);
            match connection.partition_audit(partition, after(source)).await {
                Ok(log) => logs.push(Open { source, log: Log::Partition(log), head: None }),
                Err(Error::NotOffered(_)) => {
                    self.has_partitions = false;
                    break;
                }
                Err(error) => self.lost.push(told(source, error)?),
            }
        }
        let mut merge = Merge { reader: self, logs };
        for at in 0..merge.logs.len() {
            if let Err(error) = merge.advance(at).await {
                let lost = told(merge.logs[at].source, error)?;
                merge.reader.lost.push(lost);
            }
        }
        Ok(merge)
    }
}

/// Words for a failure of one partition's log alone; others end everything.
fn told(source: Source, error: Error) -> Result<String, Error> {
    match (source, error) {
        (Source::Partition(_), Error::Refused { kind, message }) if kind != ErrorKind::Denied => {
            Ok(format!("{} was not read: {message}", source.name()))
        }
        (_, error) => Err(error),
    }
}

enum Log {
    Control(Answers<control::v1::AuditLine>),
    Partition(Answers<metadata::v1::AuditLine>),
}

struct Open {
    source: Source,
    log: Log,
    head: Option<Line>,
}

/// The lines of several logs, merged.
pub struct Merge<'a> {
    reader: &'a mut Reader,
    logs: Vec<Open>,
}

impl Merge<'_> {
    /// The oldest line that was not given yet; none when all logs are at their ends.
    ///
    /// # Errors
    /// When a log breaks.
    pub async fn next(&mut self) -> Result<Option<Line>, Error> {
        let heads = self.logs.iter().enumerate();
        let heads = heads.filter_map(|(at, open)| open.head.as_ref().map(|head| (head.millis, at)));
        let Some((_, oldest)) = heads.min() else { return Ok(None) };
        let line = self.logs[oldest].head.take();
        self.advance(oldest).await?;
        Ok(line)
    }

    /// Reads the next line of a log that is of the asked time.
    async fn advance(&mut self, at: usize) -> Result<(), Error> {
        let open = &mut self.logs[at];
        while let Some(line) = open.read().await? {
            self.reader.read.insert(open.source, line.index);
            if line.millis >= self.reader.since.0 {
                open.head = Some(line);
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Open {
    async fn read(&mut self) -> Result<Option<Line>, Error> {
        let source = self.source.name();
        Ok(match &mut self.log {
            Log::Control(answers) => answers.next().await?.map(|line| of_control(line, source)),
            Log::Partition(answers) => answers.next().await?.map(|line| of_partition(line, source)),
        })
    }
}

fn of_control(line: control::v1::AuditLine, source: String) -> Line {
    Line {
        at: Moment::from_millis(line.wall_millis),
        actor: line.actor,
        action: line.action,
        subject: line.subject,
        result: line.result,
        client_address: line.client_addr,
        request_id: line.request_id,
        source,
        index: line.index,
        millis: line.wall_millis,
    }
}

fn of_partition(line: metadata::v1::AuditLine, source: String) -> Line {
    Line {
        at: Moment::from_millis(line.wall_millis),
        actor: line.actor,
        action: line.action,
        subject: line.subject,
        result: line.result,
        client_address: line.client_addr,
        request_id: line.request_id,
        source,
        index: line.index,
        millis: line.wall_millis,
    }
}

/// Least widths of the columns: lines come one at a time, so that the longest is not known.
const WIDTHS: [usize; 4] = [19, 10, 14, 20];

impl Line {
    /// The line in `format`.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn text(&self, format: Format) -> Result<String, Error> {
        match format {
            Format::Table => Ok(self.for_people().trim_end().to_owned() + "\n"),
            Format::Wide => {
                let more = [&self.client_address, &self.request_id, &self.source];
                let more = more.map(|word| printable(word)).join("  ");
                Ok(format!("{}  {more}\n", self.for_people()))
            }
            Format::Json | Format::Yaml => element(self, format),
        }
    }

    fn for_people(&self) -> String {
        let [at, actor, action, subject] = WIDTHS;
        let when = self.at.map(|at| at.to_string()).unwrap_or_default();
        format!(
            "{when:at$}  {:actor$}  {:action$}  {:subject$}  {}",
            printable(&self.actor),
            printable(&self.action),
            printable(&self.subject),
            printable(&self.result)
        )
    }
}

#[cfg(test)]
mod tests;
