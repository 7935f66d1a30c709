//! Bad inputs 81 to 96: refs.

use anyhow::{Result, ensure};
use gitstratum_core::{ObjectId, ObjectKind};
use gitstratum_e2e::is_long;
use gitstratum_e2e::push::{Push, Report};
use gitstratum_e2e::wire::pkt::{Packet, Packets, split};
use gitstratum_e2e::wire::{Door, Program};

use crate::ground::Ground;
use crate::objects::{Objects, missing};
use crate::shared::Shared;

static UP: Shared = Shared::new();

/// Most commands of a push.
const COMMANDS_MAX: usize = 10_000;

fn nothing() -> Vec<u8> {
    Objects::new().pack()
}

/// Pushes a new ref of this name, which must be refused; gives the words.
fn name_refused(ground: &Ground, name: &[u8]) -> Result<String> {
    let null = ObjectId::null(ground.format()).to_string();
    let tip = ground.base.tip.to_string();
    ground.refused(&Push::new().command(&null, &tip, name).pack(nothing()))
}

#[test]
fn bad_input_081_names_that_git_refuses() -> Result<()> {
    let ground = Ground::new(&UP, "names")?;
    let rests: [&[u8]; 22] = [
        b"a..b",
        b"a.lock",
        b"a.lock/b",
        b"@{",
        b"a@{1}",
        b"a\\b",
        b"a~1",
        b"a^",
        b"a:b",
        b"a?b",
        b"a*b",
        b"a[b",
        b"a b",
        b"a\x01b",
        b"a\x7fb",
        b"a.",
        b"a/",
        b"a//b",
        b".a",
        b"a/.b",
        b"",
        b"/",
    ];
    for rest in rests {
        let words = name_refused(&ground, &[b"refs/heads/", rest].concat())?;
        ensure!(words.contains("funny refname"), "{rest:?}: {words}");
    }
    Ok(())
}

#[test]
fn bad_input_082_names_outside_of_refs() -> Result<()> {
    let ground = Ground::new(&UP, "levels")?;
    for name in
        ["HEAD", "refs/x", "heads/x", "x", "/refs/heads/x", "refs", "refs/", "../refs/heads/x"]
    {
        name_refused(&ground, name.as_bytes())?;
    }
    Ok(())
}

#[test]
fn bad_input_083_branches_that_look_like_something_else() -> Result<()> {
    let ground = Ground::new(&UP, "lookalikes")?;
    for name in ["-x", "--upload-pack=x", "HEAD", &"a".repeat(40), &"0".repeat(64)] {
        name_refused(&ground, format!("refs/heads/{name}").as_bytes())?;
    }
    Ok(())
}

#[test]
fn bad_input_084_names_without_measure() -> Result<()> {
    let ground = Ground::new(&UP, "long-names")?;
    let deep = vec!["d"; 1_500].join("/");
    let long = vec!["x".repeat(100); 10].join("/");
    for rest in [&"x".repeat(256), &long, &deep, &"x".repeat(60_000)] {
        name_refused(&ground, format!("refs/heads/{rest}").as_bytes())?;
    }
    let limit = "refs/heads/".len();
    let longest = vec!["x".repeat(249); 4].join("/");
    let name = format!("refs/heads/{}", &longest[..1_000 - limit]);
    ground.done(&Push::new().create(&name, &ground.base.tip).pack(nothing()))?;
    let component = format!("refs/heads/{}", "y".repeat(255));
    ground.done(&Push::new().create(&component, &ground.base.tip).pack(nothing()))?;
    ground.unharmed()
}

#[test]
fn bad_input_085_names_that_are_no_text() -> Result<()> {
    let ground = Ground::new(&UP, "bytes")?;
    let name = b"refs/heads/caf\xe9-\xff\xfe";
    let null = ObjectId::null(ground.format()).to_string();
    let push = Push::new().command(&null, &ground.base.tip.to_string(), name).pack(nothing());
    let report = push.send(&ground.http())?;
    let taken = report.is_done();
    ensure!(taken || report.is_refused(), "{report:?}");
    let list = Packets::new().line("command=ls-refs").line("object-format=sha1").flush();
    let said = ground.http().ask(Program::UploadPack, &list.bytes())?;
    let listed = said.out.windows(name.len()).any(|bytes| bytes == name);
    ensure!(listed == taken, "the name is not kept to the byte");
    ground.settle()?;
    ground.unharmed()
}

#[test]
fn bad_input_086_names_that_only_look_the_same() -> Result<()> {
    let ground = Ground::new(&UP, "twins")?;
    let tip = ground.base.tip;
    for (one, other) in [("Topic", "topic"), ("caf\u{e9}", "cafe\u{301}")] {
        let first = Push::new().create(&format!("refs/heads/{one}"), &tip).pack(nothing());
        ground.done(&first)?;
        let second = Push::new().create(&format!("refs/heads/{other}"), &tip).pack(nothing());
        let report = ground.done(&second)?;
        ensure!(!report.told.trim().is_empty(), "no warning of {other}");
    }
    ensure!(ground.refs()?.len() == 6, "{:?}", ground.refs()?);
    ground.unharmed()
}

#[test]
fn bad_input_087_a_name_below_another() -> Result<()> {
    let ground = Ground::new(&UP, "below")?;
    let tip = ground.base.tip;
    name_refused(&ground, b"refs/heads/main/below")?;
    ground.done(&Push::new().create("refs/heads/a/b", &tip).pack(nothing()))?;
    name_refused(&ground, b"refs/heads/a")?;
    let both = Push::new().create("refs/heads/c", &tip).create("refs/heads/c/d", &tip);
    ground.refused(&both.clone().atomic().pack(nothing()))?;
    let report = both.pack(nothing()).send(&ground.http())?;
    let winners = report.refs.iter().filter(|(_, why)| why.is_none()).count();
    ensure!(winners == 1, "{report:?}");
    ground.settle()?;
    ground.unharmed()
}

#[test]
fn bad_input_087_a_race_has_one_winner() -> Result<()> {
    let ground = Ground::new(&UP, "below-race")?;
    for round in 0..5 {
        let names = [format!("refs/heads/r{round}"), format!("refs/heads/r{round}/x")];
        let reports = std::thread::scope(|scope| {
            let race = |name: &str| {
                let push = Push::new().create(name, &ground.base.tip).pack(nothing());
                let http = ground.http();
                scope.spawn(move || push.send(&http))
            };
            let running = [race(&names[0]), race(&names[1])];
            running.map(|one| one.join().expect("because a push does not panic"))
        });
        let mut winners = 0;
        for report in reports {
            let report = report?;
            ensure!(report.is_done() || report.is_refused(), "{report:?}");
            winners += usize::from(report.is_done());
        }
        ensure!(winners == 1, "round {round}: {winners} winners");
    }
    ground.settle()?;
    ground.unharmed()
}

#[test]
fn bad_input_088_a_stale_expectation() -> Result<()> {
    let ground = Ground::new(&UP, "stale")?;
    let base = &ground.base;
    let cases = [
        Push::new().update("refs/heads/main", &base.first, &base.first),
        Push::new().update("refs/heads/main", &missing(1), &base.first),
        Push::new().create("refs/heads/main", &base.first),
        Push::new().delete("refs/tags/v1", &base.first),
        Push::new().update("refs/heads/none", &base.first, &base.tip),
    ];
    for push in cases {
        let words = ground.refused(&push.pack(nothing()))?;
        for id in [base.tip, base.tag] {
            ensure!(!words.contains(&id.to_string()), "it tells the value: {words}");
        }
    }
    Ok(())
}

#[test]
fn bad_input_089_ids_that_may_not_be_used() -> Result<()> {
    let ground = Ground::new(&UP, "ids")?;
    let other = Ground::new(&UP, "ids-other")?;
    let mut objects = Objects::new();
    let gone = objects.small_commit(&[], "gone\n");
    ground.done(&Push::new().create("refs/heads/gone", &gone).pack(objects.pack()))?;
    ground.done(&Push::new().delete("refs/heads/gone", &gone))?;
    let told = |id: &ObjectId| -> Result<String> {
        let push = Push::new().create("refs/heads/evil", id).pack(nothing());
        Ok(ground.refused(&push)?.replace(&id.to_string(), "ID"))
    };
    let expected = told(&missing(5))?;
    for id in [gone, other.base.tip, other.base.tag] {
        ensure!(told(&id)? == expected, "{id} is told apart");
    }
    Ok(())
}

#[test]
fn bad_input_090_branches_at_what_is_no_commit() -> Result<()> {
    let ground = Ground::new(&UP, "kinds")?;
    let mut objects = Objects::new();
    let blob = objects.blob(b"a new blob\n");
    let tag = objects.tag(&ground.base.tip, ObjectKind::Commit, "new");
    for id in [ground.base.blob, ground.base.tree, ground.base.tag] {
        ground.refused(&Push::new().create("refs/heads/evil", &id).pack(nothing()))?;
    }
    for id in [blob, tag] {
        ground.refused(&Push::new().create("refs/heads/evil", &id).pack(objects.pack()))?;
    }
    Ok(())
}

#[test]
fn bad_input_091_the_same_ref_twice() -> Result<()> {
    let ground = Ground::new(&UP, "twice")?;
    let (tip, first) = (ground.base.tip, ground.base.first);
    let push = Push::new()
        .create("refs/heads/a", &tip)
        .create("refs/heads/b", &tip)
        .create("refs/heads/a", &first)
        .pack(nothing());
    ground.refused(&push)?;
    Ok(())
}

#[test]
fn bad_input_092_deleting_what_is_not_there() -> Result<()> {
    let ground = Ground::new(&UP, "nothing")?;
    let null = ObjectId::null(ground.format());
    let cases = [
        Push::new().update("refs/heads/none", &null, &null),
        Push::new().delete("refs/heads/none", &ground.base.tip),
    ];
    for push in cases {
        for door in [&ground.http() as &dyn Door, &ground.ssh()] {
            let report = push.send(door)?;
            ensure!(report.unpack.as_deref() == Some("ok"), "{report:?}");
            ensure!(report.refs.len() == 1, "{report:?}");
            ground.unharmed()?;
        }
    }
    Ok(())
}

#[test]
fn bad_input_093_the_default_branch_and_head() -> Result<()> {
    let ground = Ground::new(&UP, "default")?;
    ground.refused(&Push::new().delete("refs/heads/main", &ground.base.tip))?;
    name_refused(&ground, b"HEAD")?;
    ground.refused(&Push::new().delete("HEAD", &ground.base.tip))?;
    Ok(())
}

#[test]
fn bad_input_094_namespaces_of_our_own() -> Result<()> {
    let ground = Ground::new(&UP, "internal")?;
    let replaced = format!("refs/replace/{}", ground.base.tip);
    for name in ["refs/gs/x", "refs/gs/a/b", &replaced, "refs/pull/1/head", "refs/pull/1/merge"] {
        name_refused(&ground, name.as_bytes())?;
    }
    let shown = ground.http().advertise(Program::ReceivePack)?;
    for hidden in ["refs/gs/", "refs/replace/", "refs/pull/"] {
        ensure!(!shown.text().contains(hidden), "{}", shown.text());
    }
    Ok(())
}

#[test]
fn bad_input_095_one_bad_ref_of_five_thousand() -> Result<()> {
    let ground = Ground::new(&UP, "atomic")?;
    let tip = ground.base.tip;
    let names = (0..5_000).map(|number| match number {
        3_333 => "refs/heads/main/below".to_owned(),
        _ => format!("refs/heads/many/{number}"),
    });
    let push = names.fold(Push::new().atomic(), |push, name| push.create(&name, &tip));
    let words = ground.refused(&push.pack(nothing()))?;
    ensure!(words.matches("atomic").count() >= 4_999, "not all were refused together");
    Ok(())
}

/// A push that makes `count` branches, the first of them `from`.
fn branches(ground: &Ground, from: usize, count: usize) -> Push {
    let tip = ground.base.tip;
    let names = (from..from + count).map(|number| format!("refs/heads/n/{number:07}"));
    names.fold(Push::new(), |push, name| push.create(&name, &tip)).pack(nothing())
}

#[test]
fn bad_input_096_too_many_commands() -> Result<()> {
    let ground = Ground::new(&UP, "commands")?;
    let words = ground.refused(&branches(&ground, 0, COMMANDS_MAX + 1))?;
    ensure!(words.contains(&COMMANDS_MAX.to_string()), "{}", &words[..words.len().min(200)]);
    Ok(())
}

#[test]
fn bad_input_096_an_advertisement_of_many_refs() -> Result<()> {
    let ground = Ground::new(&UP, "many-refs")?;
    let pushes = if is_long() { 100 } else { 2 };
    for number in 0..pushes {
        let report = branches(&ground, number * COMMANDS_MAX, COMMANDS_MAX).send(&ground.http())?;
        ensure!(report.is_done(), "{}", first_words(&report));
    }
    let expected = pushes * COMMANDS_MAX + 2;
    for program in [Program::UploadPack, Program::ReceivePack] {
        let shown = ground.http().protocol(None).advertise(program)?;
        ensure!(shown.complete, "it broke off");
        let (packets, rest) = split(&shown.body);
        let names = packets.iter().map(Packet::text).filter(|line| line.contains(" refs/"));
        let counted = names.filter(|line| !line.contains("^{}") && !line.contains(" HEAD")).count();
        // HEAD comes in front of a fetch's list, on a line that also says what it stands for.
        ensure!(counted == expected && rest.is_empty(), "{program:?}: {counted} of {expected}");
    }
    ground.settle()?;
    ground.unharmed()
}

fn first_words(report: &Report) -> String {
    report.why().chars().take(200).collect()
}
