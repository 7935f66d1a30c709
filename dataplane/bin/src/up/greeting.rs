//! What a person reads once the system is ready.

use std::io::Write;

use super::endpoint::Endpoint;
use super::plan::Plan;

/// Prints where things are and a clone line that works as it stands, without a secret.
pub(super) fn print(plan: &Plan, endpoint: &Endpoint) {
    let program = std::env::current_exe().unwrap_or_else(|_| "gitstratum".into());
    let helper = format!("!{} credential --data {}", program.display(), plan.data.display());
    let mut lines = vec![
        String::from("GitStratum is ready."),
        format!("  data     {}", plan.data.display()),
        format!("  http     {}", endpoint.http),
        format!("  ssh      {}", endpoint.ssh),
    ];
    lines.extend(endpoint.https.iter().map(|https| format!("  https    {https}")));
    lines.push(format!("  metrics  {}/metrics", endpoint.metrics));
    lines.push(String::new());
    lines.push(String::from("Clone the first repository:"));
    lines.push(format!(
        "  git -c credential.helper='{helper}' clone {}/demo/hello.git",
        endpoint.http
    ));
    lines.push(String::from("Stop with Ctrl-C."));
    let mut out = std::io::stdout().lock();
    // A reader that has closed its end wants no greeting; the system runs on.
    drop(writeln!(out, "{}", lines.join("\n")).and_then(|()| out.flush()));
}
