//! What no push may do, whoever pushes: refused here at once. The leader decides the rest.

use gitstratum_git::protocol::receive_pack::{Command, Push};

/// Git's words for a ref that it hides.
const HIDDEN: &str = "deny updating a hidden ref";
/// Git's words for a command of an atomic push in which another one fails.
pub(super) const ATOMIC: &str = "atomic push failure";

/// For each command the reason why it is refused, if it is.
pub(super) fn refusals(push: &Push) -> Vec<Option<String>> {
    if let Some(refusal) = &push.refusal {
        return vec![Some(refusal.to_string()); push.commands.len()];
    }
    let mut refusals: Vec<Option<String>> = push.commands.iter().map(refusal).collect();
    if push.capabilities.atomic && refusals.iter().any(Option::is_some) {
        for each in &mut refusals {
            each.get_or_insert_with(|| ATOMIC.to_owned());
        }
    }
    refusals
}

fn refusal(command: &Command) -> Option<String> {
    match &command.name {
        Err(error) => Some(error.to_string()),
        Ok(name) if name.is_internal() => Some(HIDDEN.to_owned()),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use gitstratum_core::{ObjectFormat, ObjectId, RefName, RefNameError};
    use gitstratum_git::protocol::receive_pack::Refusal;

    use super::*;

    fn command(name: &str) -> Command {
        let id = ObjectId::from_bytes(ObjectFormat::Sha1, &[1; 20]).unwrap();
        let name_checked = match name {
            "HEAD" => Err(RefNameError("not under refs/")),
            name => RefName::parse(name.to_owned()),
        };
        Command {
            old: ObjectId::null(ObjectFormat::Sha1),
            new: id,
            raw_name: Bytes::copy_from_slice(name.as_bytes()),
            name: name_checked,
        }
    }

    fn push(names: &[&str], atomic: bool) -> Push {
        let mut push =
            Push { commands: names.iter().map(|name| command(name)).collect(), ..Push::default() };
        push.capabilities.atomic = atomic;
        push
    }

    #[test]
    fn bad_input_082_and_094_head_and_internal_names_are_refused() {
        let names =
            ["HEAD", "refs/gs/x", "refs/replace/y", "refs/pull/1/head", "refs/heads/a", "a..b"];
        let refusals = refusals(&push(&names, false));
        let words: Vec<&str> = refusals.iter().map(|r| r.as_deref().unwrap_or("-")).collect();
        assert_eq!(words[0], "funny refname: not under refs/");
        assert_eq!(&words[1..4], [HIDDEN; 3]);
        assert_eq!(words[4], "-");
        assert!(words[5].starts_with("funny refname"));
    }

    #[test]
    fn bad_input_095_an_atomic_push_with_one_bad_ref_is_refused_whole() {
        let refusals = refusals(&push(&["refs/heads/a", "refs/gs/x", "refs/heads/b"], true));
        let words: Vec<&str> = refusals.iter().flatten().map(String::as_str).collect();
        assert_eq!(words, [ATOMIC, HIDDEN, ATOMIC]);
    }

    #[test]
    fn bad_input_096_and_091_a_push_that_is_refused_whole_says_why_to_each() {
        let mut push = push(&["refs/heads/a", "refs/heads/b"], false);
        push.refusal = Some(Refusal::Commands(10_000));
        let refusals = refusals(&push);
        assert_eq!(refusals, vec![Some("more than 10000 commands in one push".to_owned()); 2]);
    }
}
