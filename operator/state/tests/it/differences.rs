use gitstratum_core::GrantsVersion;
use gitstratum_state::DIFFERENCES_MAX;
use gitstratum_state::command::{Change, DeleteUser, RevokeRole, RevokeToken, SetRepository};

use crate::world::{ADMIN, Who, World, create, delete, grant};

#[test]
fn gs_cp_30_differences_hold_what_changed_in_its_newest_form() {
    let mut world = World::founded();
    world.user("eva", Who(2));
    world.repository("acme/tool");
    world.ok(Some(ADMIN), grant("eva", "read", "acme/tool"));
    let held = world.state.version();
    let nothing = world.state.differences_since(held);
    assert!(!nothing.reset && !nothing.layout && nothing.repositories.is_empty());
    for description in ["a", "b"] {
        let set = SetRepository {
            path: "acme/tool".to_owned(),
            description: Some(description.to_owned()),
            ..Default::default()
        };
        world.ok(Some(ADMIN), Change::SetRepository(set));
    }
    world.ok(Some(ADMIN), grant("eva", "write", "acme/tool"));
    let since = world.state.differences_since(held);
    assert_eq!(since.version, world.state.version());
    assert_eq!(since.repositories.len(), 1);
    assert_eq!(since.repositories[0].description, "b");
    assert_eq!(since.grants.len(), 1);
    assert!(since.users.is_empty() && since.tokens.is_empty() && !since.layout);
}

#[test]
fn gs_cp_30_what_is_gone_is_named() {
    let mut world = World::founded();
    world.user("eva", Who(2));
    world.token("eva", Who(3), 1, &[]);
    world.repository("acme/tool");
    world.ok(Some(ADMIN), grant("eva", "read", "acme"));
    world.ok(Some(ADMIN), grant("eva", "read", "acme/tool"));
    let held = world.state.version();
    let eva = world.state.user("eva").expect("made").id;
    world.ok(Some(ADMIN), Change::RevokeToken(RevokeToken { id: "0303030303030303".to_owned() }));
    let revoke =
        RevokeRole { user: "eva".to_owned(), role: "read".to_owned(), subject: "acme".to_owned() };
    world.ok(Some(ADMIN), Change::RevokeRole(revoke));
    world.ok(Some(ADMIN), delete("acme/tool"));
    world.ok(Some(ADMIN), Change::DeleteUser(DeleteUser { name: "eva".to_owned() }));
    let since = world.state.differences_since(held);
    assert_eq!(since.users_gone, [eva]);
    assert_eq!(since.tokens_gone, [[2; 32], [3; 32]]);
    assert_eq!(since.grants_gone.len(), 2);
    assert_eq!(since.repositories.len(), 1, "a deleted one is still a record");
}

#[test]
fn gs_cp_30_who_is_too_far_behind_or_from_another_past_gets_everything() {
    let mut world = World::founded();
    let first = world.state.version();
    for number in 0..u64::try_from(DIFFERENCES_MAX).expect("small") - 1 {
        world.ok(Some(ADMIN), create(&format!("acme/r{number}")));
    }
    assert!(!world.state.differences_since(first).reset, "still known");
    world.repository("acme/last");
    world.repository("acme/very-last");
    assert!(world.state.differences_since(first).reset, "no longer known");
    let version = world.state.version();
    for foreign in [GrantsVersion(0), GrantsVersion(version.0 + 1), GrantsVersion(1)] {
        let all = world.state.differences_since(foreign);
        assert!(all.reset && all.layout);
        assert_eq!(all.repositories.len(), DIFFERENCES_MAX + 1);
        assert_eq!(all.version, version);
    }
}
