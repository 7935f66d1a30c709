//! `ls-refs` of protocol v2.

use std::sync::Arc;

use bytes::BytesMut;
use gitstratum_core::RefName;
use gitstratum_git::pktline;
use gitstratum_git::protocol::AdvertisedRef;
use gitstratum_git::protocol::v2::{LsRefs, listed_ref, unborn_head};

use super::Served;
use super::advertise::send_full;
use crate::Error;
use crate::conversation::Conversation;
use crate::frontend::Frontend;
use crate::metric_names::Operation;
use crate::target::Target;
use crate::view::{Purpose, Ref, View};

/// Lists what `request` asks for, as stock git would, in order of names, `HEAD` first.
pub(super) async fn run(
    frontend: &Arc<Frontend>,
    conversation: &mut Conversation,
    target: &Target,
    request: &LsRefs,
) -> Result<Served, Error> {
    let caller = Arc::clone(&conversation.caller);
    let view = frontend.views.current(&caller, target, Purpose::Fetch).await?;
    let mut served = Served::new(Operation::LsRefs);
    let mut out = BytesMut::new();
    served.refs += list_head(&view, request, &mut out);
    for each in selected(&view, request).into_iter().flatten() {
        let entry = AdvertisedRef {
            name: &each.name,
            id: each.target,
            peeled: each.peeled,
            symref_target: None,
        };
        listed_ref(&mut out, request, &entry);
        served.refs += 1;
        send_full(&mut conversation.output, &mut out).await?;
    }
    pktline::flush(&mut out);
    conversation.output.send(out.freeze()).await?;
    Ok(served)
}

fn list_head(view: &View, request: &LsRefs, out: &mut BytesMut) -> u64 {
    let head = RefName::head();
    if !request.matches(&head) {
        return 0;
    }
    let Some(target) = view.refs.get(&view.head) else {
        if request.lists_unborn_head() {
            unborn_head(out, &view.head);
        }
        return 0;
    };
    let entry = AdvertisedRef {
        name: &head,
        id: target.target,
        peeled: target.peeled,
        symref_target: Some(&view.head),
    };
    listed_ref(out, request, &entry);
    1
}

/// The runs of refs that are asked for, in order and without overlap: time linear in
/// the answer, whatever the number of prefixes (bad input 18).
fn selected<'a>(view: &'a View, request: &LsRefs) -> Vec<&'a [Ref]> {
    let Some(prefixes) = &request.prefixes else { return vec![view.refs.with_prefix(b"")] };
    let mut sorted: Vec<&[u8]> = prefixes.iter().map(AsRef::as_ref).collect();
    sorted.sort_unstable();
    // A prefix of a prefix comes right before it: one that begins with the last kept is
    // answered by that one already.
    sorted.dedup_by(|next, kept| next.starts_with(kept));
    sorted.into_iter().map(|prefix| view.refs.with_prefix(prefix)).collect()
}

#[cfg(test)]
mod tests;
