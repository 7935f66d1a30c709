//! What is written down of the cluster beside its data, for a control plane that is brought
//! back (S45).

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use gitstratum_control_plane::{Cluster, Record};
use gitstratum_store::Files;

use super::folder::Folder;
use super::secrets;

/// The data directory's own files.
pub(super) struct Beside {
    pub(super) files: Arc<dyn Files>,
    pub(super) data: PathBuf,
}

impl Beside {
    fn raise(&self, known: u16) -> Result<u16> {
        let folder = Folder::look(self.files.as_ref(), &self.data)?;
        let recorded = folder.recorded.as_ref().context("no cluster is recorded")?;
        let last = recorded.generation.max(known);
        let generation = last.checked_add(1).context("there are no more generations")?;
        let cluster = Cluster { generation, ..recorded.clone() };
        let first_token = folder.first_token.as_deref().unwrap_or_default();
        folder.record(self.files.as_ref(), &cluster, first_token)?;
        Ok(generation)
    }

    fn token(&self) -> Result<[u8; 32]> {
        let folder = Folder::look(self.files.as_ref(), &self.data)?;
        let recorded = folder.recorded.context("no cluster is recorded")?;
        let secrets = secrets::read(self.files.as_ref(), &self.data, recorded.id)?;
        Ok(secrets.join.token.hash())
    }
}

impl Record for Beside {
    fn raise_generation(&self, known: u16) -> Result<u16, String> {
        self.raise(known).map_err(|error| format!("{error:#}"))
    }

    fn join_token(&self) -> Option<[u8; 32]> {
        let token = self.token();
        token.inspect_err(|error| tracing::error!(%error, "no node can enrol")).ok()
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_control_plane::Founding;
    use gitstratum_core::ClusterId;
    use gitstratum_store::SystemFiles;

    use super::*;

    #[test]
    fn s45_the_next_generation_is_written_beside_the_cluster_id_and_none_is_used_twice() {
        let data = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = SystemFiles::new();
        let beside = Beside { files: Arc::clone(&files), data: data.path().to_owned() };
        assert!(beside.raise_generation(1).is_err(), "nothing is recorded");
        let id = ClusterId([5; 16]);
        let cluster = Cluster { id, generation: 1, nodes: vec![Founding::node(1)] };
        let folder = Folder::look(files.as_ref(), data.path()).unwrap();
        folder.record(files.as_ref(), &cluster, "0102").unwrap();
        assert_eq!(beside.raise_generation(1), Ok(2));
        // One that never heard of the other takes the next one, as one does that knows more.
        assert_eq!(beside.raise_generation(1), Ok(3));
        assert_eq!(beside.raise_generation(7), Ok(8));
        let folder = Folder::look(files.as_ref(), data.path()).unwrap();
        let expected = Cluster { generation: 8, ..cluster };
        assert_eq!((folder.recorded, folder.first_token), (Some(expected), Some("0102".into())));
        assert!(beside.raise_generation(u16::MAX).is_err());
    }
}
