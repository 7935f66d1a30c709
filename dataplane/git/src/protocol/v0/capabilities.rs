use gitstratum_core::ObjectFormat;

use super::super::Error;
use super::super::fetch::Draft;
use super::super::line::{check_format, words};
use crate::pktline::SideBand;

/// How haves are acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckMode {
    /// The first common one, once.
    #[default]
    Single,
    /// `multi_ack`: every common one, with `continue`.
    Multi,
    /// `multi_ack_detailed`: every common one with `common`, and `ready` when it is
    /// enough.
    Detailed,
}

/// What the client asked for behind its first want, as far as it guides the
/// conversation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Negotiated {
    pub(super) acks: AckMode,
    pub(super) no_done: bool,
    pub(super) filter: bool,
}

/// Reads the capability list of the first want. Unknown words are passed over, as git
/// does: v0 has no other way to grow.
pub(super) fn negotiate(
    list: &[u8],
    format: ObjectFormat,
    draft: &mut Draft,
) -> Result<Negotiated, Error> {
    let mut negotiated = Negotiated::default();
    draft.fetch.side_band = SideBand::None;
    for word in words(list) {
        match word {
            b"multi_ack_detailed" => negotiated.acks = AckMode::Detailed,
            b"multi_ack" if negotiated.acks == AckMode::Single => negotiated.acks = AckMode::Multi,
            b"no-done" => negotiated.no_done = true,
            b"filter" => negotiated.filter = true,
            _ => shape_word(word, format, draft)?,
        }
    }
    Ok(negotiated)
}

fn shape_word(word: &[u8], format: ObjectFormat, draft: &mut Draft) -> Result<(), Error> {
    let fetch = &mut draft.fetch;
    match word {
        b"thin-pack" => fetch.shape.thin_pack = true,
        b"ofs-delta" => fetch.shape.ofs_delta = true,
        b"include-tag" => fetch.shape.include_tag = true,
        b"no-progress" => fetch.progress = false,
        b"side-band-64k" => fetch.side_band = SideBand::Large,
        b"side-band" if fetch.side_band == SideBand::None => fetch.side_band = SideBand::Small,
        b"deepen-relative" => draft.deepen_relative(),
        _ => {
            if let Some(name) = word.strip_prefix(b"object-format=") {
                check_format(format, name)?;
            }
        }
    }
    Ok(())
}
