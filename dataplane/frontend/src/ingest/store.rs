//! A checked pack becomes segments and a manifest row.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_client::cluster::Placement;
use gitstratum_client::manifest::Pack;
use gitstratum_core::{PackId, Version};
use gitstratum_git::parts::Parts;
use gitstratum_git::segment::{Cut, cut, cut_parts};

use super::cancel::{Cancel, blocking};
use super::check::Checked;
use super::ground::Ground;
use super::parts::{Patience, build};
use super::upload::{Begun, Origins, Stored, Upload};
use super::{Against, Error, Intake};

/// Longest time spent on rows of the commit table: those that are absent are rebuilt when
/// asked for.
const ROWS_TIME_MAX: Duration = Duration::from_secs(60);

/// Where and as whose a pack is stored.
pub(crate) struct Shelf<'a> {
    pub(crate) placement: &'a Placement,
    pub(crate) origins: Origins,
    pub(crate) begun: &'a Begun,
}

/// A pack that is durable on the owners of its segments, and what it was stored for.
pub(crate) struct Stock {
    row: Pack,
    ground: Arc<Ground>,
}

impl Stock {
    /// Its manifest row, as the leader is asked to list it.
    pub(crate) const fn row(&self) -> &Pack {
        &self.row
    }

    /// What it stands on.
    pub(crate) fn ground(&self) -> &Ground {
        &self.ground
    }
}

impl Intake {
    /// Stores the pack on the ground of `against`.
    ///
    /// # Errors
    /// [`Error::UnderQuorum`] when some segment has too few durable copies.
    pub(crate) async fn store(
        &self,
        against: &Against<'_>,
        ground: &Arc<Ground>,
        shelf: &Shelf<'_>,
    ) -> Result<Stock, Error> {
        let id = PackId::random(against.context.entropy.as_ref());
        let parts = self.build_parts(against, id, ground).await?;
        let cuts = {
            let (checked, parts) = (Arc::clone(&self.checked), parts.bytes());
            blocking(move || cut(&checked.resolved, parts)).await?
        };
        let stored = self.upload(against, id, shelf, cuts).await?;
        let row = row(&self.checked, (id, &parts), stored, shelf.origins);
        Ok(Stock { row: placed_at(row, against, ground), ground: Arc::clone(ground) })
    }

    /// The same pack on another ground: its entries stay where they are, its parts are
    /// written anew if they would say something else (S15).
    ///
    /// # Errors
    /// As [`Intake::store`].
    pub(crate) async fn store_again(
        &self,
        against: &Against<'_>,
        stock: Stock,
        ground: &Arc<Ground>,
        shelf: &Shelf<'_>,
    ) -> Result<Stock, Error> {
        let Stock { mut row, ground: before } = stock;
        let same = before.shadowed == ground.shadowed && before.outside == ground.outside;
        if !same {
            let parts = self.build_parts(against, row.id, ground).await?;
            let cuts = cut_parts(parts.bytes());
            let Stored { segments, parts: places } =
                self.upload(against, row.id, shelf, cuts).await?;
            row.segments.retain(|segment| segment.entries_length > 0);
            row.segments.extend(segments);
            row.parts = places;
            row.shadowed_count = parts.shadowed_count;
        }
        Ok(Stock { row: placed_at(row, against, ground), ground: Arc::clone(ground) })
    }

    async fn build_parts(
        &self,
        against: &Against<'_>,
        pack: PackId,
        ground: &Arc<Ground>,
    ) -> Result<Parts, Error> {
        let cancel = Cancel::default();
        let _cancelled_if_dropped = cancel.on_drop();
        let patience = Patience { deadline: against.context.deadline(ROWS_TIME_MAX), cancel };
        let (checked, ground) = (Arc::clone(&self.checked), Arc::clone(ground));
        blocking(move || build(pack, &checked, &ground, &patience)).await?
    }

    async fn upload(
        &self,
        against: &Against<'_>,
        pack: PackId,
        shelf: &Shelf<'_>,
        cuts: Vec<Cut>,
    ) -> Result<Stored, Error> {
        let Shelf { placement, origins, begun } = *shelf;
        let spool = &self.checked.spool;
        Upload { against, placement, origins, begun, pack, spool }.run(cuts).await
    }
}

/// What the manifest says of a pack wherever it is listed.
fn row(checked: &Checked, (id, parts): (PackId, &Parts), stored: Stored, origins: Origins) -> Pack {
    let resolved = &checked.resolved;
    Pack {
        id,
        format: resolved.format(),
        object_count: u32::try_from(resolved.len()).unwrap_or(u32::MAX),
        pack_version: resolved.version(),
        trailer: Bytes::copy_from_slice(resolved.trailer()),
        length: resolved.pack_len(),
        segments: stored.segments,
        parts: stored.parts,
        checked_version: Version::default(),
        overlaps: Vec::new(),
        stray_count: parts.stray_count,
        shadowed_count: parts.shadowed_count,
        duplicate_count: parts.duplicate_count,
        session: origins.session,
        push_number: origins.number,
        inline_graph: parts.inline_graph(),
        listed_version: Version::default(),
        thin: !resolved.external_bases().is_empty(),
        claim: 0,
        listed_in: None,
    }
}

/// The row with what follows from the version that the pack was checked at (S8).
fn placed_at(row: Pack, against: &Against<'_>, ground: &Ground) -> Pack {
    Pack {
        checked_version: against.view.manifest_version,
        overlaps: ground.overlaps.iter().copied().collect(),
        ..row
    }
}
