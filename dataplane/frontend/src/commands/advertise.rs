//! What a server says first: its capabilities and, before protocol v2, every ref.

use bytes::{Bytes, BytesMut};
use gitstratum_git::pktline;
use gitstratum_git::protocol::capabilities::{Advertisement, Offered, Service, advertise_v2};
use gitstratum_git::protocol::{AdvertisedRef, Exchange, Version};

use super::Phase;
use crate::Error;
use crate::conversation::{Conversation, Output, Rounds};
use crate::target::Target;
use crate::view::View;
use gitstratum_core::RefName;

/// Bytes gathered before they are sent on: a million refs never stand in memory twice
/// (bad input 96).
const PIECE_BYTES: usize = 32 * 1024;

/// The capabilities of protocol v2. HTTP puts nothing in front of them, as stock git.
pub(crate) async fn upload_pack_v2(
    conversation: &mut Conversation,
    target: &Target,
) -> Result<(), Error> {
    let mut out = BytesMut::new();
    advertise_v2(target.format, &mut out);
    Ok(conversation.output.send(out.freeze()).await?)
}

/// The refs for a fetch by v0 or v1: `HEAD` first if its branch exists, tags peeled.
pub(crate) async fn upload_pack(
    conversation: &mut Conversation,
    target: &Target,
    view: &View,
    phase: Phase,
) -> Result<u64, Error> {
    let head = view.refs.get(&view.head);
    let exchange = match conversation.rounds {
        Rounds::Stateful => Exchange::Stateful,
        Rounds::Stateless => Exchange::Stateless,
    };
    let service =
        Service::UploadPack { exchange, head_target: head.map(|found| found.name.clone()) };
    let head_name = RefName::head();
    let first = head.map(|found| AdvertisedRef {
        name: &head_name,
        id: found.target,
        peeled: found.peeled,
        symref_target: Some(&found.name),
    });
    let lead = service_line(phase, "git-upload-pack");
    let refs = first.into_iter().chain(listed(view));
    list(conversation, target, service, lead, refs).await
}

/// The refs for a push: no `HEAD`, nothing peeled, hidden ones left out. Push has no v2.
pub(crate) async fn receive_pack(
    conversation: &mut Conversation,
    target: &Target,
    view: &View,
    phase: Phase,
) -> Result<u64, Error> {
    let service = Service::ReceivePack(Offered { push_options: true });
    let lead = service_line(phase, "git-receive-pack");
    list(conversation, target, service, lead, listed(view)).await
}

fn listed(view: &View) -> impl Iterator<Item = AdvertisedRef<'_>> {
    view.refs.iter().map(|each| AdvertisedRef {
        name: &each.name,
        id: each.target,
        peeled: each.peeled,
        symref_target: None,
    })
}

/// Over HTTP a v0 advertisement begins by naming its service (gitprotocol-http).
fn service_line(phase: Phase, service: &str) -> BytesMut {
    let mut out = BytesMut::new();
    if phase == Phase::Advertise {
        pktline::text(&mut out, &format!("# service={service}"));
        pktline::flush(&mut out);
    }
    out
}

async fn list<'a>(
    conversation: &mut Conversation,
    target: &Target,
    service: Service,
    lead: BytesMut,
    refs: impl Iterator<Item = AdvertisedRef<'a>>,
) -> Result<u64, Error> {
    let version = match service {
        Service::UploadPack { .. } => conversation.version,
        Service::ReceivePack(_) => conversation.version.for_receive_pack(),
    };
    debug_assert_ne!(version, Version::V2, "v2 advertises no refs");
    let mut out = lead;
    let mut advertisement = Advertisement::begin(version, service, target.format, &mut out);
    let mut count = 0;
    for entry in refs {
        advertisement.push(&entry, &mut out);
        count += 1;
        send_full(&mut conversation.output, &mut out).await?;
    }
    advertisement.finish(&mut out);
    conversation.output.send(out.freeze()).await?;
    Ok(count)
}

/// Sends what has been gathered once it fills a piece.
pub(super) async fn send_full(output: &mut Output, out: &mut BytesMut) -> Result<(), Error> {
    if out.len() >= PIECE_BYTES {
        let piece: Bytes = out.split().freeze();
        output.send(piece).await?;
    }
    Ok(())
}
