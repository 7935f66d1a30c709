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
