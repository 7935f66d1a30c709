use std::path::Path;

use anyhow::{Context, Result, bail};
use gitstratum_control_plane::Founding;
use gitstratum_core::{ClusterId, SystemClock, SystemEntropy};
use gitstratum_store::SystemFiles;
use gitstratum_store::files::Files;

use super::super::addresses::{Addresses, Ports};
use super::super::folder::Folder;
use super::super::plan::{PARTITIONS, Plan, nodes_folder};
use super::super::secrets;
use super::NODES;

/// Whether the data directory has, or is to have, several nodes.
///
/// # Errors
/// When it has another number than was asked for, also where the founding was cut short.
pub(in super::super) fn is_for_several(plan: &Plan) -> Result<bool> {
    let files = SystemFiles::new();
    let has = begun_with(files.as_ref(), &plan.data)?;
    let nodes = match (has, plan.nodes) {
        (Some(has), Some(asked)) if has != usize::from(asked) => bail!(
            "--nodes {asked}: the cluster in {} has {has}; leave the option out",
            plan.data.display()
        ),
        (Some(has), _) => has,
        (None, asked) => usize::from(asked.unwrap_or(1)),
    };
    Ok(nodes > 1)
}

/// How many nodes the cluster in `data` has, or was begun with; `None` if there is nothing.
fn begun_with(files: &dyn Files, data: &Path) -> Result<Option<usize>> {
    let folder = Folder::look(files, data)?;
    if let Some(cluster) = &folder.recorded {
        return Ok(Some(cluster.nodes.len()));
    }
    if let Some(addresses) = Addresses::read(files, data)? {
        return Ok(Some(addresses.count()));
    }
    // Only several nodes write their addresses down, and before the first of them begins.
    Ok(has_begun(files, data)?.then_some(1))
}

/// Makes what the nodes find: the cluster's secrets, where everybody listens. The ports are
/// to be held while there are nodes.
pub(super) async fn prepare(plan: &Plan, files: &dyn Files) -> Result<(Addresses, Ports)> {
    let folder = Folder::look(files, &plan.data)?;
    let known = Addresses::read(files, &plan.data)?;
    let cluster = match (&folder.recorded, known) {
        (Some(cluster), _) => cluster.id,
        // The founding was cut short: it goes on with what was drawn, once a log may know it.
        (None, Some(addresses)) if has_begun(files, &plan.data)? => addresses.cluster()?,
        (None, _) => draw(plan, files)?,
    };
    Addresses::settle(files, plan, (cluster, usize::from(NODES))).await
}

fn has_begun(files: &dyn Files, data: &Path) -> Result<bool> {
    Ok(files.metadata(&nodes_folder(data))?.is_some())
}

fn draw(plan: &Plan, files: &dyn Files) -> Result<ClusterId> {
    let (clock, entropy) = (SystemClock::new(), SystemEntropy::new());
    let founding = Founding::draw(NODES, PARTITIONS, clock.as_ref(), entropy.as_ref())?;
    secrets::write(files, &plan.data, &founding, entropy.as_ref())?;
    Ok(founding.cluster)
}

/// What a node's process is started with.
pub(super) fn arguments(plan: &Plan, addresses: &Addresses, number: u8) -> Result<Vec<String>> {
    let node = addresses.node(number)?;
    let data = text(&plan.data)?;
    let mut named = vec![
        ("--data", data),
        ("--nodes", NODES.to_string()),
        ("--node", number.to_string()),
        ("--watched-by", std::process::id().to_string()),
        ("--http", node.http.to_string()),
        ("--ssh", node.ssh.to_string()),
        ("--metrics", node.metrics.to_string()),
        ("--log-filter", plan.log_filter.clone()),
        ("--scrub-every", plan.scrub_every.as_secs().to_string()),
    ];
    if let (Some(https), Some(address)) = (&plan.https, node.https) {
        named.push(("--https", address.to_string()));
        named.push(("--tls-cert", text(&https.certificate)?));
        named.push(("--tls-key", text(&https.key)?));
    }
    for (name, span) in [
        ("--certificate-lifetime", plan.certificate_lifetime),
        ("--offline-grace", plan.offline_grace),
    ] {
        named.extend(span.map(|span| (name, span.as_secs().to_string())));
    }
    let insecure = plan.insecure_http.then(|| "--insecure-http".to_owned());
    let named = named.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
    Ok(named.chain(insecure).collect())
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.with_context(|| format!("the name {} is no text", path.display()))
}
