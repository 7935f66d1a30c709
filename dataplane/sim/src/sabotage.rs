//! Wrongs that the product does when told to, and what has to notice each (promises §3).

/// A wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// As `sabotage!` in the sources has it.
    pub name: &'static str,
    /// What is done wrong.
    pub wrong: &'static str,
}

const fn switch(name: &'static str, wrong: &'static str) -> Switch {
    Switch { name, wrong }
}

/// Every wrong that has a place in the sources.
pub const SWITCHES: &[Switch] = &[
    switch(
        "ack-before-fsync",
        "an object node acknowledges a segment that is not synced (P-D1, S4)",
    ),
    switch(
        "ack-before-log-fsync",
        "a voter acknowledges log entries that are not synced (P-D1, S13)",
    ),
    switch("go-on-after-failed-sync", "an object node goes on after a sync failed (P-D5)"),
    switch("ack-at-w1", "one owner is enough for a push (P-D1, S19)"),
    switch("accept-closed-session", "a push of a closed session is applied (S10, S11)"),
    switch("accept-below-floor", "a push whose number is below the floor is applied (S10, S11)"),
    switch(
        "accept-lower-incarnation",
        "an owner is listed under an incarnation that is over (S23)",
    ),
    switch("serve-local-read", "reads are answered without asking who leads (P-C4, P-C5)"),
    switch("held-refs-not-revalidated", "refs are answered as they were held (P-C5, S31)"),
    switch("skip-hash-check", "bytes are served that nothing vouches for (P-D4, P-I1, S29)"),
    switch(
        "owners-from-ring",
        "a pack is listed with the ring's owners, not with those that have it (S19)",
    ),
    switch("apply-twice", "a repeated push is applied again (P-C3, S11)"),
    switch("ok-then-drop", "a ref is answered ok and not moved (P-D1)"),
    switch("partial-atomic", "what can be done of an atomic push is done (P-C2)"),
    switch("serve-unreached-member", "a member that no ref reaches is served (S24)"),
    switch("drop-without-counter", "a drop run starts and no push has to check anew (S15)"),
    switch("purge-under-session", "a replaced pack is purged under a session that uses it (S30)"),
    switch("look-up-across-repositories", "packs and refs of other repositories count (P-S2)"),
];

/// The wrong called `name`.
pub fn find(name: &str) -> Option<&'static Switch> {
    SWITCHES.iter().find(|switch| switch.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Names between `sabotage!("` and `")` in all sources below `folder`.
    fn gather(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(&path, names);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let parts = text.split("sabotage!(\"").skip(1);
                names.extend(parts.filter_map(|part| Some(part.split_once('"')?.0.to_owned())));
            }
        }
    }

    #[test]
    fn every_wrong_in_the_sources_is_listed_and_every_listed_one_is_there() {
        let mut placed = BTreeSet::new();
        for room in ["client", "consensus", "frontend", "metadata", "object", "store", "agent"] {
            gather(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(room), &mut placed);
        }
        let listed: BTreeSet<String> = SWITCHES.iter().map(|each| each.name.to_owned()).collect();
        assert_eq!(placed, listed);
    }
}
