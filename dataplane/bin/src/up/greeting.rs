//! What a person reads once the system is ready.

use std::io::Write;
use std::path::Path;

use super::endpoint::Endpoint;
use super::plan::Plan;

/// Prints where things are and a clone line that works as it stands, without a secret.
pub(super) fn print(plan: &Plan, endpoint: &Endpoint) {
    let program = std::env::current_exe().unwrap_or_else(|_| "gitstratum".into());
    let mut lines = vec![
        String::from("GitStratum is ready."),
        format!("  program  {}", program.display()),
        format!("  data     {}", plan.data.display()),
        format!("  http     {}", endpoint.http),
        format!("  ssh      {}", endpoint.ssh),
    ];
    lines.extend(endpoint.https.iter().map(|https| format!("  https    {https}")));
    lines.push(format!("  metrics  {}/metrics", endpoint.metrics));
    lines.push(String::new());
    lines.push(String::from("Clone the first repository:"));
    lines.push(format!("  {}", clone_line(&program, &plan.data, &endpoint.http)));
    lines.push(String::from("Stop with Ctrl-C."));
    let mut out = std::io::stdout().lock();
    // A reader that has closed its end wants no greeting; the system runs on.
    drop(writeln!(out, "{}", lines.join("\n")).and_then(|()| out.flush()));
}

/// The command that clones the first repository. Its settings stay in the clone, so that
/// what follows works too; the empty one sends away the helpers that a user has for all
/// repositories, which git would ask first and tell the token.
fn clone_line(program: &Path, data: &Path, http: &str) -> String {
    let (program, data) = (program.display().to_string(), data.display().to_string());
    let helper = format!("!{} credential --data {}", quoted(&program), quoted(&data));
    let helper = quoted(&helper);
    format!("git clone -c credential.helper= -c credential.helper={helper} {http}/demo/hello.git")
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:,@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clone_line_begins_with_no_helper_and_ends_with_ours() {
        let line = clone_line(Path::new("/opt/gitstratum"), Path::new("/srv/data"), "http://h:1");
        let expected = "git clone -c credential.helper= -c credential.helper=\
            '!/opt/gitstratum credential --data /srv/data' http://h:1/demo/hello.git";
        assert_eq!(line, expected);
    }

    #[test]
    fn a_folder_of_any_name_is_one_word() {
        assert_eq!(quoted("/a b/c"), "'/a b/c'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted("$(id)"), "'$(id)'");
        assert_eq!(quoted(""), "''");
    }
}
