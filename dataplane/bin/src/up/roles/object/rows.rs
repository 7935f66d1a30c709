//! The data base of an object node, which is set aside when it is damaged and other nodes
//! hold what was in it (P-I5): an empty one takes its place, every partition sees that this
//! disk is older than what it knew (S23), and what is missing is copied back (S21).

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use gitstratum_core::ErrorKind;
use gitstratum_object::{Error, FAMILIES};
use gitstratum_store::{Files, Permissions, RocksEngine, engine};

use super::super::super::node::Common;

/// Says that the data base beside it was found damaged while it was in use.
const MARK: &str = "db-is-damaged";
/// Where damaged ones are kept, numbered from 1: each may hold the only copy of something.
const ASIDE: &str = "db.damaged";
/// Damaged ones that are kept. A disk that fails more often than that wants a person.
const ASIDE_MAX: u32 = 8;

/// Whether others hold copies of what is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copies {
    /// This node is the only one.
    HereAlone,
    /// Other nodes hold them too.
    Elsewhere,
}

/// The rows of an object node, and what becomes of them when they are damaged.
#[derive(Clone)]
pub(super) struct Rows {
    pub(super) directory: PathBuf,
    pub(super) files: Arc<dyn Files>,
    pub(super) copies: Copies,
}

impl Rows {
    /// Opens the data base.
    ///
    /// # Errors
    /// When it is damaged and its rows are nowhere else, or cannot be opened.
    pub(super) async fn open(&self, common: &Common) -> Result<Arc<RocksEngine>> {
        let database = self.directory.join("db");
        let mark = self.directory.join(MARK);
        if self.copies == Copies::Elsewhere && self.files.metadata(&mark)?.is_some() {
            self.set_aside()?;
            self.files.remove(&mark)?;
            self.files.sync_directory(&self.directory)?;
        }
        let opened = super::super::engine(&database, FAMILIES.to_vec(), common).await;
        let error = match opened {
            Err(error) if self.copies == Copies::Elsewhere && is_damage(&error) => error,
            other => return other,
        };
        let error = format!("{error:#}");
        tracing::error!(%error, "damaged rows of segments are set aside: other nodes have them");
        self.set_aside()?;
        super::super::engine(&database, FAMILIES.to_vec(), common).await
    }

    /// What the node ends with. Rows found damaged are set aside by its next start.
    pub(super) fn end_with(&self, error: Error) -> anyhow::Error {
        let is_damage = error.is_about_rows() && error.kind() == ErrorKind::Corrupt;
        let error = anyhow::Error::new(error).context("segments");
        if !is_damage || self.copies == Copies::HereAlone {
            return error;
        }
        match self.condemn() {
            Ok(()) => error,
            Err(failed) => error.context(format!("its rows could not be condemned: {failed:#}")),
        }
    }

    fn condemn(&self) -> Result<()> {
        let mark = self.directory.join(MARK);
        if self.files.metadata(&mark)?.is_none() {
            self.files.create(&mark, Permissions::Private)?.sync()?;
            self.files.sync_directory(&self.directory)?;
        }
        Ok(())
    }

    fn set_aside(&self) -> Result<()> {
        let from = self.directory.join("db");
        if self.files.metadata(&from)?.is_none() {
            return Ok(());
        }
        self.files.rename(&from, &self.free_place()?)?;
        self.files.sync_directory(&self.directory)?;
        Ok(())
    }

    fn free_place(&self) -> Result<PathBuf> {
        for number in 1..=ASIDE_MAX {
            let place = self.directory.join(format!("{ASIDE}.{number}"));
            if self.files.metadata(&place)?.is_none() {
                return Ok(place);
            }
        }
        bail!(
            "rows are damaged, and {} holds {ASIDE_MAX} damaged data bases: look after the disk, \
             and remove {ASIDE}.N once `gitstratum check` finds nothing missing",
            self.directory.display()
        )
    }
}

fn is_damage(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    let found = causes.find_map(|cause| cause.downcast_ref::<engine::Error>());
    found.is_some_and(|error| error.kind() == ErrorKind::Corrupt)
}
