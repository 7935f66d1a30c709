use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use gitstratum_core::{Clock, SystemClock};
use gitstratum_ctl::Connection;
use gitstratum_ctl::access::{Access, Options, Secret};
use gitstratum_ctl::output::{self, Format, View};
use gitstratum_ctl::rpc::Freshness;

use super::arguments::Global;
use super::{Environment, Failure};

/// Where `up` keeps its data when nobody says otherwise.
pub(super) const DATA: &str = "./gitstratum-data";

/// How much is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Volume {
    Normal,
    Quiet,
}

/// What a verb works with: whom to ask, and where and how to answer.
pub(crate) struct Console {
    pub(super) options: Options,
    /// The data directory, if it was named.
    pub(super) named_data: Option<PathBuf>,
    pub(super) environment: Environment,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) format: Format,
    volume: Volume,
}

impl Console {
    pub(crate) fn new(global: Global, environment: Environment) -> Result<Self, Failure> {
        let token = environment.token.as_deref();
        let token = token.map(|text| Secret::parse("GITSTRATUM_TOKEN", text)).transpose()?;
        Ok(Self {
            options: Options {
                server: global.server,
                ca: global.ca,
                data: global.data.clone().unwrap_or_else(|| DATA.into()),
                token_file: global.token_file,
                token,
            },
            named_data: global.data,
            environment,
            clock: SystemClock::new(),
            format: global.output.into(),
            volume: if global.quiet { Volume::Quiet } else { Volume::Normal },
        })
    }

    /// Connects to whom the options name.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        Ok(Connection::open(&Access::find(&self.options)?).await?)
    }

    /// Connects for answers of any voter, whether or not one leads.
    pub(super) async fn connect_stale(&self) -> Result<Connection, Failure> {
        Ok(Connection::open_for(&Access::find(&self.options)?, Freshness::Stale).await?)
    }

    /// Whether only what was asked for is written.
    pub(super) fn is_quiet(&self) -> bool {
        self.volume == Volume::Quiet
    }

    /// Whether the answer is for people.
    pub(super) const fn is_for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// Writes `text` as it stands.
    pub(super) fn write(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Writes a remark beside the answer.
    pub(super) fn remark(&self, text: &str) {
        if !self.is_quiet() {
            // A remark that nobody can read is no failure.
            drop(writeln!(io::stderr(), "{}", gitstratum_ctl::text::printable(text)));
        }
    }

    /// Writes a list.
    pub(super) fn list<V: View>(&self, views: &[V]) -> Result<(), Failure> {
        if !self.is_quiet() {
            return self.write(&output::list(views, self.format)?);
        }
        let names: String =
            views.iter().map(|view| gitstratum_ctl::text::printable(&view.name()) + "\n").collect();
        self.write(&names)
    }

    /// Writes one thing.
    pub(super) fn one<V: View>(&self, view: &V) -> Result<(), Failure> {
        if self.is_quiet() {
            return self.list(std::slice::from_ref(view));
        }
        self.write(&output::one(view, self.format)?)
    }

    /// Writes what a change made of something: for people that it is done, for programs all
    /// of it.
    pub(super) fn changed<V: View>(&self, view: &V, done: &str) -> Result<(), Failure> {
        match (self.volume, self.is_for_people()) {
            (Volume::Quiet, _) => Ok(()),
            (Volume::Normal, true) => self.done(done),
            (Volume::Normal, false) => self.one(view),
        }
    }

    /// Writes that a change is done that leaves nothing to show.
    pub(super) fn done(&self, done: &str) -> Result<(), Failure> {
        if self.is_quiet() || !self.is_for_people() {
            return Ok(());
        }
        self.write(&format!("{}\n", gitstratum_ctl::text::printable(done)))
    }
}
