use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use gitstratum_core::{ObjectId, ObjectKind};
use proptest::prelude::*;

use super::histories::{pick, recipes};
use super::repo::{Push, Repo, run};
use crate::plan::Limits;
use crate::planner::{Line, PlanError, Planner};

/// Longest that a test waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// `count` commits in a line, older first.
pub(super) fn line(repo: &mut Repo, count: usize) -> Vec<ObjectId> {
    let mut commits: Vec<ObjectId> = Vec::new();
    for number in 0..count {
        let blob = repo.objects.blob(&format!("line {number}"));
        let root = repo.objects.tree(&[("file".to_owned(), blob)]);
        let parents: Vec<_> = commits.last().copied().into_iter().collect();
        commits.push(repo.objects.commit(root, &parents, 1_000 + number as u64));
    }
    commits
}

/// A pack with what `tips` reach and the repository has not, newest first.
fn overlay(repo: &Repo, tips: &[ObjectId]) -> Push {
    let new = &repo.objects.reach(tips) - &repo.members();
    let ids = repo.objects.order().iter().rev().copied().filter(|id| new.contains(id)).collect();
    Push { ids, ..Push::default() }
}

#[test]
fn s16_ancestry_of_a_push_of_several_commits_is_told() {
    let mut repo = Repo::default();
    let commits = line(&mut repo, 4);
    repo.push_new(&commits[..1]);
    repo.refs.insert("refs/heads/main".to_owned(), commits[0]);
    let pack = repo.store(&overlay(&repo, &commits));
    let (answers, answer) = mpsc::channel();
    // A thread of its own: what never ends must not take the other tests with it.
    std::thread::spawn(move || {
        run(async {
            let planner = repo.planner(Limits::default());
            let line = Line { old: commits[0], new: commits[3] };
            let told = planner.is_ancestor(repo.view(), line, Some(pack)).await;
            answers.send(told.unwrap()).unwrap();
        });
    });
    assert!(answer.recv_timeout(PATIENCE).expect("it ends"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn s16_an_ancestor_is_what_a_walk_finds_also_through_a_pack_that_is_not_listed(
        recipe in recipes(),
        pushed in any::<u8>(),
        steps_max in prop_oneof![Just(u64::MAX), 0u64..8],
    ) {
        let mut repo = recipe.cook();
        let commits = repo.objects.of_kind(ObjectKind::Commit);
        let tips = pick(&commits, &[pushed]);
        let pack = repo.store(&overlay(&repo, &tips));
        // Storing makes what the pack brings a member: all of it is known from here on.
        let known: BTreeSet<_> = repo.members();
        run(async {
            let planner = repo.planner(Limits { steps_max, ..Limits::default() });
            for old in &commits {
                for new in &commits {
                    let line = Line { old: *old, new: *new };
                    let pack = Some(pack.clone());
                    let told = planner.is_ancestor(repo.view(), line, pack).await;
                    let reached = repo.objects.reach([new]);
                    match told {
                        Err(PlanError::Budget { .. }) => prop_assert!(steps_max < u64::MAX),
                        told => prop_assert_eq!(
                            told.unwrap(),
                            old == new || (known.contains(new) && reached.contains(old))
                        ),
                    }
                }
            }
            Ok(())
        })?;
    }
}

#[test]
fn s16_what_is_no_commit_has_no_ancestry() {
    let mut repo = Repo::default();
    let commits = line(&mut repo, 2);
    let tag = repo.objects.tag(commits[1]);
    repo.push_new(&[tag]);
    let tree = repo.objects.get(&commits[0]).links[0];
    run(async {
        let planner = repo.planner(Limits::default());
        for (old, new) in [(commits[0], tag), (tag, commits[1]), (tree, commits[0])] {
            let told = planner.is_ancestor(repo.view(), Line { old, new }, None).await;
            assert!(!told.unwrap());
        }
    });
}
