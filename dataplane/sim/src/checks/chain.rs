//! P-C1, P-C3, P-C5, P-D1: a branch without force is an append-only list of its own order.
//! Every acknowledged push is in it once, no refused one is, and who reads later sees no less.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_core::ObjectId;

use crate::git::Pushed;
use crate::workload::History;

/// Compares what clients saw with the chain that ends with `tip`.
pub(crate) fn check(history: &History, tip: Option<ObjectId>) -> Result<()> {
    let places = places(history, tip)?;
    for (id, push) in &history.pushes {
        match (&push.outcome, places.get(id)) {
            (Some(Pushed::Acked), None) => {
                anyhow::bail!("{id} was acknowledged at {:?} and is lost", push.ended)
            }
            (Some(Pushed::Refused(why)), Some(_)) => {
                anyhow::bail!("{id} was refused ({why}) and is there")
            }
            _ => {}
        }
    }
    in_time(history, &places)
}

/// Every commit of the chain, with its place, from 1.
fn places(history: &History, tip: Option<ObjectId>) -> Result<BTreeMap<ObjectId, usize>> {
    let (mut chain, mut next) = (Vec::new(), tip);
    while let Some(id) = next {
        let push = history.pushes.get(&id);
        let push = push.with_context(|| format!("{id} is on the branch and nobody pushed it"))?;
        chain.push(id);
        ensure!(chain.len() <= history.pushes.len(), "the branch is a cycle");
        next = push.parent;
    }
    Ok(chain.into_iter().rev().zip(1..).collect())
}

/// Whether each read shows at least what was acknowledged, or read, before it began.
fn in_time(history: &History, places: &BTreeMap<ObjectId, usize>) -> Result<()> {
    let mut known: Vec<(Duration, usize)> = Vec::new();
    for push in history.pushes.iter().filter(|(_, push)| push.outcome == Some(Pushed::Acked)) {
        known.push((push.1.ended, places.get(push.0).copied().unwrap_or_default()));
    }
    let mut reads = Vec::new();
    for read in &history.reads {
        let place = match read.tip {
            None => 0,
            Some(tip) => *places.get(&tip).with_context(|| {
                format!("{tip} was read at {:?} through {} and is lost", read.ended, read.node)
            })?,
        };
        known.push((read.ended, place));
        reads.push((read.began, place, read));
    }
    known.sort_unstable();
    reads.sort_by_key(|(began, ..)| *began);
    let (mut least, mut before) = (0, known.into_iter().peekable());
    for (began, place, read) in reads {
        while let Some((_, place)) = before.next_if(|(ended, _)| *ended < began) {
            least = least.max(place);
        }
        ensure!(
            place >= least,
            "a read through {} at {:?} shows commit {place} of the branch, after {least} was known",
            read.node,
            read.began
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gitstratum_core::NodeId;

    use super::*;
    use crate::git::commit;
    use crate::workload::{Push, Read};

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Pushes one after the other, a second each.
    fn pushed(outcomes: &[Pushed]) -> (History, Vec<ObjectId>) {
        let (mut history, mut ids) = (History::default(), Vec::<ObjectId>::new());
        for (number, outcome) in outcomes.iter().enumerate() {
            let parent = ids.last().copied();
            let id = commit(parent, &number.to_string()).id;
            let outcome = Some(outcome.clone());
            history.pushes.insert(id, Push { parent, outcome, ended: at(number as u64 + 1) });
            ids.push(id);
        }
        (history, ids)
    }

    fn read(history: &mut History, began: u64, tip: Option<ObjectId>) {
        let (began, ended) = (at(began), at(began + 1));
        history.reads.push(Read { began, ended, node: NodeId(1), tip });
    }

    #[test]
    fn p_d1_an_acknowledged_push_that_is_lost_is_seen() {
        let (history, ids) = pushed(&[Pushed::Acked, Pushed::Acked]);
        assert!(check(&history, Some(ids[1])).is_ok());
        let error = check(&history, Some(ids[0])).unwrap_err().to_string();
        assert!(error.contains("is lost"), "{error}");
    }

    #[test]
    fn p_c1_a_refused_push_that_is_there_is_seen_and_an_unknown_one_may_be() {
        let refused = Pushed::Refused("no".to_owned());
        let (history, ids) = pushed(&[Pushed::Acked, refused]);
        assert!(check(&history, Some(ids[0])).is_ok());
        assert!(check(&history, Some(ids[1])).is_err());
        let (history, ids) = pushed(&[Pushed::Acked, Pushed::Unknown(String::new())]);
        assert!(check(&history, Some(ids[0])).is_ok());
        assert!(check(&history, Some(ids[1])).is_ok());
    }

    #[test]
    fn p_c5_a_read_that_shows_less_than_was_known_is_seen() {
        let (mut history, ids) = pushed(&[Pushed::Acked, Pushed::Acked]);
        read(&mut history, 3, Some(ids[1]));
        assert!(check(&history, Some(ids[1])).is_ok());
        read(&mut history, 5, Some(ids[0]));
        assert!(check(&history, Some(ids[1])).is_err());
    }

    #[test]
    fn p_c5_what_was_read_once_must_stay() {
        let unknown = Pushed::Unknown(String::new());
        let (mut history, ids) = pushed(&[Pushed::Acked, unknown]);
        read(&mut history, 3, Some(ids[1]));
        assert!(check(&history, Some(ids[1])).is_ok());
        assert!(check(&history, Some(ids[0])).is_err());
    }
}
