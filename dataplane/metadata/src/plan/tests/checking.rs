use gitstratum_client::objects::Options;
use gitstratum_core::ObjectId;
use proptest::prelude::*;

use super::histories::recipes;
use super::repo::{Push, Repo, run};
use crate::plan::Limits;
use crate::planner::Planner;

fn problems(repo: &Repo) -> (Vec<String>, u64) {
    let answer = run(async { repo.planner(Limits::default()).check(repo.view()).await.unwrap() });
    (answer.problems, answer.objects_checked)
}

/// The repository with one pack in which `id` names other content.
fn spoiled(repo: &Repo, id: ObjectId) -> Repo {
    let mut repo = repo.clone();
    let ids = repo.members().into_iter().collect();
    repo.objects.spoil(&id);
    repo.packs = vec![repo.store(&Push { ids, ..Push::default() })];
    repo
}

/// The repository with one pack that lacks `without`.
fn lacking(repo: &Repo, without: ObjectId) -> Repo {
    let mut repo = repo.clone();
    let ids = repo.members().into_iter().filter(|id| *id != without).collect();
    repo.packs = vec![repo.store(&Push { ids, ..Push::default() })];
    repo
}

/// A check that could not hash all says so.
#[test]
fn p_i6_what_is_too_large_to_hash_is_counted_and_no_damage() {
    let mut repo = Repo::default();
    let large = repo.objects.blob(&"x".repeat(10_000));
    let small = repo.objects.blob("small");
    let root = repo.objects.tree(&[("large".to_owned(), large), ("small".to_owned(), small)]);
    let commit = repo.objects.commit(root, &[], 1);
    repo.refs.insert("refs/heads/main".to_owned(), commit);
    repo.push_new(&[commit]);
    let options = Options { read_bytes_max: 5_000, ..Options::default() };
    let planner = repo.planner_that_reads(options, Limits::default());
    let answer = run(async { planner.check(repo.view()).await.unwrap() });
    assert_eq!((answer.problems, answer.objects_checked), (Vec::new(), 4));
    assert_eq!(answer.objects_too_large, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn p_i1_a_check_hashes_all_that_refs_reach_and_misses_no_gap(
        recipe in recipes(),
        gap in any::<u8>(),
    ) {
        let repo = recipe.cook();
        let reachable: Vec<ObjectId> = repo.reachable().into_iter().collect();
        prop_assert_eq!(problems(&repo), (Vec::new(), reachable.len() as u64));
        if let Some(without) = reachable.get(usize::from(gap) % reachable.len().max(1)) {
            prop_assert!(!problems(&lacking(&repo, *without)).0.is_empty());
            let (told, spoiled) = (problems(&spoiled(&repo, *without)).0, without.to_string());
            prop_assert!(told.iter().any(|problem| problem.contains(&spoiled)), "{told:?}");
        }
    }
}
