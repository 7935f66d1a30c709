use gitstratum_core::{RepoId, SegmentId};
use gitstratum_proto::common::v1::{Pack, Segment};

use super::entry::{CopyLost, LoseCopies};
use super::owners::missing_owners;
use super::record::PlaceRow;
use super::{Error, Scope, listing, query};

/// Answer to an owner's loss of copies.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LossAnswer {
    /// Copies that were put on the repair list.
    #[prost(uint32, tag = "1")]
    pub noted: u32,
}

/// A pack whose lists are looked at.
struct Open {
    place: PlaceRow,
    pack: Pack,
    changed: bool,
}

/// Takes the owner off the lists that still have the numbers it named, and puts the segments on
/// the repair list (S21). The last owner stays named: who would be asked for its copy otherwise?
pub(super) fn note(scope: &mut Scope<'_>, lost: &LoseCopies) -> Result<LossAnswer, Error> {
    let mut open: Option<Open> = None;
    let mut noted = 0;
    for copy in &lost.copies {
        let Some(id) = SegmentId::from_slice(&copy.segment_id) else { continue };
        if open.as_mut().is_none_or(|open| open.segment(copy).is_none()) {
            close(scope, open.take())?;
            let listed = query::listed_segment(scope.rows, id)?;
            open = listed.map(|(place, pack)| Open { place, pack, changed: false });
        }
        let Some(open) = &mut open else { continue };
        let Some(missing) = open.lose(copy, lost) else { continue };
        listing::note_repair(scope, RepoId(open.place.repo_id), id, missing)?;
        noted += 1;
    }
    close(scope, open)?;
    Ok(LossAnswer { noted })
}

impl Open {
    fn segment(&mut self, copy: &CopyLost) -> Option<&mut Segment> {
        self.pack.segments.iter_mut().find(|segment| segment.segment_id == copy.segment_id)
    }

    /// How many owners the segment lacks now; none when its list is another one.
    fn lose(&mut self, copy: &CopyLost, lost: &LoseCopies) -> Option<u32> {
        let segment = self.segment(copy).filter(|row| row.list_number == copy.list_number)?;
        let place = segment.owners.iter().position(|owner| *owner == lost.node)?;
        if segment.owners.len() == 1 {
            return Some(lost.replication_factor);
        }
        segment.owners.remove(place);
        if place < segment.incarnations.len() {
            segment.incarnations.remove(place);
        }
        segment.list_number += 1;
        let missing = missing_owners(segment, lost.replication_factor);
        self.changed = true;
        Some(missing)
    }
}

/// Writes a pack whose lists have changed.
fn close(scope: &mut Scope<'_>, open: Option<Open>) -> Result<(), Error> {
    let Some(Open { place, pack, .. }) = open.filter(|open| open.changed) else { return Ok(()) };
    listing::rewrite(scope, &place, &pack)
}
