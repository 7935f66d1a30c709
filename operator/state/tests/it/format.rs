use gitstratum_core::{decode_hex, encode_hex};
use gitstratum_state::command::{Change, Command};
use gitstratum_state::row::{AUDIT_KIND, Key};
use gitstratum_state::{RowError, State};

use crate::world::{ADMIN, World, create, found};

fn rows(world: &World) -> Vec<(Vec<u8>, Vec<u8>)> {
    world.state.rows().map(|(key, value)| (key, value.expect("a row that is there"))).collect()
}

fn load(rows: &[(Vec<u8>, Vec<u8>)]) -> Result<State, RowError> {
    State::load(rows.iter().map(|(key, value)| (key.as_slice(), value.as_slice())))
}

#[test]
fn gs_cp_45_everything_survives_as_rows() {
    let mut world = World::founded();
    world.repository("demo/hello");
    assert_eq!(load(&rows(&world)).expect("our own rows"), world.state);
}

#[test]
fn damaged_rows_are_named_and_never_taken_for_absent_ones() {
    let mut world = World::founded();
    world.repository("demo/hello");
    let good = rows(&world);
    for place in 0..good.len() {
        let key = good[place].0.clone();
        let is_named = |error: &RowError| error.to_string().contains(&encode_hex(&key));
        let mut bad = good.clone();
        bad[place].1[0] = 2;
        if key[0] != b'o' {
            let error = load(&bad).expect_err("a row of a newer format");
            assert!(matches!(error, RowError::Format { format: 2, .. }) && is_named(&error));
            bad[place].1.clear();
            assert!(is_named(&load(&bad).expect_err("an empty row")));
            bad[place].1 = vec![1, 0xff];
            assert!(is_named(&load(&bad).expect_err("a row that is no protobuf")));
        }
        let mut bad = good.clone();
        bad[place].0[0] = b'?';
        assert!(matches!(load(&bad), Err(RowError::Key(_))));
    }
}

#[test]
fn a_row_under_another_records_name_is_damage() {
    let mut world = World::founded();
    world.repository("demo/hello");
    let mut bad = rows(&world);
    for (key, _) in bad.iter_mut().filter(|(key, _)| key[0] == b'r') {
        key[8] ^= 1;
    }
    assert!(matches!(load(&bad), Err(RowError::Field { field: "name", .. })));
    let mut bad = rows(&world);
    let (key, value) = bad.iter().find(|(key, _)| key[0] == b'r').expect("a repository").clone();
    let twin = Key::from_bytes(&key).expect("a key").to_bytes();
    assert_eq!(twin, key);
    bad.retain(|(key, _)| key[0] != b'h');
    assert!(matches!(load(&bad), Err(RowError::Contradiction(_))), "{value:?}");
}

#[test]
fn prune_moves_the_floor_once() {
    use gitstratum_state::command::PruneAudit;
    let mut world = World::founded();
    let (floor, bytes) = world.state.audit_extent();
    assert!(floor == 0 && bytes > 0);
    world.ok(Some(ADMIN), create("demo/hello"));
    let prune = |floor| Change::PruneAudit(PruneAudit { floor, bytes });
    let command = world.command(None, prune(world.index));
    let applied = world.state.apply(world.index, &command);
    assert_eq!(applied.audit_floor, Some(world.index - 1));
    assert_eq!(world.state.audit_extent().0, world.index - 1);
    world.run(None, prune(world.index - 1)).expect_err("no going back");
    world.run(None, prune(u64::MAX)).expect_err("not into the future");
    assert!(applied.rows.iter().all(|(key, _)| key[0] != AUDIT_KIND), "housekeeping has no line");
}

/// The page's own examples.
#[test]
fn s49_the_format_page_tells_the_truth() {
    let page = include_str!("../../../../docs/formats/control-state.md");
    let example = |name: &str| {
        let marked = page.split(&format!("`{name}`: `")).nth(1).expect("an example of that name");
        let hex = marked.split('`').next().expect("its end");
        decode_hex(hex.replace(' ', "").as_bytes()).expect("hex")
    };
    let command = Command::from_bytes(&example("command")).expect("the page's command");
    assert_eq!(command.change, Some(create("demo/hello")));
    assert_eq!(command.to_bytes(), example("command"));
    let mut world = World::empty();
    world.ok(None, Change::Found(found(1)));
    let (key, value) = (example("owner key"), example("node key"));
    assert_eq!(Key::from_bytes(&key), Some(Key::Owner("demo".to_owned())));
    assert!(world.state.rows().any(|(key, _)| key == value), "the founding node's row");
    let row = world.state.rows().find(|(key, _)| *key == value).and_then(|(_, value)| value);
    assert_eq!(row, Some(example("node row")));
}
