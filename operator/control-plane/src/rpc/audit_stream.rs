use gitstratum_process::Drain;
use gitstratum_proto::control::v1::{AuditLine, AuditRequest};
use tokio::sync::mpsc;
use tonic::Status;

use super::SEND_DEADLINE;
use crate::audit::{self, PAGE_LINES};
use crate::call::Call;
use crate::error::Error;
use crate::wire;

/// Lines that wait for a slow reader.
pub(crate) const QUEUE_LINES: usize = 64;

/// Sends the audit lines behind `asked.after_index` that are not older than
/// `asked.since_millis`, then, to a follower, every new one until it goes or `drain` starts.
pub(crate) async fn run(
    call: &Call,
    asked: &AuditRequest,
    reader: mpsc::Sender<Result<AuditLine, Status>>,
    drain: Drain,
) -> Result<(), Error> {
    let mut applied = call.plane.applied();
    let mut after = asked.after_index;
    loop {
        applied.borrow_and_update();
        let page =
            call.plane.read_rows(move |_, rows| audit::page(rows, after, PAGE_LINES)).await??;
        let is_last = page.len() < PAGE_LINES;
        for line in page {
            after = line.index;
            if line.wall.0 < asked.since_millis {
                continue;
            }
            tokio::select! {
                biased;
                () = drain.started() => return Ok(()),
                sent = reader.send_timeout(Ok(wire::audit_line(line)), SEND_DEADLINE) => {
                    if sent.is_err() { return Ok(()) }
                }
            }
        }
        if is_last && !asked.follow {
            return Ok(());
        }
        if is_last {
            tokio::select! {
                biased;
                () = drain.started() => return Ok(()),
                () = reader.closed() => return Ok(()),
                news = applied.changed() => if news.is_err() { return Ok(()) },
            }
        }
    }
}
