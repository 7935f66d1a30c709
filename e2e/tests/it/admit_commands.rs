//! Bad inputs 13 to 31: commands of protocol v2.

use std::time::Duration;

use anyhow::{Result, ensure};
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};
use gitstratum_e2e::fetch::{Fetch, Fetched};
use gitstratum_e2e::is_long;
use gitstratum_e2e::push::Push;
use gitstratum_e2e::wire::pkt::Packets;
use gitstratum_e2e::wire::{Door, Program};

use crate::ground::{Ground, erred};
use crate::objects::{FILE, Objects, missing};
use crate::shared::Shared;

static UP: Shared = Shared::new();

/// How long a request may take whose lines are many.
const MANY_WITHIN: Duration = Duration::from_secs(10);
/// How long a replaced tip stays wantable, and some more.
const GRACE: Duration = Duration::from_secs(65);

/// Says `body` by both doors, each of which must answer with an error; gives the words.
fn told(ground: &Ground, body: Packets) -> Result<String> {
    let body = body.bytes();
    let mut words = Vec::new();
    for door in [&ground.http() as &dyn Door, &ground.ssh()] {
        words.push(erred(&door.ask(Program::UploadPack, &body)?)?);
    }
    ensure!(words[0] == words[1], "HTTP says {:?}, SSH {:?}", words[0], words[1]);
    ground.unharmed()?;
    Ok(words.swap_remove(0))
}

/// Fetches by both doors, each of which must refuse; gives the words.
fn refused(ground: &Ground, fetch: &Fetch) -> Result<String> {
    told(ground, Packets::new().raw(&fetch.body()))
}

fn fetched(ground: &Ground, fetch: &Fetch) -> Result<Fetched> {
    let fetched = fetch.send(&ground.http())?;
    ensure!(fetched.is_done(), "{:?}", fetched.error);
    Ok(fetched)
}

#[test]
fn bad_input_013_unknown_commands_are_named_without_their_tricks() -> Result<()> {
    let ground = Ground::new(&UP, "unknown-command")?;
    for name in ["object-info", "archive", "\x1b[31mred", "LS-REFS", "", "ls-refs x"] {
        let line = format!("command={name}");
        let words = told(&ground, Packets::new().line(&line).line("object-format=sha1").flush())?;
        let plain: String = name.chars().filter(|c| !c.is_control()).collect();
        ensure!(words.contains(&plain), "{words:?} does not name {plain:?}");
    }
    let long = format!("command={}", "x".repeat(60_000));
    let words = told(&ground, Packets::new().line(&long).flush())?;
    ensure!(words.len() < 1_000, "it echoes {} bytes", words.len());
    Ok(())
}

#[test]
fn bad_input_014_two_commands_in_one() -> Result<()> {
    let ground = Ground::new(&UP, "two-commands")?;
    for second in ["fetch", "ls-refs"] {
        let body = Packets::new()
            .line("command=ls-refs")
            .line(&format!("command={second}"))
            .line("object-format=sha1")
            .flush();
        told(&ground, body)?;
    }
    Ok(())
}

#[test]
fn bad_input_015_capabilities_that_were_not_offered() -> Result<()> {
    let ground = Ground::new(&UP, "capabilities")?;
    for line in ["server-option=x", "session-id=y", "object-info", "nonsense", "bundle-uri"] {
        let fetch = Fetch::new().capability(line).want(&ground.base.tip).done();
        refused(&ground, &fetch)?;
    }
    Ok(())
}

#[test]
fn bad_input_016_unknown_arguments() -> Result<()> {
    let ground = Ground::new(&UP, "arguments")?;
    for line in ["nonsense", "want", "want ", "WANT x", "sideband-all", "packfile-uris https"] {
        let fetch = Fetch::new().want(&ground.base.tip).argument(line).done();
        refused(&ground, &fetch)?;
    }
    let list = Packets::new().line("command=ls-refs").line("object-format=sha1").delim();
    for line in ["nonsense", "ref-prefixes x", "want x"] {
        told(&ground, list.clone().line(line).flush())?;
    }
    Ok(())
}

#[test]
fn bad_input_017_the_other_object_format() -> Result<()> {
    let narrow = Ground::new(&UP, "narrow")?;
    let wide = Ground::of(UP.get()?, "bad/wide", ObjectFormat::Sha256)?;
    for (ground, other) in [(&narrow, ObjectFormat::Sha256), (&wide, ObjectFormat::Sha1)] {
        let words = refused(ground, &Fetch::of(other).want(&ground.base.tip).done())?;
        ensure!(words.contains("mismatched object format"), "{words}");
        let push = Push::of(other).create("refs/heads/evil", &ground.base.tip);
        ground.refused(&push)?;
    }
    told(&wide, Packets::new().line("command=ls-refs").flush())?;
    fetched(&wide, &Fetch::of(ObjectFormat::Sha256).want(&wide.base.tip).done())?;
    Ok(())
}

#[test]
fn bad_input_018_a_hundred_thousand_prefixes() -> Result<()> {
    let ground = Ground::new(&UP, "prefixes")?;
    let head = Packets::new().line("command=ls-refs").line("object-format=sha1").delim();
    let prefixes = (0..100_000).map(|number| format!("ref-prefix refs/nothing/{number}"));
    let all = head.clone().flush().bytes();
    let many = head.lines(prefixes).flush().bytes();
    for door in [&ground.http() as &dyn Door, &ground.ssh()] {
        let (all, many) =
            (door.ask(Program::UploadPack, &all)?, door.ask(Program::UploadPack, &many)?);
        ensure!(many.failure().is_none(), "{:?}", many.failure());
        ensure!(many.out == all.out, "not as without prefixes");
        ensure!(many.took < MANY_WITHIN, "took {:?}", many.took);
    }
    ground.unharmed()
}

#[test]
fn bad_input_019_internal_refs_are_not_listed() -> Result<()> {
    let ground = Ground::new(&UP, "hidden")?;
    for name in ["refs/gs/x", "refs/replace/x", "refs/pull/1/head"] {
        let push = Push::new().create(name, &ground.base.tip).pack(Objects::new().pack());
        ground.refused(&push)?;
    }
    for prefix in ["refs/gs/", "refs/replace/", "refs/pull/", "refs/g", "refs/r"] {
        let body = Packets::new()
            .line("command=ls-refs")
            .line("object-format=sha1")
            .delim()
            .line(&format!("ref-prefix {prefix}"))
            .flush();
        let said = ground.http().ask(Program::UploadPack, &body.bytes())?;
        ensure!(said.out == b"0000", "{prefix}: {:?}", String::from_utf8_lossy(&said.out));
    }
    Ok(())
}

#[test]
fn bad_input_020_and_021_an_id_of_another_repository_is_a_missing_one() -> Result<()> {
    let ground = Ground::new(&UP, "wants")?;
    let other = Ground::new(&UP, "wants-other")?;
    let said = |door: &dyn Door, id: &ObjectId| -> Result<Vec<u8>> {
        let said = door.ask(Program::UploadPack, &Fetch::new().want(id).done().body())?;
        let words = erred(&said)?;
        ensure!(words.contains("not our ref"), "{words}");
        let text = String::from_utf8_lossy(&said.out).replace(&id.to_string(), "ID");
        Ok(text.into_bytes())
    };
    let theirs = [other.base.tip, other.base.tree, other.base.blob, other.base.tag];
    for door in [&ground.http() as &dyn Door, &ground.ssh()] {
        let expected = said(door, &missing(1))?;
        for id in theirs {
            ensure!(said(door, &id)? == expected, "{id} is told apart");
        }
    }
    ground.unharmed()
}

#[test]
fn bad_input_022_what_no_ref_reaches_is_not_served() -> Result<()> {
    let ground = Ground::new(&UP, "unreachable")?;
    let mut objects = Objects::new();
    let tip = objects.small_commit(&[ground.base.tip], "reached\n");
    let stray_blob = objects.blob(b"stray\n");
    let stray_tree = objects.tree(&[(FILE, b"stray", stray_blob)]);
    let stray = objects.commit(&stray_tree, &[], "stray\n");
    ground.done(&Push::new().create("refs/heads/topic", &tip).pack(objects.pack()))?;
    let words = refused(&ground, &Fetch::new().want(&missing(2)).done())?;
    let expected = words.replace(&missing(2).to_string(), "ID");
    for id in [stray, stray_tree, stray_blob] {
        let words = refused(&ground, &Fetch::new().want(&id).done())?;
        ensure!(words.replace(&id.to_string(), "ID") == expected, "{words}");
    }
    Ok(())
}

#[test]
fn bad_input_022_a_replaced_tip_stays_wantable_for_a_while() -> Result<()> {
    let ground = Ground::new(&UP, "replaced")?;
    let mut objects = Objects::new();
    let (old, new) =
        (objects.small_commit(&[], "old tip\n"), objects.small_commit(&[], "new tip\n"));
    let push = Push::new().create("refs/heads/topic", &old).pack(objects.pack());
    ground.done(&push)?;
    ground.done(&Push::new().update("refs/heads/topic", &old, &new).pack(objects.pack()))?;
    fetched(&ground, &Fetch::new().want(&old).done())?;
    if is_long() {
        std::thread::sleep(GRACE);
        refused(&ground, &Fetch::new().want(&old).done())?;
        ground.done(&Push::new().update("refs/heads/topic", &new, &old).pack(objects.pack()))?;
        ground.done(&Push::new().delete("refs/heads/topic", &old))?;
    } else {
        ground.done(&Push::new().delete("refs/heads/topic", &new))?;
    }
    for id in [old, new] {
        let words = refused(&ground, &Fetch::new().want(&id).done())?;
        ensure!(words.contains("not our ref"), "{words}");
    }
    Ok(())
}

#[test]
fn bad_input_023_the_tip_of_a_deleted_branch() -> Result<()> {
    let ground = Ground::new(&UP, "deleted")?;
    let mut objects = Objects::new();
    let blob = objects.blob(b"only on the branch\n");
    let tree = objects.tree(&[(FILE, b"secret", blob)]);
    let tip = objects.commit(&tree, &[ground.base.tip], "branch\n");
    ground.done(&Push::new().create("refs/heads/topic", &tip).pack(objects.pack()))?;
    fetched(&ground, &Fetch::new().want(&tip).done())?;
    fetched(&ground, &Fetch::new().want(&blob).done())?;
    ground.done(&Push::new().delete("refs/heads/topic", &tip))?;
    for id in [tip, tree, blob] {
        let words = refused(&ground, &Fetch::new().want(&id).done())?;
        ensure!(words.contains("not our ref"), "{words}");
    }
    Ok(())
}

#[test]
fn bad_input_025_a_million_wants_of_one_id() -> Result<()> {
    let ground = Ground::new(&UP, "same-want")?;
    let count = if is_long() { 1_000_000 } else { 100_000 };
    let tip = ground.base.tip;
    let fetch = (0..count).fold(Fetch::new(), |fetch, _| fetch.want(&tip)).done();
    let many = fetched(&ground, &fetch)?;
    ensure!(many.said.took < MANY_WITHIN, "took {:?}", many.said.took);
    let one = fetched(&ground, &Fetch::new().want(&tip).done())?;
    ensure!(many.pack == one.pack, "another pack than for one want");
    ground.unharmed()
}

#[test]
fn bad_input_026_three_hundred_thousand_random_haves() -> Result<()> {
    let ground = Ground::new(&UP, "haves")?;
    let mut fetch = Fetch::new().want(&ground.base.tip);
    for number in 0..300_000_u32 {
        let mut bytes = [0xab; 20];
        bytes[..4].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_be_bytes());
        let id = ObjectId::from_bytes(ObjectFormat::Sha1, &bytes)?;
        fetch = fetch.have(&id);
    }
    let asked = fetch.clone().send(&ground.http())?;
    ensure!(asked.said.took < MANY_WITHIN, "took {:?}", asked.said.took);
    ensure!(asked.acknowledgments.iter().all(|line| !line.starts_with("ACK")), "{asked:?}");
    let sent = fetched(&ground, &fetch.done())?;
    ensure!(sent.said.took < MANY_WITHIN, "took {:?}", sent.said.took);
    ground.unharmed()
}

#[test]
fn bad_input_027_haves_of_another_repository_are_not_acknowledged() -> Result<()> {
    let ground = Ground::new(&UP, "foreign-haves")?;
    let other = Ground::new(&UP, "foreign-haves-other")?;
    let answer = |ids: &[ObjectId]| -> Result<Vec<u8>> {
        let fetch = Fetch::new().want(&ground.base.tip);
        let fetch = ids.iter().fold(fetch, |fetch, id| fetch.have(id));
        let fetched = fetch.send(&ground.http())?;
        let acked = fetched.acknowledgments.iter().any(|line| line.starts_with("ACK"));
        ensure!(!acked, "{:?}", fetched.acknowledgments);
        Ok(fetched.said.out)
    };
    let base = &other.base;
    let theirs = [base.tip, base.first, base.tree, base.blob, base.tag];
    let nobodys: Vec<ObjectId> = (0..5).map(missing).collect();
    ensure!(answer(&theirs)? == answer(&nobodys)?, "the answers differ");
    let ours = Fetch::new().want(&ground.base.tip).have(&ground.base.first);
    let acked = ours.send(&ground.http())?.acknowledgments;
    let expected = format!("ACK {}", ground.base.first);
    ensure!(acked.iter().any(|line| line.starts_with(&expected)), "{acked:?}");
    ground.unharmed()
}

#[test]
fn bad_input_028_other_objects_than_commits_only_where_reachable() -> Result<()> {
    let ground = Ground::new(&UP, "direct")?;
    let mut objects = Objects::new();
    let outer = objects.tag(&ground.base.tag, ObjectKind::Tag, "outer");
    let (loose, stray) = (objects.blob(b"loose\n"), objects.folder_of("x", b"loose tree\n"));
    let stray_tag = objects.tag(&ground.base.tip, ObjectKind::Commit, "stray");
    ground.done(&Push::new().create("refs/tags/outer", &outer).pack(objects.pack()))?;
    let base = &ground.base;
    for id in [base.blob, base.folder, base.tree, base.tag, outer] {
        fetched(&ground, &Fetch::new().want(&id).done())?;
    }
    for id in [loose, stray, stray_tag] {
        let words = refused(&ground, &Fetch::new().want(&id).done())?;
        ensure!(words.contains("not our ref"), "{words}");
    }
    Ok(())
}

#[test]
fn bad_input_029_depths_that_are_none() -> Result<()> {
    let ground = Ground::new(&UP, "depths")?;
    let want = || Fetch::new().want(&ground.base.tip);
    for depth in ["0", "-1", "2147483648", "99999999999999999999", "x", "", "1.5", "+1"] {
        refused(&ground, &want().argument(&format!("deepen {depth}")).done())?;
    }
    let both = [["deepen 1", "deepen-since 1"], ["deepen 1", "deepen-not refs/heads/main"]];
    for [one, other] in both {
        refused(&ground, &want().argument(one).argument(other).done())?;
        refused(&ground, &want().argument(other).argument(one).done())?;
    }
    for line in ["deepen-since 0", "deepen-since -1", "deepen-since x"] {
        refused(&ground, &want().argument(line).done())?;
    }
    fetched(&ground, &want().argument("deepen 2147483647").done())?;
    Ok(())
}

#[test]
fn bad_input_031_shallow_lines_of_what_is_no_commit() -> Result<()> {
    let ground = Ground::new(&UP, "shallows")?;
    let want = || Fetch::new().want(&ground.base.tip);
    fetched(&ground, &want().argument(&format!("shallow {}", missing(3))).depth(1).done())?;
    let base = &ground.base;
    for id in [base.blob, base.folder, base.tree, base.tag] {
        let words = refused(&ground, &want().argument(&format!("shallow {id}")).depth(1).done())?;
        ensure!(words.contains(&format!("invalid shallow object {id}")), "{words}");
    }
    for text in ["x", "", "0123"] {
        refused(&ground, &want().argument(&format!("shallow {text}")).depth(1).done())?;
    }
    Ok(())
}

#[test]
fn bad_input_031_shallow_lines_tell_nothing_of_what_may_not_be_seen() -> Result<()> {
    let ground = Ground::new(&UP, "shallows-hidden")?;
    let other = Ground::new(&UP, "shallows-other")?;
    let mut objects = Objects::new();
    let tip = objects.folder_of("gone", b"only on a deleted branch\n");
    let blob = objects.blob(b"only on a deleted branch\n");
    let gone = objects.commit(&tip, &[ground.base.tip], "deleted\n");
    ground.done(&Push::new().create("refs/heads/topic", &gone).pack(objects.pack()))?;
    ground.done(&Push::new().delete("refs/heads/topic", &gone))?;
    let answer = |id: &ObjectId| -> Result<Fetched> {
        let fetch = Fetch::new().want(&ground.base.tip).argument(&format!("shallow {id}"));
        fetched(&ground, &fetch.depth(1).done())
    };
    let expected = answer(&missing(4))?;
    for id in [tip, blob, gone, other.base.blob, other.base.tree, other.base.tag, other.base.tip] {
        let heard = answer(&id)?;
        ensure!(heard.said.out == expected.said.out, "{id} is told apart");
    }
    Ok(())
}
