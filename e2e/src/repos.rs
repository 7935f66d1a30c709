use std::path::{Path, PathBuf};

use crate::skip;

/// The real history `NAME.bundle` that lies beside the project, when it does; else the
/// skip is told and `None` returned.
pub fn bundle(name: &str) -> Option<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/repos");
    let path = shared.join(format!("{name}.bundle"));
    if path.exists() {
        return Some(path);
    }
    skip("../shared/repos is missing");
    None
}
