//! Shallow clients: what each holds after any fetches is whole above its border, and the
//! borders are those that stock git would give (GS-FE-10).

use gitstratum_core::{ObjectId, ObjectKind};
use proptest::prelude::*;

use super::ancestry::line;
use super::histories::{Recipe, pick, recipes};
use super::model::Ids;
use super::repo::{Repo, fetch, run};
use crate::plan::{HistoryPlanner, Limits};
use crate::planner::{FetchPlan, PlanAnswer, PlanError, PlanRequest, Planner, Shape};

/// Everything, as stock git says it.
const INFINITE: u32 = 0x7fff_ffff;

/// A client and what it holds.
#[derive(Default)]
struct Client {
    objects: Ids,
    border: Ids,
    tips: Ids,
}

/// What one fetch asks for, in numbers.
type Asked = (Vec<u8>, Vec<u8>, u8, u8);

fn shape(repo: &Repo, client: &Client, how: u8, number: u8) -> Shape {
    let depth = u32::from(number % 4) + 1;
    let shallow = client.border.iter().copied().collect();
    let mut shape = Shape { shallow, ..Shape::default() };
    match how % 7 {
        0 => {}
        1 | 2 => shape.depth = depth,
        3 => (shape.depth, shape.deepen_relative) = (depth, true),
        4 => shape.depth = INFINITE,
        5 => shape.deepen_since = Some(1_000 + i64::from(number % 16) * 10),
        _ => {
            let names: Vec<_> = repo.refs.keys().collect();
            let name = names[usize::from(number) % names.len()];
            shape.deepen_not = vec![name.clone().into_bytes()];
        }
    }
    shape
}

impl Client {
    async fn fetch(&mut self, repo: &Repo, planner: &HistoryPlanner, asked: &Asked) {
        let tips: Vec<ObjectId> = repo.refs.values().copied().collect();
        let wants = pick(&tips, &asked.0);
        if wants.is_empty() {
            return;
        }
        let shape = shape(repo, self, asked.2, asked.3);
        let held: Vec<ObjectId> = self.objects.iter().copied().collect();
        let haves = match self.tips.is_empty() {
            true => Vec::new(),
            false => pick(&held, &asked.1),
        };
        let request = PlanRequest { shape: shape.clone(), ..fetch(&wants, &haves) };
        let plan = match planner.plan(repo.view(), request).await {
            Ok(PlanAnswer::Round { plan: Some(plan), .. }) => plan,
            Err(PlanError::Request { .. }) => return,
            other => panic!("{other:?}"),
        };
        self.check_sent(repo, &wants, &shape, &plan);
        self.check_border(repo, &wants, &shape, &plan);
        self.take(repo, &wants, &plan);
    }

    /// Nothing comes that no want reaches, but for a client that gives its border up.
    fn check_sent(&self, repo: &Repo, wants: &[ObjectId], shape: &Shape, plan: &FetchPlan) {
        let mut allowed = repo.objects.reach(wants);
        if shape.depth == INFINITE {
            let reachable = repo.reachable();
            allowed.extend(repo.objects.reach(self.border.intersection(&reachable)));
        }
        assert!(repo.sent(plan).is_subset(&allowed));
    }

    fn check_border(&self, repo: &Repo, wants: &[ObjectId], shape: &Shape, plan: &FetchPlan) {
        let told: (Ids, Ids) =
            (plan.shallow.iter().copied().collect(), plan.unshallow.iter().copied().collect());
        if shape.deepen_since.is_some() || !shape.deepen_not.is_empty() {
            assert!(told.1.is_subset(&self.border) && told.0.is_disjoint(&self.border));
            return;
        }
        let (starts, levels) = match shape.depth {
            0 => (Ids::new(), 0),
            INFINITE => (self.border.clone(), u32::MAX),
            depth if shape.deepen_relative => {
                (&self.border & &repo.objects.reach(wants), depth + 1)
            }
            depth => (wants.iter().copied().collect(), depth),
        };
        let (border, inner) = levels_of(repo, &starts, levels);
        assert_eq!(told, (&border - &self.border, &inner & &self.border), "{shape:?}");
    }

    /// What the client holds afterwards is whole.
    fn take(&mut self, repo: &Repo, wants: &[ObjectId], plan: &FetchPlan) {
        self.objects.extend(repo.sent(plan));
        self.border.retain(|id| !plan.unshallow.contains(id));
        self.border.extend(&plan.shallow);
        self.tips.extend(wants);
        let needed = repo.objects.reach_above(&self.tips, &self.border);
        let missing = &needed - &self.objects;
        assert!(missing.is_empty(), "the client lacks {missing:?} after {plan:?}");
    }
}

/// Commits `levels` steps from `starts`, and those nearer.
fn levels_of(repo: &Repo, starts: &Ids, levels: u32) -> (Ids, Ids) {
    let peeled = starts.iter().map(|id| repo.objects.peel(*id));
    let mut level: Ids = peeled.filter(|id| repo.objects.kind(id) == ObjectKind::Commit).collect();
    let (mut inner, mut depth) = (Ids::new(), 1);
    while depth < levels && !level.is_empty() {
        inner.extend(&level);
        let below = level.iter().flat_map(|id| repo.objects.get(id).parents.clone());
        level = below.filter(|id| !inner.contains(id)).collect();
        depth += 1;
    }
    (level, inner)
}

fn asked() -> impl Strategy<Value = Vec<Asked>> {
    let numbers = |most| proptest::collection::vec(any::<u8>(), 1..most);
    proptest::collection::vec((numbers(4), numbers(12), any::<u8>(), any::<u8>()), 1..7)
}

fn try_out(recipe: &Recipe, asked: &[Asked]) {
    let repo = recipe.cook();
    run(async {
        let planner = repo.planner(Limits::default());
        let mut client = Client::default();
        for asked in asked {
            client.fetch(&repo, &planner, asked).await;
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn s7_a_client_is_whole_above_its_border_after_any_fetches(
        recipe in recipes(),
        asked in asked(),
    ) {
        try_out(&recipe, &asked);
    }
}

/// A repository with five commits in a line and its planner's answer to a fetch of the last.
fn answer(
    shape: impl Fn(&[ObjectId]) -> Shape,
    haves: &[usize],
) -> (Repo, Vec<ObjectId>, FetchPlan) {
    let mut repo = Repo::default();
    let commits = line(&mut repo, 5);
    repo.push_new(&commits);
    repo.refs.insert("refs/heads/main".to_owned(), commits[4]);
    repo.refs.insert("refs/heads/old".to_owned(), commits[1]);
    let haves: Vec<_> = haves.iter().map(|at| commits[*at]).collect();
    let wants = [commits[4], commits[1]];
    let wants = if haves.is_empty() { &wants[..] } else { &wants[..1] };
    let request = PlanRequest { shape: shape(&commits), ..fetch(wants, &haves) };
    let planner = repo.planner(Limits::default());
    let answer = run(async { planner.plan(repo.view(), request).await.unwrap() });
    let PlanAnswer::Round { plan: Some(plan), .. } = answer else { panic!("{answer:?}") };
    (repo, commits, plan)
}

#[test]
fn gs_fe_10_a_root_at_the_depth_asked_for_is_a_border_too() {
    let (_, commits, plan) = answer(|_| Shape { depth: 5, ..Shape::default() }, &[4]);
    assert_eq!(plan.shallow, [commits[0]]);
}

#[test]
fn gs_fe_10_deepening_a_whole_clone_changes_nothing() {
    let shape = Shape { depth: 1, deepen_relative: true, ..Shape::default() };
    let (repo, commits, plan) = answer(|_| shape.clone(), &[3]);
    assert_eq!((plan.shallow.len(), plan.unshallow.len()), (0, 0));
    assert!(repo.sent(&plan).contains(&commits[4]));
}

#[test]
fn gs_fe_10_a_want_older_than_asked_for_comes_with_all_its_history() {
    let shape = Shape { deepen_since: Some(1_003), ..Shape::default() };
    let (repo, commits, plan) = answer(|_| shape.clone(), &[]);
    assert_eq!(plan.shallow, [commits[3]]);
    let expected =
        repo.objects.reach_above([&commits[4], &commits[1]], &[commits[3]].into_iter().collect());
    assert_eq!(repo.sent(&plan), expected);
}

#[test]
fn gs_fe_10_unshallow_gives_up_every_border_that_a_ref_reaches() {
    let mut repo = Repo::default();
    let commits = line(&mut repo, 3);
    let root = repo.objects.get(&commits[0]).links[0];
    let side = repo.objects.commit(root, &commits[..1], 1_001);
    repo.push_new(&[commits[2], side]);
    repo.refs.insert("refs/heads/main".to_owned(), commits[2]);
    repo.refs.insert("refs/heads/side".to_owned(), side);
    let shape = Shape { depth: INFINITE, shallow: vec![commits[2], side], ..Shape::default() };
    let request = PlanRequest { shape, ..fetch(&commits[2..], &[commits[2], side]) };
    let answer =
        run(async { repo.planner(Limits::default()).plan(repo.view(), request).await.unwrap() });
    let PlanAnswer::Round { plan: Some(plan), .. } = answer else { panic!("{answer:?}") };
    let unshallow: Ids = plan.unshallow.iter().copied().collect();
    assert_eq!(unshallow, [commits[2], side].into_iter().collect());
    assert!(repo.objects.reach(&commits[..2]).is_subset(&repo.sent(&plan)));
}

#[test]
fn s24_a_border_that_no_want_reaches_is_not_deepened() {
    let mut repo = Repo::default();
    let commits = line(&mut repo, 3);
    let blob = repo.objects.blob("secret");
    let root = repo.objects.tree(&[("secret".to_owned(), blob)]);
    let older = repo.objects.commit(root, &[], 1_000);
    let deleted = repo.objects.commit(root, &[older], 1_001);
    repo.push_new(&[commits[2]]);
    repo.push_new(&[deleted]);
    repo.refs.insert("refs/heads/main".to_owned(), commits[2]);
    run(async {
        let planner = repo.planner(Limits::default());
        for (depth, deepen_relative) in [(3, true), (3, false), (INFINITE, false), (INFINITE, true)]
        {
            for shallow in [vec![deleted], vec![deleted, commits[1]]] {
                let shape = Shape { depth, deepen_relative, shallow, ..Shape::default() };
                let request = PlanRequest { shape, ..fetch(&commits[2..], &[]) };
                let answer = planner.plan(repo.view(), request).await.unwrap();
                let PlanAnswer::Round { plan: Some(plan), .. } = answer else { panic!() };
                assert!(repo.sent(&plan).is_subset(&repo.objects.reach(&commits)));
                let told = plan.unshallow.iter().chain(&plan.shallow);
                assert!(told.into_iter().all(|id| commits.contains(id)));
            }
        }
    });
}

#[test]
fn gs_fe_10_a_border_met_below_an_older_want_stays_one() {
    let mut repo = Repo::default();
    let commits = line(&mut repo, 5);
    repo.push_new(&commits);
    repo.refs.insert("refs/heads/main".to_owned(), commits[4]);
    repo.refs.insert("refs/heads/old".to_owned(), commits[2]);
    let shape =
        Shape { deepen_not: vec![b"old".to_vec()], shallow: vec![commits[1]], ..Shape::default() };
    let request = PlanRequest { shape, ..fetch(&[commits[4], commits[2]], &[commits[1]]) };
    let planner = repo.planner(Limits::default());
    let answer = run(async { planner.plan(repo.view(), request).await.unwrap() });
    let PlanAnswer::Round { plan: Some(plan), .. } = answer else { panic!("{answer:?}") };
    assert_eq!((&plan.shallow[..], &plan.unshallow[..]), (&commits[3..4], &[][..]));
    let sent = &repo.objects.reach(&commits) - &repo.objects.reach(&commits[..2]);
    assert_eq!(repo.sent(&plan), sent);
}
