//! Compiles the `.proto` files with protox, so that no `protoc` is needed.

use std::path::Path;

const FILES: &[&str] = &[
    "gitstratum/common/v1/common.proto",
    "gitstratum/metadata/v1/metadata.proto",
    "gitstratum/object/v1/object.proto",
    "gitstratum/control/v1/control.proto",
    "gitstratum/control/v1/administration.proto",
    "gitstratum/agent/v1/agent.proto",
    "gitstratum/raft/v1/raft.proto",
    "gitstratum/local/v1/local.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, [Path::new("proto")])?;
    tonic_prost_build::configure().bytes(".gitstratum").compile_fds(descriptors)?;
    Ok(())
}
