//! Random histories: merges, equal and backward dates, trees that share and take back blobs,
//! packs in any order of push, duplicates, strays, absent rows, tags of everything, deleted
//! and replaced branches.

use gitstratum_core::{ObjectId, ObjectKind};
use proptest::prelude::*;

use super::model::{Ids, Objects};
use super::repo::{Push, Repo};

/// Numbers that a history is made from: any are right.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    commits: Vec<[u8; 7]>,
    pushes: Vec<[u8; 6]>,
}

pub(super) fn recipes() -> impl Strategy<Value = Recipe> {
    let commits = proptest::collection::vec(any::<[u8; 7]>(), 1..12);
    let pushes = proptest::collection::vec(any::<[u8; 6]>(), 1..7);
    (commits, pushes).prop_map(|(commits, pushes)| Recipe { commits, pushes })
}

/// Some of `ids`, by numbers.
pub(super) fn pick(ids: &[ObjectId], numbers: &[u8]) -> Vec<ObjectId> {
    numbers
        .iter()
        .filter_map(|number| ids.get(usize::from(*number) % ids.len().max(1)))
        .copied()
        .collect()
}

impl Recipe {
    pub(super) fn cook(&self) -> Repo {
        let mut repo = Repo::default();
        let mut commits = Vec::new();
        let mut files: Vec<[u8; 6]> = Vec::new();
        for numbers in &self.commits {
            self.commit(&mut repo.objects, &mut commits, &mut files, numbers);
        }
        let mut tags = Vec::new();
        for numbers in &self.pushes {
            push(&mut repo, &commits, &mut tags, *numbers);
        }
        repo
    }

    fn commit(
        &self,
        objects: &mut Objects,
        commits: &mut Vec<ObjectId>,
        files: &mut Vec<[u8; 6]>,
        [count, one, two, three, file, text, date]: &[u8; 7],
    ) {
        let made = commits.len();
        let count = [1, 1, 1, 2, 2, 3, 0][usize::from(count % 7)];
        let mut parents: Vec<usize> = Vec::new();
        for back in [one, two, three].into_iter().take(count).filter(|_| made > 0) {
            let parent = made - 1 - usize::from(*back) % made.min(4);
            if !parents.contains(&parent) {
                parents.push(parent);
            }
        }
        let mut content = parents.first().map_or([0; 6], |parent| files[*parent]);
        content[usize::from(file % 6)] = text % 4;
        let root = root(objects, &content);
        let number = made as u64;
        let date =
            1_000 + [0, 10 * number, 500 - 10 * number, u64::from(*date)][usize::from(date % 4)];
        let parents: Vec<ObjectId> = parents.into_iter().map(|parent| commits[parent]).collect();
        commits.push(objects.commit(root, &parents, date));
        files.push(content);
    }
}

/// Four files, and a folder with two; 0 is no file.
fn root(objects: &mut Objects, content: &[u8; 6]) -> ObjectId {
    let mut named = Vec::new();
    for (name, text) in ["a", "b", "c", "e", "x", "y"].into_iter().zip(content) {
        if *text > 0 {
            named.push((name.to_owned(), objects.blob(&format!("text {text}\n"))));
        }
    }
    let inner: Vec<_> = named.iter().filter(|(name, _)| name.as_str() >= "x").cloned().collect();
    named.retain(|(name, _)| name.as_str() < "x");
    if !inner.is_empty() {
        let folder = objects.tree(&inner);
        named.push(("d".to_owned(), folder));
        named.sort();
    }
    objects.tree(&named)
}

/// One push of a commit, perhaps under a tag, and what becomes of its ref.
fn push(repo: &mut Repo, commits: &[ObjectId], tags: &mut Vec<ObjectId>, numbers: [u8; 6]) {
    let [commit, tagged, how, fate, absent, stray] = numbers;
    let commit = commits[usize::from(commit) % commits.len()];
    let tip = tip(repo, tags, commit, tagged);
    let order = repo.objects.order().to_vec();
    let members = repo.members();
    let closure = repo.objects.reach([&tip]);
    let (mut sent, mut strays) = (&closure - &members, Ids::new());
    match how % 4 {
        0 => {}
        1 | 2 => sent = closure.clone(),
        _ => {
            let other = repo.objects.reach([&commits[usize::from(stray) % commits.len()]]);
            strays = &(&other - &members) - &closure;
            sent.extend(&strays);
        }
    }
    let mut ids: Vec<ObjectId> = order.into_iter().filter(|id| sent.contains(id)).collect();
    if how % 8 < 4 {
        ids.reverse();
    }
    let absent = commits.iter().zip(0..).filter(|(_, bit)| absent >> (bit % 8) & 1 == 1);
    let absent = absent.map(|(id, _)| *id).collect();
    repo.push(&Push { ids, strays, is_shadowed: how % 4 == 1, absent });
    match fate % 4 {
        0 => {}
        1 => repo.graced.push(tip),
        _ => drop(repo.refs.insert(format!("refs/heads/{}", repo.packs.len()), tip)),
    }
}

/// What a push's ref points at: mostly a commit, else a tag of something.
fn tip(repo: &mut Repo, tags: &mut Vec<ObjectId>, commit: ObjectId, tagged: u8) -> ObjectId {
    let reached = repo.objects.reach([&commit]);
    let of = |kind: ObjectKind| -> Vec<ObjectId> {
        reached.iter().copied().filter(|id| repo.objects.kind(id) == kind).collect()
    };
    let target = match tagged % 12 {
        0 | 1 => Some(commit),
        2 => of(ObjectKind::Tree).last().copied(),
        3 => of(ObjectKind::Blob).first().copied(),
        4 | 5 => tags.last().copied(),
        6 => return of(ObjectKind::Tree)[0],
        _ => None,
    };
    let Some(target) = target else { return commit };
    let tag = repo.objects.tag(target);
    tags.push(tag);
    tag
}
