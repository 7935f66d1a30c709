use gitstratum_core::{ObjectId, ObjectKind};
use proptest::prelude::*;

use super::ancestry::line;
use super::histories::{pick, recipes};
use super::model::Ids;
use super::repo::{Push, Repo, fetch, run};
use crate::plan::Limits;
use crate::planner::{FetchPlan, PlanAnswer, PlanError, PlanRequest, Planner, Shape};

fn planned(answer: PlanAnswer) -> (Vec<ObjectId>, FetchPlan) {
    match answer {
        PlanAnswer::Round { acks, plan: Some(plan), .. } => (acks, plan),
        other => panic!("{other:?}"),
    }
}

/// What of `haves` the client is told to be common.
fn common(repo: &Repo, haves: &[ObjectId]) -> Vec<ObjectId> {
    let wantable = repo.wantable();
    let is_commit =
        |id: &ObjectId| repo.objects.kind(&repo.objects.peel(*id)) == ObjectKind::Commit;
    haves.iter().copied().filter(|id| wantable.contains(id) && is_commit(id)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn s7_what_is_sent_is_what_is_wanted_less_what_is_held(
        recipe in recipes(),
        rounds in proptest::collection::vec(
            (
                proptest::collection::vec(any::<u8>(), 1..4),
                proptest::collection::vec(any::<u8>(), 0..5),
            ),
            6,
        ),
    ) {
        let repo = recipe.cook();
        let wantable: Vec<ObjectId> = repo.wantable().into_iter().collect();
        run(async {
            let planner = repo.planner(Limits::default());
            for (wants, haves) in rounds {
                let (wants, haves) = (pick(&wantable, &wants), pick(repo.objects.order(), &haves));
                if wants.is_empty() {
                    continue;
                }
                let answer = planner.plan(repo.view(), fetch(&wants, &haves)).await.unwrap();
                let (acks, plan) = planned(answer);
                assert_eq!(acks, common(&repo, &haves));
                let sent = repo.sent(&plan);
                let wanted = repo.objects.reach(&wants);
                assert!(sent.is_subset(&wanted), "nothing that no want reaches (S24)");
                let claimed: Ids = haves.into_iter().collect();
                let missing = &(&(&wanted - &repo.objects.reach(&acks)) - &sent) - &claimed;
                assert!(missing.is_empty(), "{missing:?} of {wants:?} is not sent");
            }
        });
    }

    #[test]
    fn s27_a_plan_over_its_budget_is_busy_and_never_another(
        recipe in recipes(),
        wants in proptest::collection::vec(any::<u8>(), 1..4),
        haves in proptest::collection::vec(any::<u8>(), 0..4),
        depth in 0u32..4,
        steps_max in 0u64..16,
    ) {
        let repo = recipe.cook();
        let wantable: Vec<ObjectId> = repo.wantable().into_iter().collect();
        let (wants, haves) = (pick(&wantable, &wants), pick(repo.objects.order(), &haves));
        let shape = Shape { depth, ..Shape::default() };
        let request = PlanRequest { shape, ..fetch(&wants, &haves) };
        let (bounded, whole) = run(async {
            let bounded = repo.planner(Limits { steps_max, ..Limits::default() });
            let whole = repo.planner(Limits::default());
            let whole = whole.plan(repo.view(), request.clone()).await.unwrap();
            (bounded.plan(repo.view(), request).await, whole)
        });
        match bounded {
            Err(PlanError::Budget { .. }) => {}
            bounded => prop_assert_eq!(bounded.unwrap(), whole),
        }
    }

    #[test]
    fn s27_a_round_is_ready_when_every_want_reaches_what_is_common(
        recipe in recipes(),
        wants in proptest::collection::vec(any::<u8>(), 1..4),
        haves in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let repo = recipe.cook();
        let wantable = repo.wantable().into_iter();
        let commits: Vec<_> =
            wantable.filter(|id| repo.objects.kind(id) == ObjectKind::Commit).collect();
        let (wants, haves) = (pick(&commits, &wants), pick(repo.objects.order(), &haves));
        let held = common(&repo, &haves);
        let reaches = |want: &ObjectId| {
            let reached = repo.objects.reach([want]);
            held.iter().any(|id| reached.contains(&repo.objects.peel(*id)))
        };
        let expected = !held.is_empty() && wants.iter().all(reaches);
        let request = PlanRequest { done: false, plan_when_ready: true, ..fetch(&wants, &haves) };
        let answer = run(async {
            repo.planner(Limits::default()).plan(repo.view(), request).await.unwrap()
        });
        let PlanAnswer::Round { ready, plan, .. } = answer else { panic!("{answer:?}") };
        prop_assert_eq!(ready, expected);
        prop_assert_eq!(plan.is_some(), expected);
    }
}

#[test]
fn s7_tags_of_sent_commits_come_along_when_asked_for() {
    let mut repo = Repo::default();
    let commits = line(&mut repo, 2);
    let tag = repo.objects.tag(commits[1]);
    let outer = repo.objects.tag(tag);
    let other = repo.objects.tag(commits[0]);
    repo.push_new(&[outer, other]);
    repo.refs.insert("refs/heads/main".to_owned(), commits[1]);
    repo.refs.insert("refs/tags/outer".to_owned(), outer);
    repo.refs.insert("refs/tags/other".to_owned(), other);
    run(async {
        let planner = repo.planner(Limits::default());
        let shape = Shape { include_tag: true, ..Shape::default() };
        let request = PlanRequest { shape, ..fetch(&commits[1..], &commits[..1]) };
        let (_, plan) = planned(planner.plan(repo.view(), request).await.unwrap());
        let extras: Ids = plan.extra_objects.iter().copied().collect();
        assert_eq!(extras, [tag, outer].into_iter().collect());
    });
}

#[test]
fn s7_a_history_with_a_gap_is_told_and_not_sent_short() {
    let mut repo = Repo::default();
    let commits = line(&mut repo, 3);
    repo.push_new(&commits);
    let kept: Vec<_> = repo.objects.reach(&commits).into_iter().collect();
    let kept = kept.into_iter().filter(|id| *id != commits[0]).collect();
    repo.packs = vec![repo.store(&Push { ids: kept, ..Push::default() })];
    repo.refs.insert("refs/heads/main".to_owned(), commits[2]);
    run(async {
        let planner = repo.planner(Limits::default());
        let asked = planner.plan(repo.view(), fetch(&commits[2..], &[])).await;
        assert!(matches!(asked, Err(PlanError::Damaged { .. })), "{asked:?}");
        // Nobody needs the gap who does not go so far.
        let shape = Shape { depth: 2, ..Shape::default() };
        let request = PlanRequest { shape, ..fetch(&commits[2..], &[]) };
        let (_, plan) = planned(planner.plan(repo.view(), request).await.unwrap());
        assert_eq!(repo.sent(&plan).len(), 6);
        let check = planner.check(repo.view()).await.unwrap();
        assert!(!check.problems.is_empty());
    });
}
