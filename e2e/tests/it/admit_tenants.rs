//! Two tenants (P-S2): what one has is nothing to the other, whatever the other knows of
//! it; and a key that is not one's own (bad input 130).

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};
use gitstratum_e2e::fetch::Fetch;
use gitstratum_e2e::push::Push;
use gitstratum_e2e::wire::http::{Answer, Credentials, Http};
use gitstratum_e2e::wire::ssh::{Key, Ssh};
use gitstratum_e2e::wire::{Door, Program};
use gitstratum_git::testing::{self, DeltaBuilder, id_of};

use crate::ground::Ground;
use crate::objects::{FILE, FOLDER, Objects, missing};
use crate::shared::{Shared, Up};

static UP: Shared = Shared::new();

/// Two users, each with a repository; the second one is the attacker.
struct Tenants {
    /// What is to be kept from the other.
    secret: Ground,
    /// The attacker's own repository.
    own: Ground,
    token: String,
    key: Key,
}

impl Tenants {
    /// Users and repositories called after the test.
    fn new(name: &str) -> Result<Self> {
        let up = UP.get()?;
        let (ann, bob) = (format!("{name}-ann"), format!("{name}-bob"));
        for user in [&ann, &bob] {
            up.stratum.cli(&["user", "create", user])?;
        }
        let secret = Ground::of(Arc::clone(&up), &format!("{ann}/secret"), ObjectFormat::Sha1)?;
        let own = Ground::of(Arc::clone(&up), &format!("{bob}/own"), ObjectFormat::Sha1)?;
        let token = up.stratum.cli(&["token", "create", &bob, "--scope", "write"])?;
        let token =
            token.lines().find_map(|line| line.split_whitespace().find(|w| w.starts_with("gst_")));
        let token = token.context("no token was printed")?.to_owned();
        let key = Key::generate()?;
        up.stratum.register_public(&bob, &key.public_line())?;
        Ok(Self { secret, own, token, key })
    }

    fn http(&self, path: &str) -> Http {
        Http::new(&self.own.up.stratum.frontend().http, path)
            .with(Credentials::Bearer(self.token.clone()))
    }

    fn ssh<'a>(&'a self, path: &'a str) -> Ssh<'a> {
        let host_key = &self.own.up.stratum.endpoint().ssh_host_key;
        Ssh::new(&self.own.up.stratum.frontend().ssh, host_key, &self.key, path)
    }

    /// Ids of everything in the secret repository.
    fn theirs(&self) -> [ObjectId; 6] {
        let base = &self.secret.base;
        [base.tip, base.first, base.tree, base.folder, base.blob, base.tag]
    }

    fn unharmed(&self) -> Result<()> {
        self.secret.unharmed()?;
        self.own.unharmed()
    }

    /// What the attacker reads of a fetch from the own repository, by both doors, with
    /// each of `ids` blotted out.
    fn fetched(&self, fetch: &Fetch, ids: &[ObjectId]) -> Result<Vec<String>> {
        let (http, ssh) = (self.http(&self.own.path), self.ssh(&self.own.path));
        let doors = [&http as &dyn Door, &ssh];
        let answers = doors.into_iter().map(|door| {
            let said = door.ask(Program::UploadPack, &fetch.body())?;
            Ok(blotted(&said.out, ids))
        });
        answers.collect()
    }

    /// What the attacker reads of a push to the own repository, which must be refused.
    fn refused(&self, push: &Push, ids: &[ObjectId]) -> Result<String> {
        let report = push.send(&self.http(&self.own.path))?;
        ensure!(report.is_refused(), "it was taken: {report:?}");
        Ok(blotted(&report.said.out, ids))
    }
}

/// Text in which none of `ids` can be told from another.
fn blotted(bytes: &[u8], ids: &[ObjectId]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    ids.iter().fold(text, |text, id| text.replace(&id.to_string(), "ID"))
}

/// A fetch that asks for an id in one way or another.
type Asking<'a> = dyn Fn(&ObjectId) -> Fetch + 'a;
/// A push that leans on an id, and its tip.
type Leaning<'a> = dyn Fn(&ObjectId) -> (Objects, ObjectId) + 'a;

#[test]
fn p_s2_wants_of_anothers_objects_are_wants_of_nothing() -> Result<()> {
    let tenants = Tenants::new("wants")?;
    let plain = |id: &ObjectId| Fetch::new().want(id).done();
    let shapes: [(&str, &Asking<'_>); 4] = [
        ("plain", &plain),
        ("shallow", &|id| plain(id).depth(1)),
        ("lazy", &|id| plain(id).filter("blob:none")),
        ("mixed", &|id| plain(id).want(&tenants.own.base.tip)),
    ];
    for (name, fetch) in shapes {
        let nothing = tenants.fetched(&fetch(&missing(1)), &[missing(1)])?;
        ensure!(nothing[0].contains("not our ref"), "{nothing:?}");
        for id in tenants.theirs() {
            let answer = tenants.fetched(&fetch(&id), &[id])?;
            ensure!(answer == nothing, "{name}: {id} is told apart: {answer:?}");
        }
    }
    tenants.unharmed()
}

#[test]
fn p_s2_haves_and_borders_of_anothers_objects_change_nothing() -> Result<()> {
    let tenants = Tenants::new("haves")?;
    let own = tenants.own.base.tip;
    let shapes: [(&str, &Asking<'_>); 4] = [
        ("have", &|id| Fetch::new().want(&own).have(id)),
        ("have, done", &|id| Fetch::new().want(&own).have(id).done()),
        ("shallow", &|id| {
            Fetch::new().want(&own).argument(&format!("shallow {id}")).depth(1).done()
        }),
        ("deepen-not", &|id| Fetch::new().want(&own).argument(&format!("deepen-not {id}")).done()),
    ];
    for (name, fetch) in shapes {
        let nothing = tenants.fetched(&fetch(&missing(1)), &[missing(1)])?;
        for id in tenants.theirs() {
            let answer = tenants.fetched(&fetch(&id), &[id])?;
            ensure!(answer == nothing, "{name}: {id} is told apart");
        }
    }
    tenants.unharmed()
}

#[test]
fn p_s2_thin_bases_of_anothers_objects_are_missing() -> Result<()> {
    let tenants = Tenants::new("bases")?;
    let content = b"made from anothers base\n";
    let blob = id_of(ObjectFormat::Sha1, ObjectKind::Blob, content);
    let push = |base: ObjectId, text: &[u8]| {
        let mut objects = Objects::new();
        let tree = objects.tree(&[(FILE, b"file", blob)]);
        let tip = objects.commit(&tree, &[], "thin\n");
        let delta = DeltaBuilder::between(text, content);
        let pack = objects.builder().ref_delta(base, &delta).build();
        Push::new().create("refs/heads/evil", &tip).pack(pack)
    };
    let nothing = tenants.refused(&push(missing(1), b"x"), &[missing(1)])?;
    let base = &tenants.secret.base;
    for id in [base.blob, base.tree, base.first] {
        let answer = tenants.refused(&push(id, base.objects.content(&id)), &[id])?;
        ensure!(answer == nothing, "{id} is told apart: {answer}");
    }
    tenants.unharmed()
}

#[test]
fn p_s2_links_to_anothers_objects_are_links_to_nothing() -> Result<()> {
    let tenants = Tenants::new("links")?;
    let base = &tenants.secret.base;
    let own = tenants.own.base.tree;
    let evil = |objects: Objects, tip: ObjectId| {
        Push::new().create("refs/heads/evil", &tip).pack(objects.pack())
    };
    let of_tree = |mode: &'static str| {
        move |id: &ObjectId| {
            let mut objects = Objects::new();
            let tree = objects.tree(&[(mode, b"theirs", *id)]);
            let tip = objects.commit(&tree, &[], "linked\n");
            (objects, tip)
        }
    };
    let of_commit = |parents: bool| {
        move |id: &ObjectId| {
            let (tree, parents) = if parents { (own, vec![*id]) } else { (*id, Vec::new()) };
            let mut objects = Objects::new();
            let tip = objects.add(ObjectKind::Commit, &testing::commit(&tree, &parents, "x\n"));
            (objects, tip)
        }
    };
    let blob = of_tree(FILE);
    let tree = of_tree(FOLDER);
    let (parent, root) = (of_commit(true), of_commit(false));
    let cases: [(ObjectId, &Leaning<'_>); 4] =
        [(base.blob, &blob), (base.folder, &tree), (base.tip, &parent), (base.tree, &root)];
    for (id, make) in cases {
        let push = |id: &ObjectId| {
            let (objects, tip) = make(id);
            evil(objects, tip)
        };
        let nothing = tenants.refused(&push(&missing(1)), &[missing(1)])?;
        ensure!(nothing.contains("missing necessary objects"), "{nothing}");
        ensure!(tenants.refused(&push(&id), &[id])? == nothing, "{id} is told apart");
    }
    tenants.unharmed()
}

#[test]
fn p_s2_refs_and_tags_on_anothers_objects_are_refused() -> Result<()> {
    let tenants = Tenants::new("refs")?;
    let base = &tenants.secret.base;
    let branch =
        |id: &ObjectId| Push::new().create("refs/heads/evil", id).pack(Objects::new().pack());
    let tag = |id: &ObjectId| {
        let mut objects = Objects::new();
        let tag = objects.tag(id, ObjectKind::Commit, "evil");
        Push::new().create("refs/tags/evil", &tag).pack(objects.pack())
    };
    let moved = |id: &ObjectId| {
        let push = Push::new().update("refs/heads/main", &tenants.own.base.tip, id);
        push.pack(Objects::new().pack())
    };
    let kinds: [&dyn Fn(&ObjectId) -> Push; 3] = [&branch, &tag, &moved];
    for push in kinds {
        let nothing = tenants.refused(&push(&missing(1)), &[missing(1)])?;
        for id in [base.tip, base.first] {
            ensure!(tenants.refused(&push(&id), &[id])? == nothing, "{id} is told apart");
        }
    }
    tenants.unharmed()
}

#[test]
fn p_s2_filters_do_not_reach_into_another_repository() -> Result<()> {
    let tenants = Tenants::new("filters")?;
    let filters = ["blob:none", "blob:limit=1", "tree:0"];
    for filter in filters {
        let fetch =
            |id: &ObjectId| Fetch::new().want(&tenants.own.base.tip).have(id).filter(filter).done();
        let nothing = tenants.fetched(&fetch(&missing(1)), &[missing(1)])?;
        for id in tenants.theirs() {
            ensure!(tenants.fetched(&fetch(&id), &[id])? == nothing, "{filter}: {id}");
        }
    }
    let sparse = |id: &ObjectId| {
        Fetch::new().want(&tenants.own.base.tip).filter(&format!("sparse:oid={id}")).done()
    };
    let nothing = tenants.fetched(&sparse(&missing(1)), &[missing(1)])?;
    for id in tenants.theirs() {
        ensure!(tenants.fetched(&sparse(&id), &[id])? == nothing, "sparse: {id}");
    }
    tenants.unharmed()
}

/// An answer without what differs between any two: when, and which request.
fn told(answer: &Answer) -> (u16, Vec<String>, String) {
    let names = answer.headers.iter().filter(|(name, _)| name != "date");
    let mut headers: Vec<String> = names
        .map(|(name, value)| match name.as_str() {
            "x-request-id" | "gitstratum-request-id" => name.clone(),
            _ => format!("{name}: {value}"),
        })
        .collect();
    headers.sort_unstable();
    let body = match serde_json::from_slice::<serde_json::Value>(&answer.body) {
        Ok(body) => body["error"].to_string(),
        Err(_) => answer.text(),
    };
    (answer.status, headers, body)
}

#[test]
fn p_s1_anothers_repository_looks_like_none() -> Result<()> {
    let tenants = Tenants::new("hidden")?;
    let none = format!("{}-none", tenants.secret.path);
    for program in [Program::UploadPack, Program::ReceivePack] {
        let (theirs, nobodys) = (tenants.http(&tenants.secret.path), tenants.http(&none));
        let (one, other) = (theirs.advertise(program)?, nobodys.advertise(program)?);
        ensure!(one.status == 404, "{}", one.text());
        ensure!(told(&one) == told(&other), "{:?} is not {:?}", told(&one), told(&other));
        let (one, other) = (theirs.post(program, b"0000")?, nobodys.post(program, b"0000")?);
        ensure!(told(&one) == told(&other), "{:?} is not {:?}", told(&one), told(&other));
        let said = |path: &str| -> Result<_> {
            let ran = tenants.ssh(path).run(tenants.ssh(path).line(program).as_bytes(), b"0000")?;
            Ok((ran.exit, ran.out, ran.err))
        };
        ensure!(said(&tenants.secret.path)? == said(&none)?, "SSH tells {program:?} apart");
    }
    let anonymous = |path: &str| -> Result<_> {
        let http = Http::new(&tenants.own.up.stratum.frontend().http, path);
        Ok(told(&http.advertise(Program::UploadPack)?))
    };
    let (one, other) = (anonymous(&tenants.secret.path)?, anonymous(&none)?);
    ensure!(one.0 == 401 && one == other, "{one:?} is not {other:?}");
    tenants.unharmed()
}

#[test]
fn bad_input_130_a_key_of_one_repository_on_another() -> Result<()> {
    let tenants = Tenants::new("keys")?;
    let stratum = &tenants.own.up.stratum;
    let guest = "keys-guest";
    stratum.cli(&["user", "create", guest])?;
    stratum.cli(&["grant", guest, "read", &tenants.own.path])?;
    let key = Key::generate()?;
    stratum.register_public(guest, &key.public_line())?;
    let endpoint = stratum.endpoint();
    let ran = |path: &str, program: Program| {
        let ssh = Ssh::new(&endpoint.ssh, &endpoint.ssh_host_key, &key, path);
        ssh.run(ssh.line(program).as_bytes(), b"0000")
    };
    ensure!(ran(&tenants.own.path, Program::UploadPack)?.exit == Some(0), "its own repository");
    let pushed = ran(&tenants.own.path, Program::ReceivePack)?;
    ensure!(pushed.exit == Some(128), "a reader pushes: {}", pushed.words());
    let none = format!("{}-none", tenants.secret.path);
    for program in [Program::UploadPack, Program::ReceivePack] {
        let (theirs, nobodys) = (ran(&tenants.secret.path, program)?, ran(&none, program)?);
        ensure!(theirs.exit == Some(128), "{}", theirs.words());
        ensure!((theirs.out, theirs.err) == (nobodys.out, nobodys.err), "it is told apart");
    }
    tenants.unharmed()
}

#[test]
fn bad_input_130_a_key_of_two_users() -> Result<()> {
    let up: Arc<Up> = UP.get()?;
    for user in ["twice-ann", "twice-bob"] {
        up.stratum.cli(&["user", "create", user])?;
    }
    let line = Key::generate()?.public_line();
    up.stratum.register_public("twice-ann", &line)?;
    let refused = up.stratum.register_public("twice-bob", &line);
    ensure!(refused.is_err(), "it is registered for both");
    let keys = up.stratum.cli(&["user", "key", "list", "twice-bob", "-o", "json"])?;
    ensure!(!keys.contains("SHA256:"), "{keys}");
    let again = up.stratum.register_public("twice-bob", &up.key.public_line());
    ensure!(again.is_err(), "the admin's key is registered for a user");
    Ok(())
}
