use bytes::Bytes;
use gitstratum_core::{ObjectFormat, ObjectId, Version};
use proptest::prelude::*;

use super::*;
use crate::view::Refs;

fn view(names: &[&str]) -> View {
    let at = |name: &&str| Ref {
        name: RefName::parse((*name).to_owned()).unwrap(),
        target: ObjectId::from_bytes(ObjectFormat::Sha1, &[1; 20]).unwrap(),
        peeled: None,
    };
    View {
        refs_version: Version(1),
        manifest_version: Version(1),
        drop_counter: 0,
        head: RefName::branch("main").unwrap(),
        refs: Arc::new(Refs::new(names.iter().map(at))),
        packs: Arc::default(),
    }
}

fn request(prefixes: &[&str]) -> LsRefs {
    let kept = prefixes.iter().map(|prefix| Bytes::copy_from_slice(prefix.as_bytes())).collect();
    LsRefs { prefixes: Some(kept), ..LsRefs::default() }
}

fn names(view: &View, request: &LsRefs) -> Vec<String> {
    selected(view, request).into_iter().flatten().map(|each| each.name.to_string()).collect()
}

#[test]
fn overlapping_prefixes_list_each_ref_once_and_in_order() {
    let view = view(&["refs/heads/a", "refs/heads/b", "refs/tags/t"]);
    let all = ["refs/heads/a", "refs/heads/b", "refs/tags/t"];
    assert_eq!(
        names(&view, &request(&["refs/tags/", "refs/heads/a", "refs/heads/", "refs/"])),
        all
    );
    assert_eq!(names(&view, &request(&["refs/tags/", "refs/heads/b"])), all[1..]);
    assert!(names(&view, &request(&[])).is_empty());
    assert!(names(&view, &request(&["HEAD"])).is_empty());
    assert_eq!(names(&view, &LsRefs::default()), all);
}

#[test]
fn head_is_listed_when_asked_for_and_there_or_unborn() {
    let listed = |view: &View, request: &LsRefs| {
        let mut out = BytesMut::new();
        list_head(view, request, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    };
    let (full, empty) = (view(&["refs/heads/main"]), view(&[]));
    let asked = LsRefs { symrefs: true, unborn: true, ..request(&["HEAD"]) };
    let id = "01".repeat(20);
    assert!(listed(&full, &asked).ends_with(&format!("{id} HEAD symref-target:refs/heads/main\n")));
    assert!(listed(&empty, &asked).ends_with("unborn HEAD symref-target:refs/heads/main\n"));
    assert_eq!(listed(&empty, &LsRefs { unborn: false, ..asked.clone() }), "");
    assert_eq!(listed(&full, &request(&["refs/heads/"])), "");
}

proptest! {
    #[test]
    fn gs_fe_06_runs_of_prefixes_match_one_by_one(
        names_given in proptest::collection::vec("refs/[ab]{1,3}/[ab]{1,3}", 0..12),
        prefixes in proptest::collection::vec("(refs(/[ab/]{0,5})?)?", 0..6),
    ) {
        let given: Vec<&str> = names_given.iter().map(String::as_str).collect();
        let view = view(&given);
        let request = request(&prefixes.iter().map(String::as_str).collect::<Vec<_>>());
        let one_by_one: Vec<String> = view
            .refs
            .iter()
            .filter(|each| request.matches(&each.name))
            .map(|each| each.name.to_string())
            .collect();
        prop_assert_eq!(names(&view, &request), one_by_one);
    }
}
