use std::sync::Arc;

use gitstratum_core::ObjectId;

use super::{Error, Location, Reader};
use crate::manifest::Pack;

impl Reader {
    /// Where each of `ids` answers among `packs` (S8): the newest pack that has a copy which
    /// is neither stray nor shadowed. `None` for what is no member.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub async fn locate(
        &self,
        packs: &[Arc<Pack>],
        ids: &[ObjectId],
    ) -> Result<Vec<Option<Location>>, Error> {
        let mut located: Vec<Option<Location>> = vec![None; ids.len()];
        let mut left = ids.len();
        for pack in packs.iter().rev() {
            if left == 0 {
                break;
            }
            let index = self.index(pack).await?;
            for (id, slot) in ids.iter().zip(&mut located) {
                if slot.is_some() || !index.maybe_contains(id) {
                    continue;
                }
                let Some(record) = index.find(id).filter(|record| record.flags.answers()) else {
                    continue;
                };
                *slot = Some(Location { pack: Arc::clone(pack), record });
                left -= 1;
            }
        }
        Ok(located)
    }
}
