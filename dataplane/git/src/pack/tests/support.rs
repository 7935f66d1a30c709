//! What the tests of this folder share.

use std::ops::ControlFlow;

use bytes::Bytes;
use gitstratum_core::{ObjectFormat, ObjectId};

use crate::pack::{
    BaseSource, ExternalBase, Limits, Linked, Links, Resolved, Resolver, Scanned, Scanner, Step,
    Visited,
};

/// Small enough to cross every border of a small pack.
pub(in crate::pack) const SMALL_CHUNK: usize = 7;

/// Scans a whole pack in pieces of `chunk` bytes.
pub(in crate::pack) fn scan_in(
    format: ObjectFormat,
    pack: &[u8],
    limits: &Limits,
    chunk: usize,
) -> Result<Scanned, crate::pack::Error> {
    let mut scanner = Scanner::new(format, limits.clone());
    for piece in pack.chunks(chunk) {
        scanner.push(piece)?;
    }
    scanner.finish()
}

/// Resolves a scanned pack, showing `visit` each object and taking bases from `bases`.
pub(in crate::pack) fn resolve_with(
    pack: &Bytes,
    scanned: Scanned,
    limits: &Limits,
    bases: &dyn BaseSource,
    mut visit: impl FnMut(&Visited<'_>) -> ControlFlow<()>,
) -> Result<Resolved, crate::pack::Error> {
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
    let resolved = resolve_with(&pack, scanned, &limits, &crate::pack::NoBases, |object| {
        links.visit(object).unwrap();
        ControlFlow::Continue(())
    })
    .map_err(|error| chain(&error))?;
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

pub(in crate::pack) fn id(format: ObjectFormat, text: &str) -> ObjectId {
    ObjectId::from_hex(format, text.as_bytes()).unwrap()
}
