//! What the tests of packs share.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};

use crate::pack::{
    BaseSource, Error, ExternalBase, Limits, Linked, Links, NoBases, Resolved, Resolver, Scanned,
    Scanner, Step, Visited,
};
use crate::testing::id_of;

/// Small enough to cross every border of a small pack.
pub(in crate::pack) const SMALL_CHUNK: usize = 7;

/// Objects outside the pack.
#[derive(Default)]
pub(in crate::pack) struct Outside(BTreeMap<ObjectId, (ObjectKind, Bytes)>);

impl Outside {
    pub(in crate::pack) fn with(
        mut self,
        format: ObjectFormat,
        kind: ObjectKind,
        content: &[u8],
    ) -> Self {
        let content = Bytes::copy_from_slice(content);
        self.0.insert(id_of(format, kind, &content), (kind, content));
        self
    }
}

impl BaseSource for Outside {
    fn base(&self, id: &ObjectId) -> std::io::Result<Option<(ObjectKind, Bytes)>> {
        Ok(self.0.get(id).cloned())
    }
}

/// Scans a whole pack in pieces of `chunk` bytes.
pub(in crate::pack) fn scan_in(
    format: ObjectFormat,
    pack: &[u8],
    limits: &Limits,
    chunk: usize,
) -> Result<Scanned, Error> {
    let mut scanner = Scanner::new(format, limits.clone());
    for piece in pack.chunks(chunk) {
        scanner.push(piece)?;
    }
    scanner.finish()
}

/// What a pack's objects were when they were visited: by ordinal, kind and
/// content if it was whole.
pub(in crate::pack) type Seen = BTreeMap<u32, (ObjectId, ObjectKind, Option<Vec<u8>>)>;

/// Scans and resolves a pack, taking bases from `bases`.
pub(in crate::pack) fn resolve(
    format: ObjectFormat,
    pack: &[u8],
    limits: &Limits,
    bases: &dyn BaseSource,
) -> Result<(Resolved, Seen), Error> {
    let pack = Bytes::copy_from_slice(pack);
    let scanned = scan_in(format, &pack, limits, 64 * 1024)?;
    let mut seen = Seen::new();
    let resolved = resolve_with(&pack, scanned, limits, bases, |object| {
        let content = object.content.whole().map(<[u8]>::to_vec);
        let again = seen.insert(object.ordinal, (*object.id, object.kind, content));
        assert!(again.is_none(), "ordinal {} was visited twice", object.ordinal);
        ControlFlow::Continue(())
    })?;
    assert_eq!(seen.len(), resolved.len());
    Ok((resolved, seen))
}

/// Resolves a scanned pack, showing `visit` each object.
pub(in crate::pack) fn resolve_with(
    pack: &Bytes,
    scanned: Scanned,
    limits: &Limits,
    bases: &dyn BaseSource,
    mut visit: impl FnMut(&Visited<'_>) -> ControlFlow<()>,
) -> Result<Resolved, Error> {
    let mut resolver = Resolver::new(scanned, limits.clone());
    while let Step::NeedBases(ids) = resolver.step(pack, &mut visit)? {
        for id in ids {
            if let Some((kind, content)) = bases.base(&id).unwrap() {
                resolver.provide(&ExternalBase { id, kind, content }, pack, &mut visit)?;
            }
        }
    }
    resolver.finish()
}

/// Scans, resolves and links a pack that needs nothing from outside.
pub(in crate::pack) fn take_whole(
    format: ObjectFormat,
    pack: &[u8],
) -> Result<(Resolved, Linked), String> {
    let limits = Limits::default();
    let pack = Bytes::copy_from_slice(pack);
    let scanned = scan_in(format, &pack, &limits, 64 * 1024).map_err(|error| chain(&error))?;
    let mut links = Links::new(format, &limits);
    let mut refused = Ok(());
    let resolved = resolve_with(&pack, scanned, &limits, &NoBases, |object| {
        refused = links.visit(object);
        if refused.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    refused.map_err(|error| chain(&error))?;
    let resolved = resolved.map_err(|error| chain(&error))?;
    let linked = links.finish(&resolved).map_err(|error| chain(&error))?;
    Ok((resolved, linked))
}

/// The error and its sources in one line.
pub(in crate::pack) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
