//! A push.

use std::sync::Arc;

use gitstratum_core::ErrorKind;

use crate::Error;
use crate::commands::{Phase, Served};
use crate::conversation::Conversation;
use crate::frontend::Frontend;
use crate::target::Target;

/// Advertises, takes the commands and the pack, reports; as much of it as `phase` says.
pub(crate) async fn run(
    _frontend: &Arc<Frontend>,
    _conversation: &mut Conversation,
    _target: &Target,
    _phase: Phase,
) -> Result<Served, Error> {
    Err(Error::new(ErrorKind::Unavailable, "not built in yet"))
}
