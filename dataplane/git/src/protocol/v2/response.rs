use bytes::{BufMut, BytesMut};
use gitstratum_core::{ObjectId, RefName};

use super::super::capabilities::put_line;
use super::super::{AdvertisedRef, Fetch, Next, Readiness};
use super::LsRefs;
use crate::pktline::{delim, flush, frame};

/// Appends the line of one ref to the answer of `ls-refs`, with what `request` asks
/// to be said of it. A flush packet ends the answer.
pub fn listed_ref(out: &mut BytesMut, request: &LsRefs, entry: &AdvertisedRef<'_>) {
    frame(out, |out| {
        out.put_slice(entry.id.to_string().as_bytes());
        out.put_u8(b' ');
        out.put_slice(entry.name.as_bytes());
        if let (true, Some(target)) = (request.symrefs, entry.symref_target) {
            out.put_slice(b" symref-target:");
            out.put_slice(target.as_bytes());
        }
        if let (true, Some(peeled)) = (request.peel, entry.peeled) {
            out.put_slice(b" peeled:");
            out.put_slice(peeled.to_string().as_bytes());
        }
        out.put_u8(b'\n');
    });
}

/// Appends the line of a `HEAD` that stands for `target`, which does not exist; for
/// requests of which [`LsRefs::lists_unborn_head`] is true.
pub fn unborn_head(out: &mut BytesMut, target: &RefName) {
    put_line(out, &[b"unborn HEAD symref-target:", target.as_bytes()]);
}

/// Appends the `acknowledgments` section, if one is due, and says what follows it.
/// `common` are the haves of `fetch` that are also here and may be seen.
///
/// Without wants there is no pack: only a client that waits for `done` may ask so, to
/// learn what is common; any other gets an empty response, as from git.
pub fn acknowledgments(
    out: &mut BytesMut,
    fetch: &Fetch,
    common: &[ObjectId],
    readiness: Readiness,
) -> Next {
    let pack = if fetch.wants.is_empty() { Next::EndOfResponse } else { Next::Pack };
    let silent = fetch.wants.is_empty() && !fetch.wait_for_done;
    if silent || !fetch.negotiates() {
        return pack;
    }
    put_line(out, &[b"acknowledgments"]);
    if common.is_empty() {
        put_line(out, &[b"NAK"]);
    }
    for id in common {
        put_line(out, &[b"ACK ", id.to_string().as_bytes()]);
    }
    if readiness == Readiness::MoreHaves || fetch.wait_for_done {
        flush(out);
        return Next::EndOfResponse;
    }
    put_line(out, &[b"ready"]);
    delim(out);
    pack
}

/// Appends the `shallow-info` section with its delimiter: where the client's history
/// is to end from now on, and where it ends no more. Due when
/// [`Shape::has_shallow_info`](super::super::Shape::has_shallow_info) says so.
pub fn shallow_info(out: &mut BytesMut, shallow: &[ObjectId], unshallow: &[ObjectId]) {
    put_line(out, &[b"shallow-info"]);
    shallow_lines(out, shallow, unshallow);
    delim(out);
}

/// Appends `shallow` and `unshallow` lines, which all versions write alike, without a
/// line feed.
pub fn shallow_lines(out: &mut BytesMut, shallow: &[ObjectId], unshallow: &[ObjectId]) {
    let mut put = |word: &[u8], id: &ObjectId| {
        frame(out, |out| {
            out.put_slice(word);
            out.put_slice(id.to_string().as_bytes());
        });
    };
    shallow.iter().for_each(|id| put(b"shallow ", id));
    unshallow.iter().for_each(|id| put(b"unshallow ", id));
}

/// Appends the header of the section that holds the pack; side-band frames follow, and
/// a flush packet.
pub fn packfile_header(out: &mut BytesMut) {
    put_line(out, &[b"packfile"]);
}
