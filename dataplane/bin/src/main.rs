//! The `gitstratum` command.
fn main() {}
