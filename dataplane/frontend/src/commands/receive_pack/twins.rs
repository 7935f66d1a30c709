use std::collections::{BTreeMap, BTreeSet};

use gitstratum_core::RefName;

use crate::view::Refs;

/// Warnings told about one push at most.
const WARNINGS_MAX: usize = 10;

/// Refs that differ from one of `created` only by the case of their letters: distinct, and a
/// trap where file names have no case (bad input 86).
pub(super) fn warnings<'a>(
    refs: &'a Refs,
    created: impl Iterator<Item = &'a RefName>,
) -> Vec<String> {
    let mut by_folded: BTreeMap<Vec<u8>, BTreeSet<&RefName>> = BTreeMap::new();
    for name in created {
        by_folded.entry(name.as_bytes().to_ascii_lowercase()).or_default().insert(name);
    }
    if by_folded.is_empty() {
        return Vec::new();
    }
    let mut folded = Vec::new();
    for held in refs {
        folded.clear();
        folded.extend(held.name.as_bytes().iter().map(u8::to_ascii_lowercase));
        if let Some(twins) = by_folded.get_mut(folded.as_slice()) {
            twins.insert(&held.name);
        }
    }
    let twins = by_folded.into_values().filter(|twins| twins.len() > 1);
    twins.take(WARNINGS_MAX).map(|twins| warning(&twins)).collect()
}

fn warning(twins: &BTreeSet<&RefName>) -> String {
    let names: Vec<String> = twins.iter().take(WARNINGS_MAX).map(ToString::to_string).collect();
    format!("warning: refs differ only by case: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use gitstratum_core::{ObjectFormat, ObjectId};

    use super::*;
    use crate::view::Ref;

    fn name(branch: &str) -> RefName {
        RefName::branch(branch).unwrap()
    }

    #[test]
    fn bad_input_086_case_twins_are_told_and_nothing_else_is() {
        let target = ObjectId::null(ObjectFormat::Sha1);
        let held = |branch| Ref { name: name(branch), target, peeled: None };
        let refs = Refs::new([held("main"), held("other"), held("Other")]);
        assert!(warnings(&refs, [name("main"), name("fresh")].iter()).is_empty());
        let told = warnings(&refs, [name("Main")].iter());
        assert_eq!(told, ["warning: refs differ only by case: refs/heads/Main, refs/heads/main"]);
        let among = warnings(&Refs::default(), [name("a"), name("A")].iter());
        assert_eq!(among.len(), 1);
        assert!(warnings(&refs, std::iter::empty()).is_empty());
    }
}
