//! Whether a replica may take part after a start (S23): pure decisions.
//!
//! Every start of a replica has a number, kept on its disk and shown to its peers before it
//! votes or acknowledges anything. A disk that has an older number than a peer was shown
//! was rolled back or emptied: what the replica has promised since is gone. Such a replica
//! is destroyed; its node gets another one, of a new life, that learns everything again.

/// A start of a node's replica: of which life of it, and which start in that life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Start {
    pub(crate) life: u64,
    pub(crate) number: u64,
}

/// What a peer says of a replica, from its disk and before its own admission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// The last start that it was shown.
    pub(crate) seen: Start,
    /// Whether it has state of the group itself.
    pub(crate) holds: bool,
}

/// What a replica's own disk says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    /// Its last start.
    pub(crate) start: Start,
    /// Whether it has state of the group.
    pub(crate) holds: bool,
}

/// What is to become of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Too few peers have answered.
    Wait,
    /// It is sound: this start is to be made durable and shown.
    Admit(Start),
    /// It has lost what it promised: a new life begins.
    Destroy {
        /// Higher than that of any replica of the node that anybody knows.
        life: u64,
    },
    /// Its disk has nothing, and may be one that was emptied: a new life begins. What it
    /// knows of others' starts it was shown since, and stays.
    Renew {
        /// The first that no replica of the node has had, as far as is known.
        life: u64,
    },
}

/// Answers of peers that make a majority of `voters` together with the one who asks.
pub(crate) const fn answers_needed(voters: usize) -> usize {
    voters / 2
}

/// Whether a disk without anything may be one that was emptied: the group has begun, and not
/// all of `voters` have said that they never saw a start of this replica.
pub(crate) fn is_doubtful(own: Own, words: &[Word], voters: usize) -> bool {
    let is_begun = words.iter().any(|word| word.holds);
    own == Own::default() && is_begun && words.len() + 1 < voters
}

/// Decides by what is on the disk and what the peers say. A lower number destroys; an equal
/// one does not: the start before may have ended before it was shown. One in doubt is taken
/// for lost: a new life costs a change of the members, and no promise.
pub(crate) fn judge(own: Own, words: &[Word], voters: usize) -> Verdict {
    if words.len() < answers_needed(voters) {
        return Verdict::Wait;
    }
    let Own { start, .. } = own;
    let seen = words.iter().map(|word| word.seen).max().unwrap_or_default();
    if start < seen {
        return Verdict::Destroy { life: seen.life.max(start.life) + 1 };
    }
    if is_doubtful(own, words, voters) {
        return Verdict::Renew { life: 1 };
    }
    Verdict::Admit(Start { number: start.number + 1, ..start })
}

/// How a node came to have a replica of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It may be one of those that the group was begun with.
    Founding,
    /// Others had it before: the first replica is a later one already. So it vouches for nobody
    /// whose start it was not shown, for those before it may have seen a later one.
    Later,
}

/// The same, by how the replica came to be. A later one that has nothing needs nobody's word: it is
/// a new one, whatever was here before.
pub(crate) fn judge_placed(own: Own, words: &[Word], voters: usize, place: Place) -> Verdict {
    if place == Place::Founding || own.holds {
        return judge(own, words, voters);
    }
    let seen = words.iter().map(|word| word.seen.life).max().unwrap_or_default();
    Verdict::Renew { life: seen.max(own.start.life) + 1 }
}

#[cfg(test)]
mod tests;
