use std::time::Duration;

use tokio::time::Instant;

use super::{Input, InputError};

/// The least that a client in the middle of a message has to send, in bytes a second and
/// taken over as long as it may be silent: the pace that a pack must have (promises §6). A
/// weak line has many times that; a client that drips has not (bad input 5, P-L4).
pub(crate) const BYTES_PER_SECOND: u64 = 1_024;

/// How fast the message comes that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// When it is looked at next.
    pub(super) until: Instant,
    /// What has to be received by then.
    due: u64,
}

impl Pace {
    /// From the message's first byte on.
    pub(super) fn begin(input: &Input) -> Self {
        let span = input.idle();
        let due = input.received().saturating_add(span_bytes(span));
        Self { until: Instant::now() + span, due }
    }

    /// Another span for a client that was fast enough in the last one.
    pub(super) fn renewed(self, input: &Input) -> Result<Self, InputError> {
        if input.received() < self.due {
            return Err(InputError::Slow {
                bytes_per_second: BYTES_PER_SECOND,
                span: input.idle(),
            });
        }
        Ok(Self::begin(input))
    }
}

fn span_bytes(span: Duration) -> u64 {
    BYTES_PER_SECOND.saturating_mul(span.as_secs())
}
