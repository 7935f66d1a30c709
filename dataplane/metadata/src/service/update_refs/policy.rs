//! What no role may do, told from names alone.

use gitstratum_core::RefName;
use gitstratum_proto::metadata::v1::Refusal;

use super::request::Judged;

/// Refuses commands whose names, or whose deletion, are against the rules (bad inputs 81, 82, 93,
/// 94). `head` is the ref of the default branch.
pub(super) fn judge(commands: &mut [Judged], head: &[u8]) {
    for command in commands {
        if let Some(why) = against(command, head) {
            command.refuse(Refusal::Policy, why);
        }
    }
}

fn against(command: &Judged, head: &[u8]) -> Option<&'static str> {
    let Some(name) = &command.name else { return Some("funny refname") };
    if *name == RefName::head() {
        return Some("funny refname");
    }
    if name.is_internal() {
        return Some("the namespace is reserved");
    }
    if command.new.is_none() && name.as_bytes() == head {
        return Some("the default branch cannot be deleted");
    }
    None
}
