//! Repositories, users, tokens, grants.

use crate::program::{Rig, command, end, world};

#[tokio::test]
async fn gs_op_42_repositories_are_made_shown_changed_and_brought_back() {
    let rig = Rig::start(world());
    let made = rig.run("repo create team/site --public --object-format sha256").await.done();
    assert_eq!(made, "repository team/site is ready\n");
    let shown = rig.run("repo show team/site -o json").await.json();
    assert_eq!(shown["visibility"], "public");
    assert_eq!(shown["objectFormat"], "sha256");
    let again = rig.run("repo create team/site").await;
    assert_eq!(again.code, Some(1));
    assert_eq!(again.errors, "error: repository `team/site` exists already\n");
    assert_eq!(rig.run("repo create team/site --if-not-exists -q").await.done(), "");
    rig.run("repo set team/site --private --default-branch trunk").await.done();
    let set = rig.run("repo show team/site -o yaml").await.done();
    assert!(set.contains("visibility: private\ndefaultBranch: trunk\n"), "{set}");
    rig.run("repo rename team/site team/page").await.done();
    let deleted = rig.run("repo delete team/page").await.done();
    assert!(deleted.starts_with("repository team/page is deleted; its id is "), "{deleted}");
    assert_eq!(rig.run("repo list --deleted -q").await.done(), "team/page\n");
    rig.run("repo undelete team/page").await.done();
    let listed = rig.run("repo list --owner team -q").await.done();
    assert_eq!(listed, "team/engine\nteam/page\n");
}

#[tokio::test]
async fn lists_are_tables_for_people() {
    let rig = Rig::start(world());
    let expected = "\
PATH         VISIBILITY  DEFAULT BRANCH  CREATED
demo/hello   private     main            2026-01-31 12:00:00
team/engine  private     main            2026-01-31 12:00:00
";
    assert_eq!(rig.run("repo list").await.done(), expected);
    let wide = rig.run("repo list -o wide").await.done();
    assert!(wide.contains("0000000000000002"), "{wide}");
}

#[tokio::test]
async fn what_is_missing_comes_with_a_place_to_look() {
    let rig = Rig::start(world());
    let ended = rig.run("repo show team/none").await;
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.errors,
        "error: repository `team/none` does not exist\n\
         hint: `gitstratum repo list` shows those that you may see\n"
    );
}

#[tokio::test]
async fn gs_cp_07_users_have_keys() {
    let rig = Rig::start(world());
    rig.run("user create ada --email ada@example.org").await.done();
    let key = "ssh-ed25519 AAAAC3Nz ada@desk\n";
    let added = rig.feed("user key add ada -", key).await.done();
    assert_eq!(added, "key SHA256:20 signs in as ada\n");
    assert_eq!(rig.run("user key list ada -q").await.done(), "SHA256:20\n");
    let path = rig.home().join("id.pub");
    std::fs::write(&path, key).unwrap();
    rig.run(&format!("user key remove ada {}", path.display())).await.done();
    assert_eq!(rig.run("user key list ada -q").await.done(), "");
    let private = rig.feed("user key add ada", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n").await;
    assert_eq!(private.code, Some(2));
    assert!(private.errors.contains("is a private key"), "{private:?}");
    rig.run("user delete ada").await.done();
    assert_eq!(rig.run("user list -q").await.done(), "admin\n");
}

#[tokio::test]
async fn a_token_is_printed_once_and_alone() {
    let rig = Rig::start(world());
    let made = rig.run("token create admin --scope write --repo team/engine --expires 30d").await;
    assert_eq!(made.out, "gst_made\n");
    assert_eq!(made.errors, "token 0000000000000001 is not shown again\n");
    let listed = rig.run("token list -o json").await.json();
    assert_eq!(listed[0]["scope"], "write");
    assert_eq!(listed[0]["repositories"][0], "team/engine");
    assert!(listed[0].get("token").is_none());
    let json = rig.run("token create admin -o json").await.json();
    assert_eq!((&json["token"], &json["scope"]), (&"gst_made".into(), &"read".into()));
    rig.run("token revoke 0000000000000001").await.done();
    assert_eq!(rig.run("token list -q").await.done(), "0000000000000002\n");
}

#[tokio::test]
async fn gs_cp_08_roles_are_given_shown_and_taken() {
    let rig = Rig::start(world());
    rig.run("user create ada").await.done();
    let given = rig.run("grant ada write team/engine").await.done();
    assert_eq!(given, "ada has role write on team/engine\n");
    let shown = rig.run("grants team/engine").await.done();
    assert_eq!(shown, "SUBJECT      USER  ROLE\nteam/engine  ada   write\n");
    rig.run("revoke ada write team/engine").await.done();
    assert_eq!(rig.run("grants").await.done(), "SUBJECT  USER  ROLE\n");
    assert_eq!(rig.run("grant ada owner team").await.code, Some(2));
}

#[tokio::test]
async fn who_is_not_reached_is_told_with_3() {
    let home = tempfile::tempdir().unwrap();
    let run = async |words: &str| {
        let mut command = command(home.path());
        command.args(words.split_whitespace());
        end(command, "").await
    };
    let absent = run("repo list").await;
    assert_eq!(absent.code, Some(3));
    assert_eq!(
        absent.errors,
        "error: no `gitstratum up` runs on ./gitstratum-data\n\
         hint: start it with `gitstratum up --data ./gitstratum-data`, or name another with --data or --server\n"
    );
    let data = home.path().join("gitstratum-data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("admin.token"), "gst_x").unwrap();
    drop(std::os::unix::net::UnixListener::bind(data.join("control.sock")).unwrap());
    let killed = run("repo list").await;
    assert_eq!(killed.code, Some(3));
    assert!(killed.errors.contains("cannot be reached: "), "{killed:?}");
    let nobody = run("repo list --server 127.0.0.1:9 --ca gitstratum-data/admin.token").await;
    assert_eq!(nobody.code, Some(2), "{nobody:?}");
}

#[tokio::test]
async fn the_environment_holds_the_token_itself() {
    let rig = Rig::start(world());
    let mut wrong = rig.command("user list");
    wrong.env("GITSTRATUM_TOKEN", "gst_wrong");
    let ended = end(wrong, "").await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.errors.starts_with("error: token is not known\nhint: "), "{ended:?}");
    assert!(!ended.errors.contains("gst_wrong"));
    std::fs::write(rig.home().join("token"), "gst_double\n").unwrap();
    let mut right = rig.command("user list -q --token-file token");
    right.env("GITSTRATUM_TOKEN", "gst_wrong");
    assert_eq!(end(right, "").await.done(), "admin\n");
}

#[tokio::test]
async fn a_reader_who_has_gone_is_no_failure() {
    let rig = Rig::start(world());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = rig.command("repo list");
    command.stdout(writer);
    let ended = end(command, "").await;
    assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
}
