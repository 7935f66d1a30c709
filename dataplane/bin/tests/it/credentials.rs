//! `login` and the credential helper, as Git and people use them.

use std::os::unix::fs::PermissionsExt as _;

use gitstratum_core::{SeededEntropy, Token};

use crate::program::{Rig, command, end, world};

const ASKED: &str = "protocol=http\nhost=127.0.0.1:8080\n\n";

fn token(seed: u64) -> String {
    Token::generate(&*SeededEntropy::new(seed)).expose().to_owned()
}

/// Lets the data directory say that Git is served at 127.0.0.1:8080.
fn serve_git(rig: &Rig) {
    let endpoint = r#"{"http":"http://127.0.0.1:8080"}"#;
    let path = rig.double.data().join("endpoint.json");
    std::fs::write(path, endpoint).expect("because the folder is ours");
}

#[tokio::test]
async fn the_clone_line_of_up_gets_the_admins_token() {
    let rig = Rig::start(world());
    assert_eq!(rig.feed("credential get", ASKED).await.done(), "");
    serve_git(&rig);
    let answer = rig.feed("credential get", ASKED).await.done();
    assert_eq!(answer, "username=admin\npassword=gst_double\n");
    let other = rig.feed("credential get", "protocol=http\nhost=example.org\n\n").await;
    assert_eq!((other.code, other.out.as_str()), (Some(0), ""));
    let unknown = rig.feed("credential capability", ASKED).await;
    assert_eq!((unknown.code, unknown.out.as_str()), (Some(0), ""));
    // Nobody who is not told the directory answers for it.
    let mut elsewhere = command(rig.home());
    elsewhere.args(["credential", "get"]);
    assert_eq!(end(elsewhere, ASKED).await.done(), "");
}

#[tokio::test]
async fn git_itself_understands_the_answer() {
    let rig = Rig::start(world());
    serve_git(&rig);
    let program = env!("CARGO_BIN_EXE_gitstratum");
    let helper =
        format!("credential.helper=!{program} credential --data {}", rig.double.data().display());
    let mut git = tokio::process::Command::new("git");
    git.args(["-c", &helper, "credential", "fill"]);
    git.env("HOME", rig.home()).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
    git.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    git.stderr(std::process::Stdio::piped());
    let filled = end(git, ASKED).await.done();
    assert!(filled.contains("username=admin\npassword=gst_double\n"), "{filled}");
}

#[tokio::test]
async fn login_stores_a_token_that_was_tried() {
    let rig = Rig::start(world());
    serve_git(&rig);
    let token = token(1);
    let refused = rig.feed("login http://127.0.0.1:8080", &token).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(!rig.home().join(".config").exists());
    let untried =
        rig.feed("login https://eva@git.example.org:443/a/b.git", &format!("{token}\n")).await;
    assert!(
        untried.out.starts_with("https://git.example.org: stored, but not tried"),
        "{untried:?}"
    );
    assert!(!(untried.out.clone() + &untried.errors).contains(&token));
    let file = rig.home().join(".config/gitstratum/credentials.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let asked = "protocol=https\nhost=git.example.org\n\n";
    let answer = rig.feed("credential get", asked).await.done();
    assert_eq!(answer, format!("username=eva\npassword={token}\n"));
    let rejected =
        format!("protocol=https\nhost=git.example.org\nusername=eva\npassword={token}\n\n");
    rig.feed("credential erase", &rejected).await.done();
    assert_eq!(rig.feed("credential get", asked).await.done(), "");
}

#[tokio::test]
async fn login_notices_what_is_no_token_before_it_is_sent() {
    let rig = Rig::start(world());
    serve_git(&rig);
    let mut mistyped = token(1);
    mistyped.pop();
    for input in ["", "\n", "hunter2\n", &mistyped] {
        let ended = rig.feed("login http://127.0.0.1:8080", input).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(!ended.errors.contains("hunter2"), "{ended:?}");
    }
    assert_eq!(rig.feed("login ssh://git@127.0.0.1/a/b", &token(1)).await.code, Some(2));
}

#[tokio::test]
async fn git_stores_what_worked_and_only_tokens() {
    let rig = Rig::start(world());
    let worked = |password: &str| {
        format!("protocol=https\nhost=git.example.org\nusername=ada\npassword={password}\n\n")
    };
    let asked = "protocol=https\nhost=git.example.org\n\n";
    rig.feed("credential store", &worked("hunter2")).await.done();
    assert_eq!(rig.feed("credential get", asked).await.done(), "");
    let token = token(2);
    rig.feed("credential store", &worked(&token)).await.done();
    let answer = rig.feed("credential get", asked).await.done();
    assert_eq!(answer, format!("username=ada\npassword={token}\n"));
}
