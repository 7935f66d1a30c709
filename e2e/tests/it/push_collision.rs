//! Bad input 57 (P-I3): one id, two contents. Nobody can make such a pair to order, so the
//! first content is planted: the stored index says of a blob that it had another one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use gitstratum_core::{ObjectId, SegmentId};
use gitstratum_e2e::push::{Push, Report};
use gitstratum_e2e::wire::http::{Credentials, Http};
use gitstratum_e2e::wire::talk;
use gitstratum_e2e::{Options, Stratum};
use gitstratum_git::index::{Builder, Reader};
use gitstratum_git::part::{Kind, Portion};
use gitstratum_git::segment::{HEADER_BYTES, Layout, Writer};

use crate::chain::mixed;
use crate::ground::{ERR_WITHIN, NG_WITHIN};
use crate::objects::{FILE, Objects};
use crate::work::create;

const PATH: &str = "demo/collision";
/// Bytes of the blob: a segment of so many is a file.
const BLOB_BYTES: u32 = 600_000;
/// Counts pushes that were refused for it.
const ALARM: &str = "gitstratum_frontend_object_collisions_total";

#[test]
fn bad_input_057_an_object_that_is_stored_with_other_bytes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut stratum =
        Stratum::start_with(Options { data: Some(data.clone()), ..Options::default() })?;
    create(&stratum, PATH, "sha1")?;
    let noise: Vec<u8> = (0..BLOB_BYTES / 4).flat_map(|at| mixed(at).to_be_bytes()).collect();
    let mut objects = Objects::new();
    let blob = objects.blob(&noise);
    let tree = objects.tree(&[(FILE, b"file", blob)]);
    let tip = objects.commit(&tree, &[], "first\n");
    let report = push(&stratum, &Push::new().create("refs/heads/main", &tip), &objects)?;
    ensure!(report.is_done(), "{}", report.why());
    ensure!(stratum.stop()? == 0, "it did not stop well");
    plant(&data, &blob)?;
    stratum.launch()?;
    ensure!(alarms(&stratum)? == 0, "an alarm without a push");

    let mut other = Objects::new();
    other.blob(&noise);
    let tree = other.tree(&[(FILE, b"other", blob)]);
    let next = other.commit(&tree, &[tip], "second\n");
    let update = Push::new().update("refs/heads/main", &tip, &next);
    let report = push(&stratum, &update.create("refs/heads/evil", &next), &other)?;
    ensure!(report.is_refused() && report.refs.len() == 2, "{report:?}");
    ensure!(report.said.took < NG_WITHIN, "refused after {:?}", report.said.took);
    ensure!(report.why().contains(&format!("object {blob} was refused")), "{}", report.why());
    ensure!(alarms(&stratum)? == 1, "no alarm");

    let git = stratum.git();
    let listed = git.run(stratum.scratch(), &["ls-remote", "--refs", &stratum.http(PATH)])?;
    ensure!(listed == format!("{tip}\trefs/heads/main\n"), "refs have changed: {listed}");
    let mut sound = Objects::new();
    let tip = sound.small_commit(&[], "nothing of it\n");
    let report = push(&stratum, &Push::new().create("refs/heads/sound", &tip), &sound)?;
    ensure!(report.is_done(), "{}", report.why());
    Ok(())
}

fn push(stratum: &Stratum, push: &Push, objects: &Objects) -> Result<Report> {
    let token = Credentials::Bearer(stratum.admin_token()?);
    let http = Http::new(&stratum.frontend().http, PATH).with(token);
    push.clone().pack(objects.pack()).send(&http)
}

fn alarms(stratum: &Stratum) -> Result<u64> {
    let address = stratum.endpoint().metrics.trim_start_matches("http://");
    let get = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let page = talk(address, get, ERR_WITHIN)?.text();
    let line = page.lines().find(|line| line.starts_with(ALARM));
    let count = line.and_then(|line| line.split_whitespace().last());
    Ok(count.with_context(|| format!("no {ALARM} in {page}"))?.parse()?)
}

/// Makes the stored index say that the blob has another content, with every checksum right:
/// what is damaged would be noticed as such.
fn plant(data: &Path, blob: &ObjectId) -> Result<()> {
    for path in files(&data.join("nodes/1/object/segments"))? {
        if let Some(forged) = forged(&std::fs::read(&path)?, blob)? {
            return Ok(std::fs::write(path, forged)?);
        }
    }
    bail!("no segment holds {blob}")
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}

/// The segment with another index, if its index knows the blob.
fn forged(bytes: &[u8], blob: &ObjectId) -> Result<Option<Vec<u8>>> {
    let segment = SegmentId(bytes.get(64..80).context("a short segment")?.try_into()?);
    let layout = Layout::open_whole(segment, bytes)?;
    let at = |offset: u64, len: u64| -> Result<Vec<u8>> {
        let start = HEADER_BYTES + usize::try_from(offset)?;
        Ok(bytes[start..start + usize::try_from(len)?].to_vec())
    };
    let (mut portions, mut knows) = (Vec::new(), false);
    for piece in layout.pieces() {
        let mut held = at(piece.offset, piece.len)?;
        if piece.kind == Kind::Index {
            let index = Reader::open(layout.header().pack, held.clone().into())?;
            if index.find(blob).is_some() {
                (held, knows) = (other_index(&layout, &index, blob)?, true);
            }
        }
        let (kind, number, of) = (piece.kind, piece.number, piece.of);
        portions.push(Portion { kind, number, of, bytes: held.into() });
    }
    if !knows {
        return Ok(None);
    }
    let (mut writer, header) = Writer::new(*layout.header());
    let entries = writer.write(at(0, layout.entries_len())?.into())?;
    let sealed = writer.finish(portions)?;
    ensure!(sealed.total_len == bytes.len() as u64, "another length");
    let parts = [header, entries].into_iter().chain(sealed.tail);
    Ok(Some(parts.flat_map(|part| part.to_vec()).collect()))
}

fn other_index(layout: &Layout, index: &Reader, blob: &ObjectId) -> Result<Vec<u8>> {
    let header = layout.header();
    let mut builder = Builder::new(header.pack, header.object_format, index.counts().entries);
    for mut record in index.by_id() {
        if record.id == *blob {
            record.content.0[0] ^= 1;
        }
        builder.add(&record)?;
    }
    Ok(builder.finish()?.to_vec())
}
