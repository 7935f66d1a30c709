use std::time::Duration;

use gitstratum_control_plane::Founding;
use gitstratum_proto::control::v1::{
    CreateRepositoryRequest, DeleteRepositoryRequest, GetRepositoryRequest,
    ListRepositoriesRequest, NodeRequest, RenameRepositoryRequest, UndeleteRepositoryRequest,
};
use tonic::Code;

use crate::world::{PATIENCE, World};

fn again(path: &str) -> CreateRepositoryRequest {
    CreateRepositoryRequest { path: path.to_owned(), if_not_exists: true, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn create_answers_when_frontends_and_partition_have_it() {
    let world = World::new().await;
    world.register(1).await.expect("registered");
    world.report(1, 1).await.expect("reported");
    let error = world.create("acme/tool").await.expect_err("nobody has it yet");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.message().contains("was made and will appear"), "{error}");
    let version = world.handle.version().await.expect("running").0;
    world.report(1, version).await.expect("reported");
    let made = world.admin().create_repository(again("acme/tool")).await.expect("a safe retry");
    assert_eq!(made.into_inner().version, version);
    assert_eq!(world.handle.version().await.expect("running").0, version);
    let following = world.follow().await;
    let made = tokio::time::timeout(PATIENCE, world.create("acme/other")).await.expect("soon");
    assert_eq!(made.expect("confirmed").path, "acme/other");
    drop(following);
}

#[tokio::test(flavor = "multi_thread")]
async fn s42_a_path_is_free_once_its_partition_has_confirmed() {
    let world = World::new().await;
    world.register(1).await.expect("registered");
    world.report(1, 1).await.expect("reported");
    let delete = DeleteRepositoryRequest { path: "demo/hello".to_owned() };
    let gone = world.admin().delete_repository(delete).await.expect("deleted").into_inner();
    assert_eq!(gone.state, 2);
    let error = world.create("demo/hello").await.expect_err("not free yet");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("not free yet"), "{error}");
    // A confirmation that comes while somebody waits lets them through.
    let waiting = world.create("demo/hello");
    let confirming = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        (world.follow().await,)
    };
    let (made, (following,)) = tokio::join!(waiting, confirming);
    let made = made.expect("free now");
    assert_ne!(made.id, gone.id);
    drop(following);
}

/// A node says how far the partitions are that it has. One that got a partition since has not spoken
/// of that one yet.
#[tokio::test(flavor = "multi_thread")]
async fn s42_s39_a_word_from_before_partitions_were_placed_frees_no_path() {
    let world = World::of(3).await;
    for node in 2..=3 {
        world.register_other(Founding::node(node)).await;
    }
    world.register(1).await.expect("registered");
    let delete = DeleteRepositoryRequest { path: "demo/hello".to_owned() };
    world.admin().delete_repository(delete).await.expect("deleted");
    let deleted = world.handle.version().await.expect("running").0;
    let drain = NodeRequest { node: Founding::node(3).0 };
    let mut admin = world.administration(Some(world.admin.expose()));
    admin.drain_node(drain).await.expect("the layout changes");
    world.report(1, deleted).await.expect("reported");
    let error = world.create("demo/hello").await.expect_err("not free yet");
    assert!(error.message().contains("not free yet"), "{error}");
    let placed = world.handle.version().await.expect("running").0;
    world.report(1, placed).await.expect("reported");
    let error = world.create("demo/hello").await.expect_err("no frontend has it");
    assert!(error.message().contains("was made and will appear"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rename_delete_and_undelete() {
    let world = World::new().await;
    let following = world.follow().await;
    let rename = RenameRepositoryRequest {
        path: "demo/hello".to_owned(),
        new_path: "demo/there".to_owned(),
    };
    let moved = world.admin().rename_repository(rename).await.expect("moved").into_inner();
    assert_eq!(moved.path, "demo/there");
    let show = |path: &str| {
        let mut admin = world.admin();
        let path = path.to_owned();
        async move { admin.get_repository(GetRepositoryRequest { path }).await }
    };
    assert_eq!(show("demo/hello").await.expect_err("moved away").code(), Code::NotFound);
    assert_eq!(show("demo/there").await.expect("moved").into_inner().id, moved.id);
    let delete = DeleteRepositoryRequest { path: "demo/there".to_owned() };
    world.admin().delete_repository(delete).await.expect("deleted");
    let deleted = ListRepositoriesRequest { deleted: true, ..Default::default() };
    let listed = world.admin().list_repositories(deleted).await.expect("a list").into_inner();
    assert_eq!(listed.repositories.iter().map(|r| r.id).collect::<Vec<_>>(), [moved.id]);
    let undelete = UndeleteRepositoryRequest { id: moved.id, path: String::new() };
    let back = world.admin().undelete_repository(undelete).await.expect("back").into_inner();
    assert_eq!((back.path.as_str(), back.state), ("demo/there", 1));
    assert!(back.name_version > moved.name_version);
    drop(following);
}
