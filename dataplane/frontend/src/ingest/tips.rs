use bytes::Bytes;
use gitstratum_core::{ObjectId, ObjectKind};
use gitstratum_git::object::TagRef;
use gitstratum_proto::metadata::v1::NewTarget;

use super::check::Checked;
use super::{Against, Error};

/// Tags outside the pack that are followed to a tip's end.
const TAGS_OUTSIDE_MAX: usize = 100;

/// What the leader is told of each of `tips`: its kind, and what a tag comes to in the end.
/// Of those that are not in the pack it knows more than we do.
///
/// # Errors
/// When a tag outside the pack cannot be read.
pub(crate) async fn targets(
    against: &Against<'_>,
    checked: &Checked,
    tips: &[ObjectId],
) -> Result<Vec<NewTarget>, Error> {
    let mut targets = Vec::with_capacity(tips.len());
    for id in tips {
        let Some(tip) = checked.tip(id) else {
            targets.push(NewTarget::default());
            continue;
        };
        let peeled = match tip.leads_to {
            None => Bytes::new(),
            Some((tag, ObjectKind::Tag)) => peel_outside(against, tag).await?,
            Some((id, _)) => Bytes::copy_from_slice(id.as_bytes()),
        };
        targets.push(NewTarget { kind: tip.kind as u32, peeled });
    }
    Ok(targets)
}

async fn peel_outside(against: &Against<'_>, tag: ObjectId) -> Result<Bytes, Error> {
    let mut next = tag;
    for _ in 0..TAGS_OUTSIDE_MAX {
        let mut found = against
            .context
            .reader
            .read(against.packs(), &[next])
            .await
            .map_err(|source| Error::Objects { source })?;
        let object = found.remove(&next).ok_or(Error::Missing)?;
        let tag = TagRef::parse(against.format, &object.data).map_err(|_| Error::Missing)?;
        if tag.target_kind != ObjectKind::Tag {
            return Ok(Bytes::copy_from_slice(tag.target.as_bytes()));
        }
        next = tag.target;
    }
    Err(Error::Missing)
}
