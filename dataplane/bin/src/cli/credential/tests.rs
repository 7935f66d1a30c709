use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use gitstratum_core::{SeededEntropy, Token};

use super::*;

/// A data directory as a running `up` leaves it; it runs as long as the listener lives.
fn running(data: &Path) -> (UnixListener, String) {
    let token = Token::generate(&*SeededEntropy::new(1)).expose().to_owned();
    fs::write(data.join("admin.token"), format!("{token}\n")).unwrap();
    fs::write(data.join("endpoint.json"), r#"{"http":"http://127.0.0.1:8080"}"#).unwrap();
    (UnixListener::bind(data.join("control.sock")).unwrap(), token)
}

fn request(host: &str, more: &str) -> (Origin, Request) {
    let request = Request::parse(format!("protocol=http\nhost={host}\n{more}\n").as_bytes());
    (request.origin().unwrap(), request)
}

fn get(data: &Path, store: &Store, host: &str, more: &str) -> Option<String> {
    let (origin, request) = request(host, more);
    let local = Local::find(data, &origin).unwrap();
    let found = answer(local, &origin, &request, || Ok(Some(store.clone()))).unwrap();
    found.map(|answer| answer.text())
}

#[test]
fn the_admin_token_is_for_the_running_up_of_the_directory_only() {
    let data = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_folder(folder.path().to_owned());
    let get = |host: &str, more: &str| get(data.path(), &store, host, more);
    assert_eq!(get("127.0.0.1:8080", ""), None);
    let (listener, token) = running(data.path());
    let admin = Some(format!("username=admin\npassword={token}\n"));
    assert_eq!(get("127.0.0.1:8080", ""), admin);
    assert_eq!(get("localhost:8080", "username=admin\n"), admin);
    assert_eq!(get("127.0.0.1:8081", ""), None);
    assert_eq!(get("127.0.0.1:8080", "username=eve\n"), None);
    drop(listener);
    assert_eq!(get("127.0.0.1:8080", ""), None);
}

#[test]
fn the_admin_token_is_never_stored_and_never_erased() {
    let data = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_folder(folder.path().to_owned());
    let (_listener, token) = running(data.path());
    let words = format!("username=admin\npassword={token}\n");
    let (origin, asked) = request("127.0.0.1:8080", &words);
    let local = Local::find(data.path(), &origin).unwrap();
    keep(local, &origin, &asked, || Ok(Some(store.clone()))).unwrap();
    assert!(!store.path().exists());
    forget(&origin, &asked, || Ok(Some(store.clone()))).unwrap();
    assert!(get(data.path(), &store, "127.0.0.1:8080", "").is_some());
    // Another user's token at the same server is kept, and found when that user is asked for.
    let other = Token::generate(&*SeededEntropy::new(2)).expose().to_owned();
    let (origin, asked) = request("127.0.0.1:8080", &format!("username=ada\npassword={other}\n"));
    let local = Local::find(data.path(), &origin).unwrap();
    keep(local, &origin, &asked, || Ok(Some(store.clone()))).unwrap();
    let found = get(data.path(), &store, "127.0.0.1:8080", "username=ada\n");
    assert_eq!(found, Some(format!("username=ada\npassword={other}\n")));
    forget(&origin, &asked, || Ok(Some(store.clone()))).unwrap();
    assert_eq!(get(data.path(), &store, "127.0.0.1:8080", "username=ada\n"), None);
}

#[test]
fn passwords_of_other_servers_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_folder(folder.path().to_owned());
    let (origin, asked) = request("git.example.org", "username=ada\npassword=hunter2\n");
    keep(None, &origin, &asked, || Ok(Some(store.clone()))).unwrap();
    assert!(!store.path().exists());
}
