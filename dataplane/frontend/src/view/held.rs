use std::sync::Arc;

use gitstratum_client::manifest::Pack;
use gitstratum_core::{ErrorKind, ObjectFormat, ObjectId, PackId, PartitionId, RefName, Version};
use gitstratum_proto::metadata::v1::GetRefsResponse;
use gitstratum_proto::{FieldError, common, object_id, pack_id};

use super::{Ref, Refs, View};
use crate::Error;
use crate::target::Target;

/// A view under construction from the held one and the messages of an answer.
pub(super) struct Building<'a> {
    partition: PartitionId,
    format: ObjectFormat,
    held: Option<&'a View>,
    first: Option<GetRefsResponse>,
    refs: Vec<Ref>,
    deleted: Vec<RefName>,
    packs: Vec<Arc<Pack>>,
    packs_gone: Vec<PackId>,
    complete: bool,
}

impl View {
    /// About how much memory it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        let packs: usize = self
            .packs
            .iter()
            .map(|pack| 512 + pack.inline_graph.len() + pack.segments.len() * 128)
            .sum();
        self.refs.weight() + packs
    }
}

impl<'a> Building<'a> {
    pub(super) fn new(target: &Target, held: Option<&'a View>) -> Self {
        Self {
            partition: target.partition(),
            format: target.format,
            held,
            first: None,
            refs: Vec::new(),
            deleted: Vec::new(),
            packs: Vec::new(),
            packs_gone: Vec::new(),
            complete: false,
        }
    }

    pub(super) fn add(&mut self, answer: &GetRefsResponse) -> Result<(), FieldError> {
        for each in &answer.refs {
            let typed = self.typed(each)?;
            // The partition leaves hidden refs out; that nobody sees one is kept here too.
            if !typed.name.is_internal() {
                self.refs.push(typed);
            }
        }
        for name in &answer.deleted {
            self.deleted.push(name_of("deleted", name)?);
        }
        for row in &answer.packs {
            self.packs.push(Arc::new(Pack::listed(row, self.partition)?));
        }
        for id in &answer.packs_gone {
            self.packs_gone.push(pack_id("packs_gone", id)?);
        }
        self.complete |= answer.last;
        if self.first.is_none() {
            let head = GetRefsResponse {
                refs: Vec::new(),
                deleted: Vec::new(),
                packs: Vec::new(),
                packs_gone: Vec::new(),
                ..answer.clone()
            };
            self.first = Some(head);
        }
        Ok(())
    }

    /// Whether the answer is about what is held, not a whole listing.
    pub(super) fn updates_held(&self) -> bool {
        self.held.is_some() && self.first.as_ref().is_some_and(|first| first.refs_are_changes)
    }

    pub(super) fn finish(self) -> Result<View, Error> {
        let first = self.first.as_ref().filter(|_| self.complete).cloned();
        let first = first.ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "reading refs broke off; try again")
        })?;
        let head = name_of("head", &first.head)
            .map_err(|source| Error::caused(ErrorKind::Bug, "internal error", source))?;
        let (refs, packs) = (self.merged_refs(&first), self.merged_packs(&first));
        Ok(View {
            refs_version: Version(first.refs_version),
            manifest_version: Version(first.manifest_version),
            drop_counter: first.drop_counter,
            head,
            refs,
            packs,
        })
    }

    fn merged_refs(&self, first: &GetRefsResponse) -> Arc<Refs> {
        let base = self.held.filter(|_| first.refs_are_changes);
        match base {
            Some(view) if self.refs.is_empty() && self.deleted.is_empty() => Arc::clone(&view.refs),
            Some(view) => Arc::new(view.refs.changed(self.refs.clone(), &self.deleted)),
            None => Arc::new(Refs::new(self.refs.iter().cloned())),
        }
    }

    fn merged_packs(&self, first: &GetRefsResponse) -> Arc<Vec<Arc<Pack>>> {
        let base = self.held.filter(|_| first.packs_are_changes);
        let Some(view) = base else { return Arc::new(self.packs.clone()) };
        if self.packs.is_empty() && self.packs_gone.is_empty() {
            return Arc::clone(&view.packs);
        }
        let replaced = |id: &PackId| {
            self.packs_gone.contains(id) || self.packs.iter().any(|pack| pack.id == *id)
        };
        let kept = view.packs.iter().filter(|pack| !replaced(&pack.id));
        Arc::new(kept.chain(&self.packs).cloned().collect())
    }

    fn typed(&self, each: &common::v1::Ref) -> Result<Ref, FieldError> {
        let target = self.id("target", &each.target)?;
        let peeled = match each.peeled.is_empty() {
            true => None,
            false => Some(self.id("peeled", &each.peeled)?),
        };
        Ok(Ref { name: name_of("name", &each.name)?, target, peeled })
    }

    fn id(&self, field: &'static str, bytes: &[u8]) -> Result<ObjectId, FieldError> {
        let id = object_id(field, bytes)?;
        if id.format() != self.format {
            return Err(FieldError { field, problem: "is of the other object format" });
        }
        Ok(id)
    }
}

fn name_of(field: &'static str, bytes: &bytes::Bytes) -> Result<RefName, FieldError> {
    RefName::parse(bytes.clone()).map_err(|_| FieldError { field, problem: "is not a ref name" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::testing::{History, Rig, view};

    /// A counter of now beside packs of before would let a push lean on what has been dropped (T15).
    #[tokio::test]
    async fn s15_s51_the_drop_counter_and_the_packs_are_of_one_answer() {
        let (rig, history) = (Rig::new(), History::line(1));
        let pack = rig.put(&view(1, Vec::new()), history.pack(), &[history.tip()]).await.unwrap();
        let held = view(2, vec![pack.clone()]);
        let answer = GetRefsResponse {
            head: "refs/heads/main".into(),
            refs_version: 3,
            manifest_version: 3,
            drop_counter: held.drop_counter + 1,
            refs_are_changes: true,
            packs_are_changes: true,
            packs_gone: vec![pack.id.0.to_vec().into()],
            last: true,
            ..GetRefsResponse::default()
        };
        let mut building = Building {
            partition: PartitionId(1),
            format: ObjectFormat::Sha1,
            held: Some(&held),
            first: None,
            refs: Vec::new(),
            deleted: Vec::new(),
            packs: Vec::new(),
            packs_gone: Vec::new(),
            complete: false,
        };
        building.add(&answer).unwrap();
        let now = building.finish().unwrap();
        assert_eq!(now.drop_counter, held.drop_counter + 1);
        assert_eq!((now.manifest_version, now.packs.len()), (Version(3), 0));
    }
}
