use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_core::{ObjectId, ObjectKind};
use gitstratum_git::pack::{BaseSource, ByteSource as _};

use super::cancel::blocking;
use super::{Error, Spool};

/// Delta bases from outside a thin pack, kept behind the pack in its spool: whoever reads
/// the pack again finds them there, and memory holds only their places.
#[derive(Clone, Debug)]
pub(crate) struct Annex {
    spool: Arc<Spool>,
    end: u64,
    places: HashMap<ObjectId, Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    kind: ObjectKind,
    offset: u64,
    len: usize,
}

impl Annex {
    /// Nothing yet, behind a pack of `pack_len` bytes.
    pub(super) fn new(spool: Arc<Spool>, pack_len: u64) -> Self {
        Self { spool, end: pack_len, places: HashMap::new() }
    }

    /// Keeps an object.
    ///
    /// # Errors
    /// When there is no space, or the disk fails.
    pub(super) async fn keep(
        &mut self,
        id: ObjectId,
        kind: ObjectKind,
        content: Bytes,
    ) -> Result<(), Error> {
        if self.places.contains_key(&id) {
            return Ok(());
        }
        let place = Place { kind, offset: self.end, len: content.len() };
        self.end += content.len() as u64;
        self.spool.reserve_to(self.end).await?;
        let spool = Arc::clone(&self.spool);
        blocking(move || spool.write_at(place.offset, &content)).await??;
        self.places.insert(id, place);
        Ok(())
    }
}

impl BaseSource for Annex {
    fn base(&self, id: &ObjectId) -> io::Result<Option<(ObjectKind, Bytes)>> {
        let Some(place) = self.places.get(id) else { return Ok(None) };
        let mut content = vec![0; place.len];
        self.spool.read_at(place.offset, &mut content)?;
        Ok(Some((place.kind, content.into())))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gitstratum_core::ObjectFormat;
    use gitstratum_process::ByteBudget;

    use super::*;

    #[tokio::test]
    async fn bases_are_read_back_from_behind_the_pack() {
        const MIB: u64 = 1024 * 1024;
        let folder = tempfile::tempdir().unwrap();
        let budget = ByteBudget::new("spool", MIB, Duration::from_secs(1));
        let spool = Arc::new(Spool::create(folder.path(), budget, MIB).unwrap());
        spool.reserve_to(4).await.unwrap();
        spool.write_at(0, b"PACK").unwrap();
        let mut annex = Annex::new(Arc::clone(&spool), 4);
        let id = |byte| ObjectId::from_bytes(ObjectFormat::Sha1, &[byte; 20]).unwrap();
        for (byte, content) in [(1, "one"), (2, "two"), (1, "again")] {
            let content = Bytes::from_static(content.as_bytes());
            annex.keep(id(byte), ObjectKind::Blob, content).await.unwrap();
        }
        assert_eq!(annex.base(&id(1)).unwrap().unwrap().1, "one");
        assert_eq!(annex.base(&id(2)).unwrap().unwrap().1, "two");
        assert!(annex.base(&id(3)).unwrap().is_none());
    }
}
