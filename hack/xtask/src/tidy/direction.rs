//! Arrows between our own crates point one way.

use crate::metadata::{Dependency, Kind, Package};
use crate::tidy::Findings;
use crate::tidy::places::{Place, is_for_tests, may_see, place};

/// Feature that carries test doubles.
const DOUBLES: &str = "test-util";

/// Checks every arrow of every crate of ours.
pub(crate) fn check(crates: &[&Package], findings: &mut Findings) {
    for krate in crates {
        let Some(from) = place(&krate.name) else {
            findings.refuse(format!("{}: has no row in tidy's table of places", krate.name));
            continue;
        };
        for dependency in &krate.dependencies {
            check_arrow(&krate.name, from, dependency, findings);
        }
        check_doubles(krate, findings);
    }
}

fn check_arrow(krate: &str, from: Place, dependency: &Dependency, findings: &mut Findings) {
    let Some(to) = place(&dependency.name) else { return };
    if dependency.kind == Kind::Dev {
        if dependency.name != krate && !is_for_tests(to) && !may_see(from, &dependency.name, to) {
            findings.refuse(format!("{krate}: tests may not see {}", dependency.name));
        }
        return;
    }
    if !may_see(from, &dependency.name, to) {
        findings.refuse(format!("{krate}: may not see {}", dependency.name));
    }
    let takes_doubles = dependency.features.iter().any(|feature| feature == DOUBLES);
    if takes_doubles && from != Place::Simulation {
        let name = &dependency.name;
        findings.refuse(format!("{krate}: takes doubles of {name} outside dev-dependencies"));
    }
}

fn check_doubles(krate: &Package, findings: &mut Findings) {
    let defaults = krate.features.get("default").map(Vec::as_slice).unwrap_or_default();
    if defaults.iter().any(|feature| feature.contains(DOUBLES)) {
        findings.refuse(format!("{}: {DOUBLES} is a default feature", krate.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, manifest: &[(&str, Kind)]) -> Vec<String> {
        let dependencies = manifest
            .iter()
            .map(|(name, kind)| Dependency {
                name: (*name).to_owned(),
                kind: *kind,
                features: Vec::new(),
            })
            .collect();
        refused_package(&package(name, dependencies))
    }

    fn refused_package(krate: &Package) -> Vec<String> {
        let mut findings = Findings::default();
        check(&[krate], &mut findings);
        findings.refused
    }

    fn package(name: &str, dependencies: Vec<Dependency>) -> Package {
        Package {
            id: name.to_owned(),
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            manifest_path: "Cargo.toml".into(),
            dependencies,
            features: Default::default(),
        }
    }

    #[test]
    fn foundation_sees_only_lower_floors() {
        assert!(refused("gitstratum-store", &[("gitstratum-core", Kind::Normal)]).is_empty());
        assert_eq!(refused("gitstratum-core", &[("gitstratum-store", Kind::Normal)]).len(), 1);
        assert_eq!(refused("gitstratum-git", &[("gitstratum-proto", Kind::Normal)]).len(), 1);
    }

    #[test]
    fn rooms_do_not_see_each_other_even_in_tests() {
        for kind in [Kind::Normal, Kind::Dev, Kind::Build] {
            assert_eq!(refused("gitstratum-frontend", &[("gitstratum-object", kind)]).len(), 1);
        }
        assert!(refused("gitstratum", &[("gitstratum-object", Kind::Normal)]).is_empty());
    }

    #[test]
    fn gs_op_40_the_data_plane_does_not_see_the_operator() {
        for name in ["gitstratum-control-plane", "gitstratum-state", "gitstratum-ctl"] {
            assert_eq!(refused("gitstratum-metadata", &[(name, Kind::Normal)]).len(), 1);
        }
        assert_eq!(refused("gitstratum", &[("gitstratum-state", Kind::Normal)]).len(), 1);
        assert_eq!(refused("gitstratum-state", &[("gitstratum-proto", Kind::Normal)]).len(), 1);
        assert_eq!(
            refused("gitstratum-control-plane", &[("gitstratum-object", Kind::Normal)]).len(),
            1
        );
    }

    #[test]
    fn test_crates_and_doubles_are_for_tests() {
        assert!(refused("gitstratum-store", &[("lossyfs", Kind::Dev)]).is_empty());
        assert_eq!(refused("gitstratum-store", &[("lossyfs", Kind::Normal)]).len(), 1);
        let doubles = |kind| Dependency {
            name: "gitstratum-store".to_owned(),
            kind,
            features: vec!["test-util".to_owned()],
        };
        let room = |kind| package("gitstratum-object", vec![doubles(kind)]);
        assert!(refused_package(&room(Kind::Dev)).is_empty());
        assert_eq!(refused_package(&room(Kind::Normal)).len(), 1);
        let mut store = package("gitstratum-store", Vec::new());
        store.features.insert("default".to_owned(), vec!["test-util".to_owned()]);
        assert_eq!(refused_package(&store).len(), 1);
    }

    #[test]
    fn an_unknown_crate_is_refused() {
        assert_eq!(refused("gitstratum-misplaced", &[]).len(), 1);
    }
}
