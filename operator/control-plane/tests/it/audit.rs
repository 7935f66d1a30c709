use std::time::Duration;

use gitstratum_proto::control::v1::{
    AuditLine, AuditRequest, CreateRepositoryRequest, CreateTokenRequest, CreateUserRequest,
};
use tonic::Code;

use crate::world::{PATIENCE, World};

pub(crate) async fn lines(world: &World, asked: AuditRequest) -> Vec<AuditLine> {
    let mut stream = world.admin().audit(asked).await.expect("for admins").into_inner();
    let mut lines = Vec::new();
    while let Some(line) = stream.message().await.expect("a line") {
        lines.push(line);
    }
    lines
}

fn short(line: &AuditLine) -> String {
    format!("{} {} {} {}", line.actor, line.action, line.subject, line.result)
}

async fn create(world: &World, token: Option<&str>, path: &str) -> Code {
    let request = CreateRepositoryRequest { path: path.to_owned(), ..Default::default() };
    match world.client(token).create_repository(request).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_14_every_change_has_one_line_and_every_refusal_too() {
    let world = World::new().await;
    let following = world.follow().await;
    let since = lines(&world, AuditRequest::default()).await;
    let after_index = since.last().expect("the founding").index;
    let user = CreateUserRequest { name: "eva".to_owned(), email: String::new() };
    world.admin().create_user(user).await.expect("a user");
    let token = CreateTokenRequest {
        user: "eva".to_owned(),
        scope: 2,
        repositories: Vec::new(),
        lifetime_seconds: 0,
    };
    let eva = world.admin().create_token(token).await.expect("a token").into_inner();
    let id = eva.record.expect("a record").id;
    let admin = world.admin.expose().to_owned();
    assert_eq!(create(&world, Some(&admin), "acme/tool").await, Code::Ok);
    assert_eq!(create(&world, Some(&admin), "acme/tool").await, Code::FailedPrecondition);
    assert_eq!(create(&world, Some(&eva.token), "eva/x").await, Code::PermissionDenied);
    assert_eq!(create(&world, None, "eva/x").await, Code::Unauthenticated);
    let error = world.client(Some(&eva.token)).audit(AuditRequest::default()).await;
    assert_eq!(error.err().map(|status| status.code()), Some(Code::PermissionDenied));
    let request = AuditRequest { after_index, ..AuditRequest::default() };
    let found = lines(&world, request).await;
    let texts: Vec<String> = found.iter().map(short).collect();
    assert_eq!(
        texts,
        [
            "admin user.create eva ok".to_owned(),
            format!("admin token.create eva {id} ok"),
            "admin repository.create acme/tool ok".to_owned(),
            "admin repository.create acme/tool conflict: repository `acme/tool` exists already"
                .to_owned(),
            "eva repository.create eva/x denied: token needs scope admin for this".to_owned(),
            "- repository.create eva/x denied: token is not known".to_owned(),
            "eva audit.show  denied: token needs scope admin for this".to_owned(),
        ]
    );
    assert!(found.iter().all(|line| line.client_addr == "local" && line.request_id.len() == 16));
    assert!(found.iter().all(|line| !format!("{line:?}").contains("gst_")));
    drop(following);
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_14_a_storm_of_refusals_is_bounded_and_counted() {
    let world = World::new().await;
    for _ in 0..30 {
        assert_eq!(create(&world, None, "eva/x").await, Code::Unauthenticated);
    }
    world.advance(Duration::from_secs(2));
    let asked = AuditRequest { follow: true, ..AuditRequest::default() };
    let mut stream = world.admin().audit(asked).await.expect("for admins").into_inner();
    let mut refused = 0;
    let summary = async {
        loop {
            let line = stream.message().await.expect("a line").expect("no end");
            if line.actor == "-" {
                refused += 1;
            }
            if line.result.contains("more like it") {
                return line.result;
            }
        }
    };
    let summary = tokio::time::timeout(PATIENCE, summary).await.expect("within a second or so");
    assert_eq!(summary, "denied: token is not known (19 more like it)");
    assert_eq!(refused, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_follows_and_ends_with_the_drain() {
    let mut world = World::new().await;
    let asked = AuditRequest { follow: true, ..AuditRequest::default() };
    let mut stream = world.admin().audit(asked).await.expect("for admins").into_inner();
    let found = stream.message().await.expect("a line").expect("the founding");
    assert_eq!(short(&found).split(' ').take(2).collect::<Vec<_>>(), ["system", "cluster.found"]);
    let demo = stream.message().await.expect("a line").expect("the first repository");
    assert_eq!(demo.subject, "demo/hello");
    let user = CreateUserRequest { name: "eva".to_owned(), email: String::new() };
    world.admin().create_user(user).await.expect("a user");
    let line = tokio::time::timeout(PATIENCE, stream.message()).await.expect("soon");
    assert_eq!(line.expect("a line").expect("no end").action, "user.create");
    world.stop().await;
    let end = tokio::time::timeout(PATIENCE, stream.message()).await.expect("soon");
    assert_eq!(end.ok().flatten(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_found_by_time() {
    let world = World::new().await;
    world.advance(Duration::from_secs(3_600));
    let user = CreateUserRequest { name: "eva".to_owned(), email: String::new() };
    world.admin().create_user(user).await.expect("a user");
    let all = lines(&world, AuditRequest::default()).await;
    let since_millis = all.last().expect("lines").wall_millis;
    let found = lines(&world, AuditRequest { since_millis, ..AuditRequest::default() }).await;
    assert_eq!(found.iter().map(short).collect::<Vec<_>>(), ["admin user.create eva ok"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s41_old_lines_go() {
    let mut world = World::new().await;
    world.advance(Duration::from_secs(91 * 24 * 60 * 60));
    world.stop().await;
    // The first thing that a leader keeps house of is old lines.
    let world = world_again(world).await;
    let user = CreateUserRequest { name: "eva".to_owned(), email: String::new() };
    world.admin().create_user(user).await.expect("a user");
    let pruned = async {
        loop {
            let found = lines(&world, AuditRequest::default()).await;
            if found.iter().all(|line| line.action != "cluster.found") {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, pruned).await.expect("soon");
    assert_eq!(found.iter().map(short).collect::<Vec<_>>(), ["admin user.create eva ok"]);
}

async fn world_again(world: World) -> World {
    let (engine, clock) = (world.engine.clone(), world.clock.clone());
    World::again(engine, clock, world.cluster, world.admin.clone()).await
}
