use gitstratum_core::{ErrorKind, UnixMillis};
use gitstratum_state::command::{
    AddKey, Change, CreateToken, DeleteUser, RecordRefusal, RemoveKey, RevokeRole, RevokeToken,
    SetUser,
};
use gitstratum_state::{Denial, Reply};

use crate::world::{ADMIN, START, Who, World, create, create_token, create_user, grant};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKcx1DFibyI7+hCFsXKbA1lRbEjsnApbtl+gTPyc1oGT eva@host";
const FINGERPRINT: &str = "SHA256:biqRkIGwqnLnNYQljw4hkLkpnUFFcVNTvn3/PXQMaRs";

fn add_key(user: &str) -> Change {
    Change::AddKey(AddKey { user: user.to_owned(), public_key: KEY.to_owned() })
}

fn delete_user(name: &str) -> Change {
    Change::DeleteUser(DeleteUser { name: name.to_owned() })
}

#[test]
fn bad_input_130_a_key_belongs_to_one_user() {
    let mut world = World::founded();
    world.user("eva", Who(2));
    world.user("adam", Who(3));
    assert_eq!(world.ok(Some(Who(2)), add_key("eva")), Reply::Key(FINGERPRINT.to_owned()));
    let version = world.state.version();
    world.ok(Some(Who(2)), add_key("eva"));
    assert_eq!(world.state.version(), version, "the same key again changes nothing");
    let (kind, message) = world.refused(Some(Who(3)), add_key("adam"));
    assert_eq!(kind, ErrorKind::Conflict);
    assert!(!message.contains("eva"), "whose key it is stays untold: {message}");
    assert_eq!(world.state.user_of_key(FINGERPRINT).map(|user| user.name.as_str()), Some("eva"));
    let remove = |user: &str| {
        let (user, fingerprint) = (user.to_owned(), FINGERPRINT.to_owned());
        Change::RemoveKey(RemoveKey { user, fingerprint })
    };
    assert_eq!(world.refused(Some(Who(3)), remove("adam")).0, ErrorKind::NotFound);
    world.ok(Some(Who(2)), remove("eva"));
    world.ok(Some(Who(3)), add_key("adam"));
}

#[test]
fn gs_cp_07_deleting_a_user_takes_keys_tokens_and_grants_along() {
    let mut world = World::founded();
    world.user("eva", Who(2));
    world.ok(Some(Who(2)), add_key("eva"));
    world.repository("acme/tool");
    world.ok(Some(ADMIN), grant("eva", "write", "acme/tool"));
    world.ok(Some(Who(2)), create("eva/own"));
    world.ok(Some(ADMIN), delete_user("eva"));
    assert!(world.state.user_of_key(FINGERPRINT).is_none());
    assert_eq!(world.state.grants().count(), 0);
    assert!(matches!(world.state.caller(&[2; 32], START), Err(Denial::UnknownToken)));
    assert!(world.state.repository(&crate::world::path("eva/own")).is_some());
    assert_eq!(world.refused(Some(Who(2)), create("eva/more")).0, ErrorKind::Denied);
    assert_eq!(world.refused(Some(ADMIN), delete_user("eva")).0, ErrorKind::NotFound);
}

#[test]
fn the_last_cluster_admin_stays() {
    let mut world = World::founded();
    let last = (ErrorKind::Conflict, "user `admin` is the last cluster admin".to_owned());
    assert_eq!(world.refused(Some(ADMIN), delete_user("admin")), last);
    let set = |name: &str, suspended, cluster_admin| {
        Change::SetUser(SetUser { name: name.to_owned(), email: None, suspended, cluster_admin })
    };
    assert_eq!(world.refused(Some(ADMIN), set("admin", Some(true), None)), last);
    assert_eq!(world.refused(Some(ADMIN), set("admin", None, Some(false))), last);
    world.user("eva", Who(2));
    world.ok(Some(ADMIN), set("eva", None, Some(true)));
    world.ok(Some(ADMIN), set("eva", Some(true), None));
    assert_eq!(world.refused(Some(ADMIN), delete_user("admin")), last, "eva is suspended");
    assert!(matches!(world.state.caller(&[2; 32], START), Err(Denial::Suspended)));
    world.ok(Some(ADMIN), set("eva", Some(false), None));
    world.ok(Some(Who(2)), delete_user("admin"));
}

#[test]
fn user_names_and_addresses_are_checked() {
    let mut world = World::founded();
    for bad in ["", "git", "a/b", "-x", "a b"] {
        assert_eq!(world.refused(Some(ADMIN), create_user(bad)).0, ErrorKind::Invalid, "{bad}");
    }
    world.ok(Some(ADMIN), create_user("eva"));
    assert_eq!(world.refused(Some(ADMIN), create_user("eva")).0, ErrorKind::Conflict);
}

#[test]
fn gs_cp_06_tokens_expire_by_the_wall_clock_of_the_decision() {
    let mut world = World::founded();
    world.ok(Some(ADMIN), create_user("eva"));
    let lasting = |hash: u8, lifetime_seconds| {
        Change::CreateToken(CreateToken {
            user: "eva".to_owned(),
            hash: vec![hash; 32],
            scope: 2,
            repositories: Vec::new(),
            lifetime_seconds,
        })
    };
    world.ok(Some(ADMIN), lasting(2, 60));
    let made = world.wall;
    let at = |seconds: u64| UnixMillis(made.0 + seconds * 1_000);
    assert!(world.state.caller(&[2; 32], at(59)).is_ok());
    assert!(matches!(world.state.caller(&[2; 32], at(60)), Err(Denial::ExpiredToken)));
    assert_eq!(world.refused(Some(ADMIN), lasting(3, u64::MAX)).0, ErrorKind::Invalid);
    world.wall = at(61);
    world.ok(Some(ADMIN), lasting(3, 0));
    assert_eq!(world.state.counts().tokens, 2, "the expired token made room");
    assert!(world.state.token(&[2; 32]).is_none());
}

#[test]
fn gs_cp_06_a_revoked_token_is_not_known() {
    let mut world = World::founded();
    world.user("eva", Who(2));
    let revoke = |id: &str| Change::RevokeToken(RevokeToken { id: id.to_owned() });
    for unknown in ["", "xx", "0303030303030303"] {
        assert_eq!(world.refused(Some(ADMIN), revoke(unknown)).0, ErrorKind::NotFound);
    }
    let admins = world.refused(Some(Who(2)), revoke("0101010101010101"));
    let nobodys = world.refused(Some(Who(2)), revoke("0303030303030303"));
    assert_eq!(admins.0, nobodys.0);
    assert_eq!(admins.1.replace("01", "03"), nobodys.1, "whose tokens there are stays untold");
    world.ok(Some(Who(2)), revoke("0202020202020202"));
    assert!(matches!(world.state.caller(&[2; 32], START), Err(Denial::UnknownToken)));
}

#[test]
fn tokens_are_checked_and_bounded() {
    let mut world = World::founded();
    world.ok(Some(ADMIN), create_user("eva"));
    let bad_scope = create_token("eva", Who(2), 4, &[]);
    assert_eq!(world.refused(Some(ADMIN), bad_scope).0, ErrorKind::Invalid);
    let missing = create_token("eva", Who(2), 1, &["demo/none"]);
    assert_eq!(world.refused(Some(ADMIN), missing).0, ErrorKind::NotFound);
    let twin = create_token("eva", ADMIN, 1, &[]);
    assert_eq!(world.refused(Some(ADMIN), twin).0, ErrorKind::Conflict);
    let token = |number: u32| {
        let mut hash = vec![9; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        let user = "eva".to_owned();
        Change::CreateToken(CreateToken { user, hash, scope: 1, ..Default::default() })
    };
    for number in 0..1_000 {
        world.ok(Some(ADMIN), token(number));
    }
    let (kind, message) = world.refused(Some(ADMIN), token(1_000));
    assert_eq!(kind, ErrorKind::Conflict, "{message}");
}

#[test]
fn grants_are_replaced_and_taken_back() {
    let mut world = World::founded();
    world.user("eva", Who(2));
    world.repository("acme/tool");
    world.ok(Some(ADMIN), grant("eva", "read", "acme/tool"));
    world.ok(Some(ADMIN), grant("eva", "maintain", "acme/tool"));
    assert_eq!(world.state.grants().count(), 1);
    let revoke = |role: &str| {
        Change::RevokeRole(RevokeRole {
            user: "eva".to_owned(),
            role: role.to_owned(),
            subject: "acme/tool".to_owned(),
        })
    };
    assert_eq!(world.refused(Some(ADMIN), revoke("read")).0, ErrorKind::NotFound);
    assert_eq!(world.refused(Some(ADMIN), revoke("boss")).0, ErrorKind::Invalid);
    world.ok(Some(ADMIN), revoke("maintain"));
    assert_eq!(world.refused(Some(ADMIN), revoke("")).0, ErrorKind::NotFound);
    assert_eq!(world.refused(Some(ADMIN), grant("adam", "read", "acme")).0, ErrorKind::NotFound);
    assert_eq!(world.refused(Some(ADMIN), grant("eva", "owner", "acme")).0, ErrorKind::Invalid);
}

#[test]
fn gs_cp_14_every_administrative_command_has_one_audit_line() {
    let mut world = World::founded();
    world.user("eva", Who(2));
    world.lines.clear();
    world.ok(Some(ADMIN), create("demo/hello"));
    world.refused(Some(Who(2)), create("demo/other"));
    world.refused(Some(Who(9)), create("evil\u{1b}[0m/\u{7}x"));
    let refusal = RecordRefusal {
        action: "token.validate".to_owned(),
        subject: String::new(),
        reason: "denied: token is not known".to_owned(),
        suppressed: 7,
    };
    world.ok(Some(Who(9)), Change::RecordRefusal(refusal));
    let command = world.command(Some(ADMIN), create("demo/more"));
    world.apply(&command);
    world.apply(&command);
    world.settle();
    let lines: Vec<_> = world
        .lines
        .iter()
        .map(|line| [line.actor.as_str(), &line.action, &line.subject, &line.result].join("|"))
        .collect();
    assert_eq!(
        lines,
        [
            "admin|repository.create|demo/hello|ok",
            "eva|repository.create|demo/other|denied: this is for admins of the owner",
            "-|repository.create|evil\u{fffd}[0m/\u{fffd}x|denied: token is not known",
            "-|token.validate||denied: token is not known (7 more like it)",
            "admin|repository.create|demo/more|ok",
        ]
    );
    assert_eq!(world.lines[0].client_addr, "127.0.0.1");
    assert_eq!(world.lines[0].request_id, "r1");
}

#[test]
fn deleting_oneself_is_still_audited_by_name() {
    let mut world = World::founded();
    world.user("eva", Who(2));
    let name = "eva".to_owned();
    let cluster_admin = Some(true);
    world.ok(Some(ADMIN), Change::SetUser(SetUser { name, cluster_admin, ..Default::default() }));
    world.ok(Some(Who(2)), delete_user("eva"));
    assert_eq!(world.lines.last().map(|line| line.actor.as_str()), Some("eva"));
}
