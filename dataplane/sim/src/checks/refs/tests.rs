use super::*;
use crate::git::commit;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn id(name: &str) -> ObjectId {
    commit(None, name).id
}

fn step(name: &str, old: Option<&str>, new: Option<&str>) -> Step {
    Step { name: name.to_owned(), old: old.map(id), new: new.map(id) }
}

fn push(times: (u64, u64), steps: &[Step]) -> Operation {
    Operation::Push { began: at(times.0), acked: Some(at(times.1)), steps: steps.to_vec() }
}

fn unknown(began: u64, steps: &[Step]) -> Operation {
    Operation::Push { began: at(began), acked: None, steps: steps.to_vec() }
}

fn read(times: (u64, u64), shown: &[(&str, &str)]) -> Operation {
    let shown = shown.iter().map(|(name, value)| ((*name).to_owned(), id(value))).collect();
    Operation::Read { began: at(times.0), ended: at(times.1), shown }
}

fn holds(history: &[Operation]) -> bool {
    check(history, "").unwrap().is_ok()
}

#[test]
fn p_c1_calls_one_after_the_other_have_one_order() {
    let made = push((1, 2), &[step("a", None, Some("1"))]);
    let forced = push((3, 4), &[step("a", Some("1"), Some("2"))]);
    let gone = push((5, 6), &[step("a", Some("2"), None)]);
    let history = [made, forced, gone, read((7, 8), &[])];
    assert!(holds(&history));
    assert!(!holds(&[&history[..3], &[read((7, 8), &[("a", "2")])]].concat()), "it was deleted");
}

#[test]
fn p_d1_a_push_that_was_answered_ok_and_dropped_is_seen() {
    let made = push((1, 2), &[step("a", None, Some("1"))]);
    assert!(!holds(&[made, read((3, 4), &[])]));
}

#[test]
fn p_c5_a_listing_that_shows_less_than_an_earlier_one_is_seen() {
    let made = push((1, 9), &[step("a", None, Some("1"))]);
    assert!(holds(&[made.clone(), read((2, 3), &[]), read((4, 5), &[("a", "1")])]));
    assert!(!holds(&[made, read((2, 3), &[("a", "1")]), read((4, 5), &[])]));
}

#[test]
fn p_c2_half_of_an_atomic_push_is_seen() {
    let both = push((1, 4), &[step("a", None, Some("1")), step("b", None, Some("1"))]);
    assert!(holds(&[both.clone(), read((2, 3), &[])]));
    assert!(holds(&[both.clone(), read((2, 3), &[("a", "1"), ("b", "1")])]));
    assert!(!holds(&[both, read((2, 3), &[("a", "1")])]));
}

#[test]
fn p_c2_what_was_refused_must_not_show() {
    assert!(!holds(&[read((2, 3), &[("a", "1")])]), "nobody made it");
}

#[test]
fn p_c3_a_deleted_ref_that_comes_back_is_seen() {
    let made = push((1, 2), &[step("a", None, Some("1"))]);
    let gone = push((3, 4), &[step("a", Some("1"), None)]);
    assert!(!holds(&[made, gone, read((5, 6), &[]), read((7, 8), &[("a", "1")])]));
}

#[test]
fn s11_a_push_that_nobody_knows_of_may_have_happened_or_not_and_late() {
    let made = unknown(1, &[step("a", None, Some("1"))]);
    assert!(holds(&[made.clone(), read((2, 3), &[])]));
    assert!(holds(&[made.clone(), read((2, 3), &[("a", "1")])]));
    assert!(holds(&[made.clone(), read((2, 3), &[]), read((4, 5), &[("a", "1")])]));
    assert!(!holds(&[made, read((2, 3), &[("a", "1")]), read((4, 5), &[])]), "it stays");
}

#[test]
fn p_c1_two_pushes_of_one_old_value_cannot_both_be_done() {
    let one = push((1, 9), &[step("a", None, Some("1"))]);
    let other = push((1, 9), &[step("a", None, Some("2"))]);
    assert!(!holds(&[one, other]));
}

#[test]
fn p_c1_refs_of_other_names_are_left_out() {
    let other = push((1, 2), &[step("b", None, Some("1"))]);
    assert_eq!(check(&[other, read((3, 4), &[])], "a"), Some(Ok(())));
}

/// Draws a history that is right, by doing each call at one moment between its times.
fn drawn(seed: u64) -> Vec<Operation> {
    let mut state = seed;
    let mut below = |end: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end
    };
    let (mut values, mut history) = (BTreeMap::<String, String>::new(), Vec::new());
    for number in 0..300_u64 {
        let moment = 10 * number;
        let times = (moment.saturating_sub(below(40)), moment + below(40));
        let name = ["a", "b", "c"][usize::try_from(below(3)).unwrap()];
        let old = values.get(name).cloned();
        match below(4) {
            0 => {
                let shown: Vec<(&str, &str)> =
                    values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                history.push(read(times, &shown));
            }
            1 if old.is_some() => {
                values.remove(name);
                history.push(push(times, &[step(name, old.as_deref(), None)]));
            }
            _ => {
                let new = number.to_string();
                let steps = [step(name, old.as_deref(), Some(&new))];
                values.insert(name.to_owned(), new);
                history.push(if below(8) == 0 {
                    unknown(times.0, &steps)
                } else {
                    push(times, &steps)
                });
            }
        }
    }
    history
}

#[test]
fn p_c1_drawn_histories_hold_and_hold_no_more_when_one_listing_is_changed() {
    for seed in 0..20 {
        let history = drawn(seed);
        assert_eq!(check(&history, ""), Some(Ok(())), "seed {seed}");
        let mut bad = history.clone();
        let last = bad.iter_mut().rev().find_map(|each| match each {
            Operation::Read { shown, .. } => Some(shown),
            Operation::Push { .. } => None,
        });
        last.unwrap().insert("a".to_owned(), id("never pushed"));
        assert!(check(&bad, "").is_some_and(|checked| checked.is_err()), "seed {seed}");
    }
}
