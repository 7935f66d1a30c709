use std::collections::HashSet;

use bytes::BytesMut;
use gitstratum_core::ObjectId;

use super::super::capabilities::put_line;
use super::super::{Exchange, Next, Readiness};
use super::{AckMode, Session};

impl Session {
    /// Appends the answer to a round, or to `done`. `common` are those haves of
    /// [`Session::fetch`] that are here and may be seen; what it does not name is never
    /// acknowledged, and forgotten (bad input 27).
    pub fn answer(
        &mut self,
        common: &[ObjectId],
        readiness: Readiness,
        out: &mut BytesMut,
    ) -> Next {
        self.acknowledge(common, out);
        if self.draft.fetch.done {
            self.answer_done(out)
        } else {
            self.answer_round(readiness, out)
        }
    }

    fn acknowledge(&mut self, common: &[ObjectId], out: &mut BytesMut) {
        let common: HashSet<&ObjectId> = common.iter().collect();
        let new = self.draft.fetch.haves.split_off(self.settled);
        for id in new.into_iter().filter(|id| common.contains(id)) {
            match self.negotiated().acks {
                AckMode::Detailed => put_ack(out, id, b" common"),
                AckMode::Multi => put_ack(out, id, b" continue"),
                AckMode::Single if self.last_common.is_none() => put_ack(out, id, b""),
                AckMode::Single => {}
            }
            self.last_common = Some(id);
            self.draft.fetch.haves.push(id);
        }
        self.settled = self.draft.fetch.haves.len();
    }

    fn answer_done(&self, out: &mut BytesMut) -> Next {
        match self.last_common {
            None => put_line(out, &[b"NAK"]),
            Some(id) if self.negotiated().acks != AckMode::Single => put_ack(out, id, b""),
            Some(_) => {}
        }
        Next::Pack
    }

    /// Only `multi_ack_detailed` can say ready; a client that also asked for `no-done`
    /// then gets the pack at once.
    fn answer_round(&self, readiness: Readiness, out: &mut BytesMut) -> Next {
        let acks = self.negotiated().acks;
        let ready = (acks == AckMode::Detailed && readiness == Readiness::Ready)
            .then_some(self.last_common)
            .flatten();
        if let Some(id) = ready {
            put_ack(out, id, b" ready");
        }
        if acks != AckMode::Single || self.last_common.is_none() {
            put_line(out, &[b"NAK"]);
        }
        match (ready, self.exchange) {
            (Some(id), _) if self.negotiated().no_done => {
                put_ack(out, id, b"");
                Next::Pack
            }
            (_, Exchange::Stateful) => Next::MoreHaves,
            (_, Exchange::Stateless) => Next::EndOfResponse,
        }
    }
}

fn put_ack(out: &mut BytesMut, id: ObjectId, status: &[u8]) {
    put_line(out, &[b"ACK ", id.to_string().as_bytes(), status]);
}
