use gitstratum_core::{ObjectId, ObjectKind};
use proptest::prelude::*;

use super::histories::{pick, recipes};
use super::repo::{Push, Repo, fetch, run};
use crate::plan::Limits;
use crate::planner::{PlanAnswer, PlanError, Planner};

/// Whether each of `ids` is served when it is all that is wanted.
async fn served(repo: &Repo, planner: &impl Planner, id: ObjectId) -> bool {
    match planner.plan(repo.view(), fetch(&[id], &[])).await.unwrap() {
        PlanAnswer::Refused(refused) => {
            assert_eq!(refused, id);
            false
        }
        PlanAnswer::Round { plan, .. } => {
            let sent = repo.sent(&plan.unwrap());
            assert!(sent.contains(&id) || repo.objects.kind(&id) == ObjectKind::Commit);
            true
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn s24_what_refs_and_replaced_tips_reach_is_served_and_nothing_else(recipe in recipes()) {
        let repo = recipe.cook();
        let wantable = repo.wantable();
        run(async {
            let planner = repo.planner(Limits::default());
            for id in repo.objects.order() {
                let expected = wantable.contains(id);
                assert_eq!(served(&repo, &planner, *id).await, expected, "{:?}", repo.objects.get(id));
            }
        });
    }

    #[test]
    fn s16_the_first_id_that_no_ref_reaches_is_told(
        recipe in recipes(),
        asked in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..6), 8),
    ) {
        let repo = recipe.cook();
        let reachable = repo.reachable();
        run(async {
            let planner = repo.planner(Limits::default());
            for numbers in asked {
                let ids = pick(repo.objects.order(), &numbers);
                let expected = ids.iter().find(|id| !reachable.contains(id)).copied();
                let told = planner.first_unreachable(repo.view(), ids).await.unwrap();
                assert_eq!(told, expected);
            }
        });
    }

    #[test]
    fn s24_a_walk_over_its_budget_is_busy_and_never_wrong(
        recipe in recipes(),
        steps_max in 0u64..12,
        entries_max in 0u64..24,
    ) {
        let repo = recipe.cook();
        let wantable = repo.wantable();
        run(async {
            let limits = Limits { steps_max, entries_max, ..Limits::default() };
            let planner = repo.planner(limits);
            for id in repo.objects.order() {
                match planner.plan(repo.view(), fetch(&[*id], &[])).await {
                    Err(PlanError::Budget { .. }) => {}
                    Err(error) => panic!("{error}"),
                    Ok(PlanAnswer::Refused(_)) => assert!(!wantable.contains(id)),
                    Ok(PlanAnswer::Round { .. }) => assert!(wantable.contains(id)),
                }
            }
        });
    }
}

/// A commit of one file on `parents`.
fn commit(repo: &mut Repo, text: &str, parents: &[ObjectId]) -> (ObjectId, ObjectId) {
    let blob = repo.objects.blob(text);
    let root = repo.objects.tree(&[("file".to_owned(), blob)]);
    (repo.objects.commit(root, parents, 1_000), blob)
}

#[test]
fn s24_what_only_a_replaced_tip_reaches_is_served_in_its_grace() {
    let mut repo = Repo::default();
    let (kept, _) = commit(&mut repo, "kept", &[]);
    let (replaced, blob) = commit(&mut repo, "replaced", &[kept]);
    repo.push_new(&[kept]);
    repo.push_new(&[replaced]);
    repo.refs.insert("refs/heads/main".to_owned(), kept);
    repo.graced.push(replaced);
    run(async {
        let planner = repo.planner(Limits::default());
        assert!(served(&repo, &planner, replaced).await);
        assert!(served(&repo, &planner, blob).await);
        // What a push rests on knows no grace (S16).
        let told = planner.first_unreachable(repo.view(), vec![blob]).await.unwrap();
        assert_eq!(told, Some(blob));
    });
}

#[test]
fn s24_any_answering_copy_of_an_object_shows_that_it_is_reached() {
    let mut repo = Repo::default();
    let (kept, blob) = commit(&mut repo, "shared", &[]);
    let (deleted, same) = commit(&mut repo, "shared", &[]);
    assert_eq!(blob, same);
    repo.push_new(&[kept]);
    // The second push brings the blob too, and both answer.
    let ids = repo.objects.reach([&deleted]).into_iter().collect();
    repo.push(&Push { ids, ..Push::default() });
    repo.refs.insert("refs/heads/main".to_owned(), kept);
    run(async {
        let planner = repo.planner(Limits::default());
        assert!(!served(&repo, &planner, deleted).await);
        assert!(served(&repo, &planner, blob).await);
        assert_eq!(planner.first_unreachable(repo.view(), vec![blob]).await.unwrap(), None);
    });
}

#[test]
fn s24_what_lies_under_a_tagged_tree_is_served() {
    let mut repo = Repo::default();
    let blob = repo.objects.blob("deep");
    let folder = repo.objects.tree(&[("file".to_owned(), blob)]);
    let root = repo.objects.tree(&[("folder".to_owned(), folder)]);
    let tag = repo.objects.tag(root);
    repo.push_new(&[tag]);
    repo.refs.insert("refs/tags/tree".to_owned(), tag);
    run(async {
        let planner = repo.planner(Limits::default());
        for id in [tag, root, folder, blob] {
            assert!(served(&repo, &planner, id).await);
        }
        let told = planner.first_unreachable(repo.view(), vec![folder, blob]).await.unwrap();
        assert_eq!(told, None);
        let few = repo.planner(Limits { entries_max: 1, ..Limits::default() });
        let busy = few.first_unreachable(repo.view(), vec![blob]).await;
        assert!(matches!(busy, Err(PlanError::Budget { .. })));
    });
}

#[test]
fn s24_a_deletion_ends_what_its_branch_reached() {
    let mut repo = Repo::default();
    let (kept, _) = commit(&mut repo, "kept", &[]);
    let (deleted, blob) = commit(&mut repo, "deleted", &[kept]);
    repo.push_new(&[deleted]);
    repo.refs.insert("refs/heads/main".to_owned(), kept);
    repo.refs.insert("refs/heads/topic".to_owned(), deleted);
    run(async {
        let planner = repo.planner(Limits::default());
        assert!(served(&repo, &planner, blob).await);
        repo.refs.remove("refs/heads/topic");
        assert!(!served(&repo, &planner, blob).await);
        assert!(!served(&repo, &planner, deleted).await);
    });
}

#[test]
fn s6_packs_may_be_listed_children_first() {
    let mut repo = Repo::default();
    let commits = super::ancestry::line(&mut repo, 6);
    for commit in &commits {
        repo.push_new(&[*commit]);
    }
    repo.packs.reverse();
    repo.refs.insert("refs/heads/main".to_owned(), commits[5]);
    run(async {
        let planner = repo.planner(Limits::default());
        for commit in &commits {
            assert!(served(&repo, &planner, *commit).await);
        }
    });
}

#[test]
fn s27_a_graph_of_swapped_packs_is_not_asked() {
    let mut repo = Repo::default();
    let (one, _) = commit(&mut repo, "one", &[]);
    let (two, _) = commit(&mut repo, "two", &[one]);
    repo.push_new(&[one]);
    repo.push_new(&[two]);
    repo.refs.insert("refs/heads/main".to_owned(), two);
    let before = repo.clone();
    let ids = repo.objects.reach([&two]).into_iter().collect();
    let united = repo.store(&Push { ids, ..Push::default() });
    repo.packs = vec![united];
    run(async {
        let planner = repo.planner(Limits::default());
        for repo in [&before, &repo, &before, &repo] {
            let answer = planner.plan(repo.view(), fetch(&[two], &[])).await.unwrap();
            let PlanAnswer::Round { plan: Some(plan), .. } = answer else { panic!("{answer:?}") };
            assert_eq!(repo.sent(&plan), repo.objects.reach([&two]));
        }
    });
}

#[test]
fn s27_questions_of_two_manifests_at_once_do_not_mix() {
    let mut repo = Repo::default();
    let commits = super::ancestry::line(&mut repo, 8);
    for commit in &commits {
        repo.push_new(&[*commit]);
    }
    repo.refs.insert("refs/heads/main".to_owned(), commits[7]);
    let before = repo.clone();
    let ids = repo.objects.reach([&commits[7]]).into_iter().collect();
    let united = repo.store(&Push { ids, ..Push::default() });
    repo.packs = vec![united];
    let expected = repo.objects.reach([&commits[7]]);
    run(async {
        for _ in 0..20 {
            let planner = repo.planner(Limits::default());
            let ask = |repo: &Repo| planner.plan(repo.view(), fetch(&commits[7..], &[]));
            let asked = [ask(&before), ask(&repo), ask(&before), ask(&repo)];
            let answers = futures::future::join_all(asked).await;
            for (answer, repo) in answers.into_iter().zip([&before, &repo, &before, &repo]) {
                let PlanAnswer::Round { plan, .. } = answer.unwrap() else { panic!() };
                assert_eq!(repo.sent(&plan.unwrap()), expected);
            }
        }
    });
}

#[test]
fn s24_each_want_is_judged_before_any_have_is_told() {
    let mut repo = Repo::default();
    let (kept, _) = commit(&mut repo, "kept", &[]);
    let (hidden, _) = commit(&mut repo, "hidden", &[]);
    repo.push_new(&[kept]);
    repo.push_new(&[hidden]);
    repo.refs.insert("refs/heads/main".to_owned(), kept);
    run(async {
        let planner = repo.planner(Limits::default());
        let asked = planner.plan(repo.view(), fetch(&[kept, hidden], &[kept])).await.unwrap();
        assert_eq!(asked, PlanAnswer::Refused(hidden));
        let asked = planner.plan(repo.view(), fetch(&[kept], &[hidden])).await.unwrap();
        let PlanAnswer::Round { acks, .. } = asked else { panic!("{asked:?}") };
        assert!(acks.is_empty(), "a have that is no more reached is not told");
    });
}
