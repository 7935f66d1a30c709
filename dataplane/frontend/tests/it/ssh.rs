//! SSH as stock clients use it.

use gitstratum_frontend::testing::{Running, World};
use gitstratum_proto::control::v1::{Repository, SnapshotUpdate, UserRecord};

use crate::git::{Home, text};
use crate::until;

struct Scene {
    world: World,
    home: Home,
    running: Running,
}

/// Ann has a key and a repository; Bob has a private one.
async fn scene() -> Scene {
    let (world, home) = (World::new(), Home::new().await);
    world.user(1, "ann", &home.fingerprint);
    world.user(2, "bob", "");
    world.repository(1, "ann/x");
    world.repository(2, "bob/private");
    let public = Repository { public: true, ..world.repository(3, "bob/public") };
    world.publish(SnapshotUpdate { repositories: vec![public], ..SnapshotUpdate::default() });
    let running = world.frontend(home.path().to_owned(), |_| {}, None).await;
    Scene { world, home, running }
}

impl Scene {
    /// `ssh git@… COMMAND`: exit status, standard output and error.
    async fn order(&self, options: &[&str], command: &str) -> (Option<i32>, String, String) {
        let address = format!("git@{}", self.running.ssh().ip());
        let arguments = [&[address.as_str()][..], &[command]].concat();
        let output = self.home.ssh(&self.running, options, &arguments).await;
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    async fn ls_remote(&self, path: &str) -> std::process::Output {
        let url = format!("ssh://git@{}/{path}", self.running.ssh());
        self.home.git(Some(&self.running), &["ls-remote", &url]).await
    }
}

#[tokio::test]
async fn p_s1_missing_and_private_repositories_look_alike_over_ssh() {
    let scene = scene().await;
    let (private, missing) =
        (scene.ls_remote("bob/private").await, scene.ls_remote("bob/missing").await);
    assert_eq!(private.status.code(), missing.status.code());
    assert_eq!(text(&private.stderr), text(&missing.stderr));
    let words = text(&private.stderr);
    assert!(
        words.contains("remote error: repository not found, or you may not read it"),
        "{words}"
    );
    assert!(scene.ls_remote("bob/public").await.status.success());
    assert_eq!(scene.world.metadata.calls("GetRefs"), 1);
    scene.running.stop().await;
}

#[tokio::test]
async fn gs_fe_12_who_may_read_may_not_push_over_ssh() {
    let scene = scene().await;
    let (status, out, _) = scene.order(&[], "git-receive-pack 'bob/public.git'").await;
    assert_eq!(status, Some(128));
    assert!(out.contains("ERR you may read bob/public, not write it"), "{out}");
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_120_command_lines_outside_the_grammar() {
    let scene = scene().await;
    for line in [
        "git-upload-pack '/ann/x.git'; id",
        "git-upload-pack $(id)",
        "git-upload-pack '/ann/x'\nid",
        "git-upload-pack --upload-pack=x '/ann/x'",
        "git-upload-pack -oProxyCommand=id",
        "git-upload-pack '../x'",
        "git-upload-archive '/ann/x'",
        "id",
    ] {
        let (status, out, err) = scene.order(&[], line).await;
        assert_eq!((status, out.as_str()), (Some(128), ""), "{line}: {err}");
        assert!(err.starts_with("gitstratum: ") && err.lines().count() == 1, "{line}: {err}");
    }
    let long = format!("git-upload-pack '/ann/{}'", "x".repeat(20_000));
    assert_eq!(scene.order(&[], &long).await.0, Some(128));
    assert_eq!(scene.world.metadata.calls("GetRefs"), 0);
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_121_no_shell_terminal_subsystem_forwarding_or_environment() {
    let scene = scene().await;
    let address = format!("git@{}", scene.running.ssh().ip());
    let shell = scene.home.ssh(&scene.running, &["-T"], &[&address]).await;
    assert_eq!(shell.status.code(), Some(128));
    let words = text(&shell.stderr);
    assert!(words.contains("you are logged in, but there is no shell here"), "{words}");
    let terminal = scene.home.ssh(&scene.running, &["-tt"], &[&address, "id"]).await;
    let words = text(&terminal.stderr);
    assert!(words.contains("PTY allocation request failed"), "{words}");
    assert_ne!(terminal.status.code(), Some(0));
    let subsystem = scene.home.ssh(&scene.running, &["-s"], &[&address, "sftp"]).await;
    assert_ne!(subsystem.status.code(), Some(0));
    let forward = ["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", "-N"];
    let forward = scene.home.ssh(&scene.running, &forward, &[&address]).await;
    assert_ne!(forward.status.code(), Some(0));
    let tunnel = scene.home.ssh(&scene.running, &["-W", "127.0.0.1:1"], &[&address]).await;
    let words = text(&tunnel.stderr);
    assert!(words.contains("administratively prohibited"), "{words}");
    // A variable other than GIT_PROTOCOL is refused, and the command runs without it.
    let options = ["-o", "SetEnv=LD_PRELOAD=x.so"];
    let (_, out, _) = scene.order(&options, "git-upload-pack '/ann/x'").await;
    assert!(out.contains("capabilities^{}"), "{out}");
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_118_other_users_and_keys_do_not_log_in() {
    let scene = scene().await;
    let stranger = Home::new().await;
    let url = format!("ssh://git@{}/ann/x", scene.running.ssh());
    let refused = stranger.git(Some(&scene.running), &["ls-remote", &url]).await;
    let words = text(&refused.stderr);
    assert!(words.contains("Permission denied (publickey)"), "{words}");
    let url = format!("ssh://root@{}/ann/x", scene.running.ssh());
    let refused = scene.home.git(Some(&scene.running), &["ls-remote", &url]).await;
    let words = text(&refused.stderr);
    assert!(words.contains("Permission denied (publickey)"), "{words}");
    assert!(scene.ls_remote("ann/x").await.status.success());
    scene.running.stop().await;
}

#[tokio::test]
async fn p_s3_a_suspended_user_is_out_over_ssh() {
    let scene = scene().await;
    assert!(scene.ls_remote("ann/x").await.status.success());
    let ann = scene.world.publisher.current().user_by_name("ann").unwrap();
    let gone = UserRecord { suspended: true, ..ann.as_ref().clone() };
    scene.world.publish(SnapshotUpdate { users: vec![gone], ..SnapshotUpdate::default() });
    let words = text(&scene.ls_remote("ann/x").await.stderr);
    assert!(words.contains("Permission denied (publickey)"), "{words}");
    scene.running.stop().await;
}

#[tokio::test]
async fn gs_fe_01_a_client_ends_by_itself_with_the_exit_status() {
    let scene = scene().await;
    // Standard input ends at once: a v2 client that asks nothing.
    let options = ["-o", "SetEnv=GIT_PROTOCOL=version=2"];
    let (status, out, err) = scene.order(&options, "git-upload-pack '/ann/x'").await;
    assert_eq!(status, Some(0), "{err}");
    assert!(out.starts_with("000eversion 2\n"), "{out}");
    scene.running.stop().await;
}

#[tokio::test]
async fn gs_op_41_a_drain_ends_idle_ssh_connections() {
    let scene = scene().await;
    // One that never says a word, and one that has logged in and orders nothing.
    let silent = tokio::net::TcpStream::connect(scene.running.ssh()).await.unwrap();
    let address = format!("git@{}", scene.running.ssh().ip());
    let arguments = [address.as_str()];
    let idle = scene.home.ssh(&scene.running, &["-N"], &arguments);
    let stopping = async {
        until(|| scene.world.metrics.render().contains("active_connections 2\n")).await;
        scene.running.start_drain();
        until(|| scene.world.metrics.render().contains("active_connections 0\n")).await;
    };
    tokio::join!(idle, stopping);
    drop(silent);
    assert_eq!(scene.running.stop().await, 0);
}
