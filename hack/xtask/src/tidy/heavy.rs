//! Heavy dependencies: one crate names each, so that the others cannot grow into it.

use std::collections::{BTreeSet, HashMap};

use crate::metadata::{Kind, Metadata, Package};
use crate::tidy::Findings;
use crate::tidy::places::WITHOUT_RUNTIME;

/// Crates, and the only ones of ours whose manifests may name them.
struct Row {
    /// A name, or its beginning followed by `*`.
    names: &'static [&'static str],
    by: &'static [&'static str],
}

/// `gitstratum-e2e` stands in several rows: there it is the stranger at the other end of a
/// socket, who needs a client of its own to say what no honest client would.
const ROWS: &[Row] = &[
    Row { names: &["rocksdb", "librocksdb-sys"], by: &["gitstratum-store"] },
    Row { names: &["openraft", "openraft-*"], by: &["gitstratum-consensus"] },
    Row { names: &["gix", "gix-*"], by: &["gitstratum-git"] },
    Row { names: &["russh"], by: &["gitstratum-frontend", "gitstratum-e2e"] },
    Row { names: &["axum", "tower-http"], by: &["gitstratum-frontend"] },
    Row { names: &["tokio-rustls"], by: &["gitstratum-identity", "gitstratum-e2e"] },
    Row {
        names: &["hyper"],
        by: &[
            "gitstratum-identity",
            "gitstratum-frontend",
            "gitstratum-object",
            "gitstratum-client",
            "gitstratum-process",
            "gitstratum-sim",
            "gitstratum-e2e",
        ],
    },
    Row { names: &["kube", "kube-*", "k8s-openapi"], by: &[] },
    Row {
        names: &["prometheus-client", "tracing-subscriber", "tracing-opentelemetry"],
        by: &["gitstratum-process"],
    },
    Row { names: &["opentelemetry", "opentelemetry*"], by: &["gitstratum-process"] },
    Row {
        names: &["tonic", "tonic-*"],
        by: &[
            "gitstratum-proto",
            "gitstratum-client",
            "gitstratum-metadata",
            "gitstratum-object",
            "gitstratum-agent",
            "gitstratum-control-plane",
            "gitstratum-ctl",
            "gitstratum-sim",
        ],
    },
    Row { names: &["turmoil"], by: &["gitstratum-sim"] },
    Row { names: &["fuser"], by: &["lossyfs"] },
    Row { names: &["tikv-jemallocator"], by: &["gitstratum"] },
    // Libraries have typed errors.
    Row {
        names: &["anyhow"],
        by: &["gitstratum", "gitstratum-sim", "gitstratum-e2e", "lossyfs", "xtask"],
    },
];

/// Async runtimes and what cannot live without one.
const RUNTIMES: &[&str] = &["tokio", "async-std", "smol", "async-io", "mio"];

/// Checks who names what, and that pure crates reach no runtime.
pub(crate) fn check(crates: &[&Package], metadata: &Metadata, findings: &mut Findings) {
    for krate in crates {
        check_names(krate, findings);
        if WITHOUT_RUNTIME.contains(&krate.name.as_str()) {
            check_runtime(krate, metadata, findings);
        }
    }
}

fn check_names(krate: &Package, findings: &mut Findings) {
    for dependency in &krate.dependencies {
        let row = ROWS.iter().find(|row| row.names.iter().any(|n| matches(n, &dependency.name)));
        let Some(row) = row else { continue };
        if !row.by.contains(&krate.name.as_str()) {
            let by = if row.by.is_empty() { "no crate yet".to_owned() } else { row.by.join(", ") };
            let name = &dependency.name;
            findings.refuse(format!("{}: names {name}, which is for {by}", krate.name));
        }
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// Follows the arrows of a normal build from `krate` as far as they go.
fn check_runtime(krate: &Package, metadata: &Metadata, findings: &mut Findings) {
    let nodes: HashMap<&str, _> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let names: HashMap<&str, &str> =
        metadata.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
    let mut seen = BTreeSet::from([krate.id.as_str()]);
    let mut waiting = vec![krate.id.as_str()];
    while let Some(node) = waiting.pop().and_then(|id| nodes.get(id)) {
        let normal = |kinds: &[crate::metadata::EdgeKind]| {
            kinds.iter().any(|kind| kind.kind == Kind::Normal)
        };
        let edges = node.deps.iter().filter(|edge| normal(&edge.dep_kinds));
        waiting.extend(edges.map(|edge| edge.pkg.as_str()).filter(|id| seen.insert(id)));
    }
    let reached = seen.iter().filter_map(|id| names.get(id));
    for runtime in reached.filter(|name| RUNTIMES.contains(name)) {
        findings.refuse(format!("{}: reaches the async runtime {runtime}", krate.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two crates of ours and one foreign crate in between.
    fn metadata(krate: &str, kind: &str) -> Metadata {
        let text = format!(
            r#"{{
            "packages": [
                {{"id": "a", "name": "{krate}", "version": "1.0.0", "manifest_path": "a/Cargo.toml",
                  "features": {{}}, "dependencies": [{{"name": "between", "kind": null, "features": []}}]}},
                {{"id": "b", "name": "between", "version": "1.0.0", "manifest_path": "b/Cargo.toml",
                  "features": {{}}, "dependencies": []}},
                {{"id": "c", "name": "tokio", "version": "1.0.0", "manifest_path": "c/Cargo.toml",
                  "features": {{}}, "dependencies": []}}],
            "workspace_members": ["a"],
            "resolve": {{"nodes": [
                {{"id": "a", "deps": [{{"pkg": "b", "dep_kinds": [{{"kind": null}}]}}]}},
                {{"id": "b", "deps": [{{"pkg": "c", "dep_kinds": [{{"kind": {kind}}}]}}]}},
                {{"id": "c", "deps": []}}]}}}}"#
        );
        serde_json::from_str(&text).expect("well-formed")
    }

    fn refused(metadata: &Metadata) -> Vec<String> {
        let mut findings = Findings::default();
        check(&metadata.members().collect::<Vec<_>>(), metadata, &mut findings);
        findings.refused
    }

    #[test]
    fn a_pure_crate_reaches_no_runtime_through_others() {
        assert_eq!(refused(&metadata("gitstratum-git", "null")).len(), 1);
        assert!(refused(&metadata("gitstratum-git", "\"dev\"")).is_empty());
        assert!(refused(&metadata("gitstratum-store", "null")).is_empty());
    }

    #[test]
    fn each_heavy_dependency_is_named_by_its_own_crate() {
        let naming = |krate: &str, heavy: &str| {
            let mut metadata = metadata(krate, "null");
            metadata.packages[0].dependencies[0].name = heavy.to_owned();
            refused(&metadata).len()
        };
        assert_eq!(naming("gitstratum-store", "rocksdb"), 0);
        assert_eq!(naming("gitstratum-metadata", "rocksdb"), 1);
        assert_eq!(naming("gitstratum-metadata", "openraft-multi"), 1);
        assert_eq!(naming("gitstratum-frontend", "gix-object"), 1);
        assert_eq!(naming("gitstratum-frontend", "gixie"), 0);
        assert_eq!(naming("gitstratum-client", "anyhow"), 1);
    }
}
