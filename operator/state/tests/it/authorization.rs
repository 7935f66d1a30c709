use gitstratum_core::ErrorKind;
use gitstratum_state::command::{
    AddKey, Change, CreateRepository, RenameRepository, SetRepository, SetSetting,
    UndeleteRepository,
};
use gitstratum_state::{Caller, Refusal, Subject, Verb};

use crate::world::{
    ADMIN, START, Who, World, create, create_token, create_user, delete, grant, path,
};

/// eva is admin of owner `eva`, adam of nothing; `acme/tool` is private, `acme/open` public.
fn world() -> World {
    let mut world = World::founded();
    world.user("eva", Who(2));
    world.user("adam", Who(3));
    world.repository("acme/tool");
    let open = CreateRepository {
        path: "acme/open".to_owned(),
        public: true,
        ..CreateRepository::default()
    };
    world.ok(Some(ADMIN), Change::CreateRepository(open));
    world
}

fn caller(world: &World, who: Who) -> Caller<'_> {
    world.state.caller(&[who.0; 32], START).expect("a good token")
}

fn set(path: &str) -> Change {
    Change::SetRepository(SetRepository {
        path: path.to_owned(),
        description: Some("new".to_owned()),
        ..Default::default()
    })
}

#[test]
fn p_s1_a_hidden_repository_is_refused_like_a_missing_one() {
    let mut world = world();
    let eva = caller(&world, Who(2));
    let hidden = world.state.repository_for(&eva, Verb::See, &path("acme/tool"));
    let missing = world.state.repository_for(&eva, Verb::See, &path("acme/none"));
    let text = |result: Result<_, Refusal>| result.expect_err("refused").to_string();
    assert_eq!(text(hidden).replace("tool", "none"), text(missing));
    for make in [set, delete] {
        let hidden = world.refused(Some(Who(2)), make("acme/tool"));
        let missing = world.refused(Some(Who(2)), make("acme/none"));
        assert_eq!((hidden.0, hidden.1.replace("tool", "none")), missing);
    }
    let seen = world.refused(Some(Who(2)), set("acme/open"));
    assert_eq!(seen.0, ErrorKind::Denied, "a public one may be known");
}

#[test]
fn gs_cp_08_only_role_admin_manages_a_repository() {
    for (role, expected) in
        [("read", false), ("write", false), ("maintain", false), ("admin", true)]
    {
        let mut world = world();
        world.ok(Some(ADMIN), grant("eva", role, "acme/tool"));
        let eva = caller(&world, Who(2));
        assert!(world.state.repository_for(&eva, Verb::See, &path("acme/tool")).is_ok());
        assert_eq!(world.run(Some(Who(2)), set("acme/tool")).is_ok(), expected, "{role}");
        let hand_on = grant("adam", "read", "acme/tool");
        assert_eq!(world.run(Some(Who(2)), hand_on).is_ok(), expected, "{role}");
    }
}

#[test]
fn gs_cp_08_an_owner_grant_covers_every_repository_of_the_owner() {
    let mut world = world();
    world.ok(Some(ADMIN), grant("eva", "admin", "acme"));
    world.ok(Some(Who(2)), set("acme/tool"));
    world.ok(Some(Who(2)), create("acme/more"));
    world.ok(Some(Who(2)), grant("adam", "write", "acme"));
    assert_eq!(world.refused(Some(Who(3)), create("acme/x")).0, ErrorKind::Denied);
    let rename = RenameRepository { path: "acme/tool".into(), new_path: "adam/tool".into() };
    assert_eq!(world.refused(Some(Who(2)), Change::RenameRepository(rename)).0, ErrorKind::Denied);
}

#[test]
fn a_repository_admin_takes_no_names_from_the_owner() {
    let mut world = world();
    world.ok(Some(ADMIN), grant("eva", "admin", "acme/tool"));
    let rename = RenameRepository { path: "acme/tool".into(), new_path: "acme/new".into() };
    assert_eq!(world.refused(Some(Who(2)), Change::RenameRepository(rename)).0, ErrorKind::Denied);
}

#[test]
fn bad_input_127_a_token_without_scope_admin_changes_nothing() {
    let mut world = world();
    for (who, scope) in [(Who(4), 1), (Who(5), 2)] {
        world.token("eva", who, scope, &[]);
        for change in [
            create("eva/x"),
            add_key("eva"),
            create_token("eva", Who(6), 1, &[]),
            create_user("x"),
            grant("adam", "read", "eva"),
        ] {
            let (kind, message) = world.refused(Some(who), change);
            assert_eq!(
                (kind, message.as_str()),
                (ErrorKind::Denied, "token needs scope admin for this")
            );
        }
        let caller = caller(&world, who);
        assert!(world.state.authorize(&caller, Verb::See, Subject::User("eva")).is_ok());
    }
}

fn add_key(user: &str) -> Change {
    let public_key =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKcx1DFibyI7+hCFsXKbA1lRbEjsnApbtl+gTPyc1oGT";
    Change::AddKey(AddKey { user: user.to_owned(), public_key: public_key.to_owned() })
}

#[test]
fn a_token_limited_to_repositories_does_no_more() {
    let mut world = world();
    world.ok(Some(Who(2)), create("eva/one"));
    world.ok(Some(Who(2)), create("eva/two"));
    world.token("eva", Who(4), 3, &["eva/one"]);
    world.ok(Some(Who(4)), set("eva/one"));
    assert_eq!(world.refused(Some(Who(4)), set("eva/two")).0, ErrorKind::NotFound);
    assert_eq!(world.refused(Some(Who(4)), set("acme/open")).0, ErrorKind::NotFound);
    for change in [
        create("eva/three"),
        add_key("eva"),
        create_token("eva", Who(5), 3, &[]),
        grant("adam", "read", "eva"),
    ] {
        assert_eq!(world.refused(Some(Who(4)), change).0, ErrorKind::Denied);
    }
    world.token("admin", Who(6), 3, &["eva/one"]);
    assert_eq!(world.refused(Some(Who(6)), create_user("x")).0, ErrorKind::Denied);
    assert_eq!(world.refused(Some(Who(6)), set("acme/tool")).0, ErrorKind::NotFound);
}

#[test]
fn a_user_manages_their_own_things_and_knows_of_no_other_user() {
    let mut world = world();
    world.ok(Some(Who(2)), add_key("eva"));
    world.ok(Some(Who(2)), create_token("eva", Who(4), 3, &["acme/open"]));
    let hidden = world.refused(Some(Who(2)), create_token("eva", Who(5), 3, &["acme/tool"]));
    assert_eq!(hidden.0, ErrorKind::NotFound, "a token is no way to learn of a repository");
    let other = world.refused(Some(Who(2)), add_key("adam"));
    let nobody = world.refused(Some(Who(2)), add_key("nobd"));
    assert_eq!((other.0, other.1.replace("adam", "nobd")), nobody);
    assert_eq!(world.refused(Some(Who(2)), create_user("x")).0, ErrorKind::Denied);
}

#[test]
fn deleted_repositories_are_shown_to_their_admins_only() {
    let mut world = world();
    world.ok(Some(ADMIN), grant("eva", "maintain", "acme/tool"));
    let id = world.state.repository(&path("acme/tool")).expect("made").id;
    world.ok(Some(ADMIN), delete("acme/tool"));
    world.settle();
    let undelete = |id: u64, path: &str| {
        Change::UndeleteRepository(UndeleteRepository { id, path: path.to_owned() })
    };
    assert_eq!(world.refused(Some(Who(2)), undelete(id.0, "")).0, ErrorKind::NotFound);
    let by_path = world.refused(Some(Who(2)), undelete(0, "acme/tool"));
    assert_eq!(by_path, world.refused(Some(Who(2)), undelete(0, "acme/none")));
    world.ok(Some(ADMIN), grant("eva", "admin", "acme"));
    world.ok(Some(Who(2)), undelete(id.0, ""));
}

#[test]
fn settings_are_for_cluster_admins() {
    let mut world = world();
    let set = |value: &str| {
        Change::SetSetting(SetSetting { key: "nodeDownAfter".into(), value: value.into() })
    };
    assert_eq!(world.refused(Some(Who(2)), set("20s")).0, ErrorKind::Denied);
    assert_eq!(world.refused(Some(ADMIN), set("soon")).0, ErrorKind::Invalid);
    world.ok(Some(ADMIN), set("20s"));
    assert_eq!(world.state.settings().count(), 1);
}
