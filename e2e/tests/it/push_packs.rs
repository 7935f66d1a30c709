//! Bad inputs 40 to 60: packs that are none.

use anyhow::{Context as _, Result, ensure};
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};
use gitstratum_e2e::fetch::Fetch;
use gitstratum_e2e::is_long;
use gitstratum_e2e::push::Push;
use gitstratum_git::testing::{
    DeltaBuilder, PackBuilder, Trailer, deflate, empty_stored_blocks, id_of, store,
};

use crate::ground::Ground;
use crate::objects::{FILE, Objects, missing};
use crate::shared::Shared;
use crate::work::{folder, objects};

static UP: Shared = Shared::new();

/// Most deltas between an object and the whole object that its chain rests on.
const CHAIN_MAX: usize = 4_095;
/// Most bytes of an object.
const OBJECT_BYTES_MAX: u64 = 100 << 20;

fn empty() -> PackBuilder {
    PackBuilder::new(ObjectFormat::Sha1)
}

/// Pushes a pack that must be refused; gives the words.
fn ng(ground: &Ground, pack: Vec<u8>) -> Result<String> {
    ground.refused(&Push::new().create("refs/heads/evil", &missing(0)).pack(pack))
}

/// A commit of one file that holds `content`, without that file, and the pack so far.
struct Around {
    pack: PackBuilder,
    tip: ObjectId,
}

/// A commit and a tree around a blob that is still to be put in the pack.
fn around(ground: &Ground, content: &[u8]) -> Around {
    let mut objects = Objects::new();
    let blob = id_of(ObjectFormat::Sha1, ObjectKind::Blob, content);
    let tree = objects.tree(&[(FILE, b"file", blob)]);
    let tip = objects.commit(&tree, &[ground.base.tip], "around\n");
    Around { pack: objects.builder(), tip }
}

/// The history of a branch as stock git clones and checks it: the ids of all its objects.
fn cloned(ground: &Ground, name: &str) -> Result<Vec<String>> {
    let stratum = &ground.up.stratum;
    let (git, to) = (stratum.git(), folder(stratum, name));
    let url = stratum.http(&ground.path);
    git.run(stratum.scratch(), &["clone", "-q", "--mirror", &url, name])?;
    git.run(&to, &["fsck", "--full", "--strict"])?;
    objects(&git, &to)
}

#[test]
fn bad_input_040_no_pack_at_all() -> Result<()> {
    let ground = Ground::new(&UP, "magic")?;
    let words = ng(&ground, empty().magic(*b"KCAP").build())?;
    ensure!(words.contains("not a pack"), "{words}");
    for version in [0, 1, 4, 9, u32::MAX] {
        let words = ng(&ground, empty().version(version).build())?;
        ensure!(words.contains("version"), "{words}");
    }
    ng(&ground, b"PAC".to_vec())?;
    Ok(())
}

#[test]
fn bad_input_041_counts_that_are_wrong() -> Result<()> {
    let ground = Ground::new(&UP, "count")?;
    let pack = || empty().object(ObjectKind::Blob, b"one").object(ObjectKind::Blob, b"two");
    for count in [0, 1, 3, 1_000] {
        ng(&ground, pack().count(count).build())?;
    }
    Ok(())
}

#[test]
fn bad_input_042_four_billion_objects_and_no_body() -> Result<()> {
    let ground = Ground::new(&UP, "count-huge")?;
    for count in [u32::MAX, 4_000_000] {
        ng(&ground, empty().count(count).build())?;
        ng(&ground, empty().count(count).trailer(Trailer::Missing).build())?;
    }
    Ok(())
}

#[test]
fn bad_input_043_object_types_that_do_not_exist() -> Result<()> {
    let ground = Ground::new(&UP, "types")?;
    for kind in [0, 5] {
        let header = vec![kind << 4 | 3];
        let words = ng(&ground, empty().raw(header, deflate(b"abc")).build())?;
        ensure!(words.contains("type"), "{words}");
    }
    Ok(())
}

#[test]
fn bad_input_044_sizes_that_are_lies() -> Result<()> {
    let ground = Ground::new(&UP, "sizes")?;
    for size in [1 << 60, u64::MAX, OBJECT_BYTES_MAX + 1, 1 << 32] {
        let pack = empty().object_claiming(ObjectKind::Blob, size, deflate(b"tiny"));
        ng(&ground, pack.build())?;
    }
    let endless = [vec![0xbf], vec![0xff; 20], vec![0x7f]].concat();
    ng(&ground, empty().raw(endless, deflate(b"tiny")).build())?;
    Ok(())
}

#[test]
fn bad_input_045_other_sizes_than_declared() -> Result<()> {
    let ground = Ground::new(&UP, "inflates")?;
    for size in [0, 9, 11, 4_096] {
        let pack = empty().object_claiming(ObjectKind::Blob, size, deflate(b"ten bytes!"));
        ng(&ground, pack.build())?;
        let delta = DeltaBuilder::new(10, 10).copy(0, 10).build();
        let header = vec![0x60 | (u8::try_from(delta.len() + 1)? & 0xf), 12];
        let pack = empty().object(ObjectKind::Blob, b"ten bytes!").raw(header, deflate(&delta));
        ng(&ground, pack.build())?;
    }
    Ok(())
}

#[test]
fn bad_input_046_zlib_bombs() -> Result<()> {
    let ground = Ground::new(&UP, "bombs")?;
    let zeros = vec![0; 100 << 20];
    let bomb = deflate(&zeros);
    ensure!(bomb.len() < zeros.len() / 100);
    let hidden = empty().object_claiming(ObjectKind::Blob, 1_024, bomb.clone());
    ng(&ground, hidden.build())?;
    if is_long() {
        // All within the limits of one object and of a pack: the sum is what is too much.
        let all = (0..10_000).fold(empty(), |pack, _| {
            pack.object_claiming(ObjectKind::Blob, OBJECT_BYTES_MAX, bomb.clone())
        });
        let words = ng(&ground, all.build())?;
        ensure!(words.contains("inflates to more"), "{words}");
    }
    Ok(())
}

#[test]
fn bad_input_047_zlib_streams_that_are_odd() -> Result<()> {
    let ground = Ground::new(&UP, "zlib")?;
    let plain = deflate(b"a text to deflate");
    // FDICT set, its check bits right, then the id of the dictionary.
    let dictionary = [&[0x78, 0xbb, 0, 0, 0, 1], &plain[2..]].concat();
    let mut adler = plain.clone();
    let last = adler.len() - 1;
    adler[last] ^= 1;
    let mut method = plain.clone();
    method[0] = 0x79;
    for body in [dictionary, adler, method, plain[..last].to_vec(), Vec::new()] {
        ng(&ground, empty().object_claiming(ObjectKind::Blob, 17, body).build())?;
    }
    Ok(())
}

#[test]
fn bad_input_047_stored_blocks_are_valid() -> Result<()> {
    let ground = Ground::new(&UP, "zlib-stored")?;
    let bodies = [(&b""[..], empty_stored_blocks(100_000)), (b"kept", store(b"kept"))];
    for (content, body) in bodies {
        let Around { pack, tip } = around(&ground, content);
        let pack = pack.object_claiming(ObjectKind::Blob, content.len() as u64, body);
        let name = format!("refs/heads/stored{}", content.len());
        ground.done(&Push::new().create(&name, &tip).pack(pack.build()))?;
    }
    cloned(&ground, "stored.git")?;
    ground.unharmed()
}

#[test]
fn bad_input_048_offsets_to_no_base() -> Result<()> {
    let ground = Ground::new(&UP, "offsets")?;
    let base = b"a base of some length";
    let delta = DeltaBuilder::between(base, b"a base of another length");
    let whole = empty().object(ObjectKind::Blob, base);
    for distance in [0, 1, 5, 1_000, u64::from(u32::MAX), 1 << 62] {
        ng(&ground, whole.clone().ofs_delta_at(distance, &delta).build())?;
    }
    // A distance of more than 64 bits, which a careless reader takes for a negative one.
    let size = u8::try_from(delta.len())?;
    let header = [vec![0x60 | (size & 0xf) | 0x80, size >> 4], vec![0xff; 12], vec![0x7f]].concat();
    ng(&ground, whole.clone().raw(header, deflate(&delta)).build())?;
    let first = empty().ofs_delta_at(12, &delta).object(ObjectKind::Blob, base);
    ng(&ground, first.build())?;
    Ok(())
}

#[test]
fn bad_input_049_deltas_in_a_circle() -> Result<()> {
    let ground = Ground::new(&UP, "circle")?;
    let (one, other) = (&b"one content"[..], &b"another content"[..]);
    let id = |content| id_of(ObjectFormat::Sha1, ObjectKind::Blob, content);
    let pack = empty()
        .ref_delta(id(other), &DeltaBuilder::between(other, one))
        .ref_delta(id(one), &DeltaBuilder::between(one, other));
    ng(&ground, pack.build())?;
    let itself = empty().ref_delta(id(one), &DeltaBuilder::between(one, one));
    ng(&ground, itself.build())?;
    Ok(())
}

/// A pack of a blob under `deltas` deltas, each adding a byte, and what it makes.
fn chain(deltas: usize) -> (PackBuilder, Vec<u8>) {
    let mut content = b"base".to_vec();
    let mut pack = empty().object(ObjectKind::Blob, &content);
    for number in 0..deltas {
        let length = content.len() as u64;
        let byte = b'a' + u8::try_from(number % 26).unwrap_or(0);
        let delta = DeltaBuilder::new(length, length + 1).copy(0, length).insert(&[byte]).build();
        pack = pack.ofs_delta(number, &delta);
        content.push(byte);
    }
    (pack, content)
}

#[test]
fn bad_input_050_chains_beyond_the_limit() -> Result<()> {
    let ground = Ground::new(&UP, "chains")?;
    let lengths =
        if is_long() { vec![CHAIN_MAX + 1, 100_000] } else { vec![CHAIN_MAX + 1, 20_000] };
    for length in lengths {
        let words = ng(&ground, chain(length).0.build())?;
        ensure!(words.contains("chain"), "{words}");
    }
    Ok(())
}

#[test]
fn bad_input_050_the_longest_chain_is_taken() -> Result<()> {
    let ground = Ground::new(&UP, "chain-longest")?;
    let (pack, content) = chain(CHAIN_MAX);
    let mut objects = Objects::new();
    let tree =
        objects.tree(&[(FILE, b"file", id_of(ObjectFormat::Sha1, ObjectKind::Blob, &content))]);
    let tip = objects.commit(&tree, &[], "chain\n");
    let pack = pack
        .object(ObjectKind::Tree, objects.content(&tree))
        .object(ObjectKind::Commit, objects.content(&tip));
    ground.done(&Push::new().create("refs/heads/chain", &tip).pack(pack.build()))?;
    cloned(&ground, "chain.git")?;
    ground.unharmed()
}

#[test]
fn bad_input_051_deltas_that_lie() -> Result<()> {
    let ground = Ground::new(&UP, "deltas")?;
    let base = b"a base of 21 bytes...";
    let size = base.len() as u64;
    let deltas = [
        DeltaBuilder::new(size, 10).copy(size - 5, 10),
        DeltaBuilder::new(size, 10).copy(u64::from(u32::MAX), 10),
        DeltaBuilder::new(size, 10).copy(0, 10).raw(&[0]),
        DeltaBuilder::new(size, 11).copy(0, 10),
        DeltaBuilder::new(size, 9).copy(0, 10),
        DeltaBuilder::new(size + 1, 10).copy(0, 10),
        DeltaBuilder::new(size, 5).raw(&[5, b'x']),
        DeltaBuilder::new(size, 5).raw(&[0x91]),
        DeltaBuilder::new(size, 5),
        DeltaBuilder::new(size, 1 << 50).copy(0, 10),
    ];
    for delta in deltas {
        let pack = empty().object(ObjectKind::Blob, base).ofs_delta(0, &delta.build());
        ng(&ground, pack.build())?;
    }
    let nothing = empty().object(ObjectKind::Blob, base).ofs_delta(0, b"");
    ng(&ground, nothing.build())?;
    Ok(())
}

#[test]
fn bad_input_052_deltas_that_double() -> Result<()> {
    let ground = Ground::new(&UP, "doubling")?;
    let mut pack = empty().object(ObjectKind::Blob, &[b'x'; 64]);
    for doublings in 0..34 {
        let size = 64_u64 << doublings;
        // One copy takes below 2^24 bytes.
        let piece = size.min(1 << 23);
        let mut delta = DeltaBuilder::new(size, 2 * size);
        for number in 0..(2 * size / piece).min(1_000) {
            delta = delta.copy(number * piece % size.min(1 << 31), piece);
        }
        pack = pack.ofs_delta(doublings, &delta.build());
    }
    ng(&ground, pack.build())?;
    Ok(())
}

#[test]
fn bad_input_053_and_054_bases_that_may_not_be_used() -> Result<()> {
    let ground = Ground::new(&UP, "bases")?;
    let other = Ground::new(&UP, "bases-other")?;
    let mut objects = Objects::new();
    let gone = objects.blob(b"a blob that only a deleted branch had\n");
    let tree = objects.tree(&[(FILE, b"gone", gone)]);
    let tip = objects.commit(&tree, &[], "gone\n");
    let stray = objects.blob(b"a blob that no tip of its push reached\n");
    ground.done(&Push::new().create("refs/heads/gone", &tip).pack(objects.pack()))?;
    ground.done(&Push::new().delete("refs/heads/gone", &tip))?;
    let content = b"made from somebody's base\n";
    let on = |base: ObjectId, text: &[u8]| -> Result<String> {
        let Around { pack, tip } = around(&ground, content);
        let pack = pack.ref_delta(base, &DeltaBuilder::between(text, content)).build();
        let words = ground.refused(&Push::new().create("refs/heads/evil", &tip).pack(pack))?;
        Ok(words.replace(&base.to_string(), "ID"))
    };
    let expected = on(missing(4), b"any text")?;
    ensure!(expected.contains("missing"), "{expected}");
    let theirs = other.base.objects.content(&other.base.blob);
    ensure!(on(other.base.blob, theirs)? == expected, "a base of another repository");
    for base in [gone, stray] {
        let words = on(base, objects.content(&base))?;
        ensure!(words == expected, "an unreachable base: {words:?} is not {expected:?}");
    }
    Ok(())
}

#[test]
fn bad_input_055_a_thin_pack_on_a_reachable_base() -> Result<()> {
    let ground = Ground::new(&UP, "thin")?;
    let base = ground.base.objects.content(&ground.base.blob);
    let content = [base, b"and one more line\n"].concat();
    let Around { pack, tip } = around(&ground, &content);
    let delta = DeltaBuilder::between(base, &content);
    let pack = pack.ref_delta(ground.base.blob, &delta).build();
    ground.done(&Push::new().create("refs/heads/thin", &tip).pack(pack))?;
    let blob = id_of(ObjectFormat::Sha1, ObjectKind::Blob, &content);
    let listed = cloned(&ground, "thin.git")?;
    ensure!(listed.contains(&blob.to_string()), "{listed:?}");
    let alone = Fetch::new().want(&blob).done().send(&ground.http())?;
    let alone = alone.pack.context("no pack")?;
    ensure!(alone[8..12] == [0, 0, 0, 1], "one object alone: {:?}", &alone[..12]);
    ground.unharmed()
}

#[test]
fn bad_input_056_the_same_object_twice() -> Result<()> {
    let ground = Ground::new(&UP, "twice")?;
    let content = b"twice in one pack\n".repeat(10);
    let Around { pack, tip } = around(&ground, &content);
    let pack = pack.object(ObjectKind::Blob, &content).object(ObjectKind::Blob, &content);
    ground.done(&Push::new().create("refs/heads/twice", &tip).pack(pack.build()))?;
    once(&ground, "twice.git", &tip)
}

#[test]
fn bad_input_056_other_zlib() -> Result<()> {
    let ground = Ground::new(&UP, "twice-zlib")?;
    let content = b"twice in one pack\n".repeat(10);
    let Around { pack, tip } = around(&ground, &content);
    let size = content.len() as u64;
    let pack = pack
        .object(ObjectKind::Blob, &content)
        .object_claiming(ObjectKind::Blob, size, store(&content))
        .ofs_delta(2, &DeltaBuilder::between(&content, &content));
    ground.done(&Push::new().create("refs/heads/twice", &tip).pack(pack.build()))?;
    once(&ground, "twice-zlib.git", &tip)
}

/// A fetch of the branch holds nothing twice: stock git refuses such packs.
fn once(ground: &Ground, name: &str, tip: &ObjectId) -> Result<()> {
    cloned(ground, name)?;
    let sent = Fetch::new().want(tip).have(&ground.base.tip).done().send(&ground.http())?;
    let pack = sent.pack.context("no pack")?;
    ensure!(pack[8..12] == [0, 0, 0, 3], "commit, tree and blob: {:?}", &pack[..12]);
    ground.unharmed()
}

#[test]
fn bad_input_058_wrong_trailers() -> Result<()> {
    let ground = Ground::new(&UP, "trailers")?;
    let mut objects = Objects::new();
    let tip = objects.small_commit(&[], "right but for its end\n");
    let push = |pack: PackBuilder| Push::new().create("refs/heads/evil", &tip).pack(pack.build());
    ground.refused(&push(objects.builder().trailer(Trailer::Wrong)))?;
    ground.refused(&push(objects.builder().trailer(Trailer::Missing)))?;
    let http = push(objects.builder().trailing(b"x")).send(&ground.http())?;
    ensure!(http.is_refused(), "bytes behind the trailer: {http:?}");
    let more = push(objects.builder().trailing(&objects.pack())).send(&ground.http())?;
    ensure!(more.is_refused(), "a pack behind the pack: {more:?}");
    ground.unharmed()
}

#[test]
fn bad_input_059_five_million_objects() -> Result<()> {
    let ground = Ground::new(&UP, "objects")?;
    let words = ng(&ground, empty().count(5_000_000).build())?;
    ensure!(words.contains("4000000"), "{words}");
    Ok(())
}

#[test]
fn bad_input_060_packs_where_none_belongs_and_none_where_one_does() -> Result<()> {
    let ground = Ground::new(&UP, "no-pack")?;
    let create = Push::new().create("refs/heads/topic", &ground.base.first);
    ground.refused(&create.clone())?;
    ground.done(&create.pack(empty().build()))?;
    let delete = Push::new().delete("refs/heads/topic", &ground.base.first);
    let report = delete.pack(empty().build()).send(&ground.http())?;
    ensure!(report.is_done(), "a deletion with a pack: {}", report.why());
    ground.settle()?;
    ground
        .done(&Push::new().create("refs/heads/topic", &ground.base.first).pack(empty().build()))?;
    ground.done(&Push::new().delete("refs/heads/topic", &ground.base.first))?;
    ground.unharmed()
}
